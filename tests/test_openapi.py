"""The API's description, and a relay held to it by somebody who tries everything."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Annotated, Any

import msgspec
import pytest
from aiohttp import web
from msgspec import Meta

from camrelay.openapi import document
from camrelay.server import Route
from processes import StartRelay


class Wish(msgspec.Struct):
    """What is wished for."""

    id: Annotated[str, Meta(pattern=r"^[a-z]+\Z")]


class Gift(msgspec.Struct):
    """What is given."""

    id: str


async def give(_: web.Request) -> web.Response:
    """Gives what was wished
    for.

    And more about it.
    """
    return web.Response()


ROUTES = [
    Route("POST", "/v1/gifts/{camera:[a-z0-9][a-z0-9_-]*}", give, Wish, Gift, 201, ("wrapped",)),
    Route("DELETE", "/v1/gifts/{camera}", give, status=204),
    Route("GET", "/page", give),
]


def test_a_route_is_described_by_its_types() -> None:
    """Body, answer, parameters and the first sentence; pages are not part of it."""
    made = document(ROUTES)
    (path,) = made["paths"].values()
    assert list(made["paths"]) == ["/v1/gifts/{camera}"]
    assert path["post"]["summary"] == "Gives what was wished for."
    assert [(x["name"], x["in"], x["required"]) for x in path["post"]["parameters"]] == [
        ("camera", "path", True),
        ("wrapped", "query", False),
    ]
    assert set(path["post"]["responses"]) == {"201", "default"}
    assert set(path["delete"]["responses"]) == {"204", "default"}
    assert "content" not in path["delete"]["responses"]["204"]
    reference = path["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert (
        made["components"]["schemas"][reference.split("/")[-1]]["properties"]["id"]["pattern"] == "^[a-z]+$"
    )


@pytest.mark.e2e
async def test_a_stranger_who_tries_everything_meets_no_fault(start_relay: StartRelay) -> None:
    """Case 39 and more: no 5xx, and no answer that the document does not describe, with a manager's token."""
    relay = await start_relay({})
    token = await relay.token("*", "1h", "--action", "manage")
    served = json.loads(await relay.get("/v1/openapi.json") or "{}")
    assert len(operations(served)) > 15

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", relay.url("/v1/openapi.json")),
        *("--header", f"Authorization: Bearer {token}"),
        *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
        *("--checks", "response_schema_conformance", "--phases", "fuzzing"),
        # These wait for a network; what they take and give is held to its types by tests of their own.
        *(
            "--exclude-path-regex",
            "discover|probe",
            "--max-examples",
            "5",
            "--max-time",
            "25",
            "--seed",
            "1",
        ),
        *("--generation-database", "none", "--suppress-health-check", "all"),
        cwd=relay.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 150)

    assert process.returncode == 0, output.decode()[-6000:]
    assert re.search(rb"[1-9]\d* generated", output), output.decode()[-3000:]


def operations(served: dict[str, Any]) -> list[str]:
    return [method + path for path, methods in served.get("paths", {}).items() for method in methods]
