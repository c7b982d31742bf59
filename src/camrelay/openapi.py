"""`/v1/openapi.json`: the JSON API as its own types describe it (OpenAPI 3.1).

Nothing is written here by hand: paths come from the route table, bodies and answers from the structs that
handlers read and write, sentences from their docstrings. What a route does not say, the document does not.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web

from camrelay import __version__
from camrelay.server import Problem, Route, json_response

_PLACE = re.compile(r"\{(\w+)(?::[^}]*)?\}")
_REFERENCE = "#/components/schemas/{name}"

#: Where the JSON API is; pages and media have their own standards.
_JSON_PATHS = ("/v1/", "/.well-known/")


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI document of a route table."""
    described = [route for route in routes if route.path.startswith(_JSON_PATHS) and route.method.isalpha()]
    kinds = {kind for route in described for kind in (route.takes, route.gives) if kind is not None}
    ordered = [Problem, *sorted(kinds, key=str)]
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    schema_of = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in described:
        path = paths.setdefault(_PLACE.sub(r"{\1}", route.path), {})
        path[route.method.lower()] = _operation(route, schema_of)
    found = {
        "openapi": "3.1.0",
        "info": {"title": "camrelay", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }
    # Python ends a pattern with \Z, JSON Schema, which has no line mode, with $ (ECMA-262 §22.2).
    tidied: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found).replace(rb"\\Z", b"$"))
    return tidied


def described(routes: Iterable[Route]) -> Route:
    """The route that answers with the document of `routes`, which is made once, here."""
    answer = document(routes)

    async def describe(_: web.Request) -> web.Response:
        """This document."""
        return json_response(answer)

    return Route("GET", "/v1/openapi.json", describe)


def _operation(route: Route, schema_of: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    places = [(name, "path") for name in _PLACE.findall(route.path)]
    names = places + [(name, "query") for name in route.query]
    found: dict[str, Any] = {
        "operationId": getattr(route.handler, "__name__", route.path),
        "summary": (inspect.getdoc(route.handler) or "").split("\n\n")[0].replace("\n", " "),
        "responses": _answers(route, schema_of),
    }
    if names:
        found["parameters"] = [
            {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
            for name, place in names
        ]
    if route.takes is not None:
        content = {"application/json": {"schema": schema_of[route.takes]}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _answers(route: Route, schema_of: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    if route.gives is None and route.status == 200:
        return {"default": {"description": "Not JSON, or not described yet; see the documentation."}}
    done: dict[str, Any] = {"description": "Done."}
    if route.gives is not None:
        done["content"] = {"application/json": {"schema": schema_of[route.gives]}}
    problem = {"application/problem+json": {"schema": schema_of[Problem]}}
    return {str(route.status): done, "default": {"description": "An error (RFC 9457).", "content": problem}}
