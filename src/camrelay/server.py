"""The HTTP side in one place: routes, the guard before them, and what an error looks like outside.

A route is public, or guarded: then the gate turns the request into a Viewer first, and there is no other way
to a media handler. Handlers raise; only here does an error class become a status. Every error is problem+json
(RFC 9457) with a code and a request id, and repeats nothing the request or another program said.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from camrelay.config import split_address
from camrelay.errors import (
    AccessDenied,
    AuditUnavailable,
    BadRequest,
    CameraExists,
    CamrelayError,
    CodeRequired,
    ConfigError,
    EgressDenied,
    Held,
    LinkPassword,
    NameTaken,
    NegotiationFailed,
    NotConfirmed,
    NotFound,
    NotReady,
    PayloadTooLarge,
    PreconditionFailed,
    PublishUnconfirmed,
    ScopeDenied,
    SessionEnded,
    SignInFailed,
    StreamNotReady,
    TokenError,
    TooManyRequests,
    ViewerError,
)
from camrelay.model import Protocol, Viewer

logger = logging.getLogger("camrelay.server")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MediaHandler = Callable[[web.Request, Viewer], Awaitable[web.StreamResponse]]
Authorize = Callable[[web.Request, Protocol], Awaitable[Viewer]]

_T = TypeVar("_T")

#: JSON bodies hold a few names and times; nothing this API takes comes near it.
BODY_LIMIT_BYTES = 64 * 1024

#: aiohttp never times a body out by itself.
BODY_TIMEOUT_S = 10.0

#: A stranger's idle connection may stay this long, and a header may take this long to arrive.
KEEPALIVE_S = 15.0

#: The longest stop that still lets handlers end by themselves.
SHUTDOWN_S = 2.0

#: Class -> status, found by walking the MRO; what is not listed is ours: 500.
STATUS: dict[type[CamrelayError], int] = {
    AccessDenied: 403,
    TokenError: 401,
    SignInFailed: 401,
    ScopeDenied: 404,
    SessionEnded: 410,
    ViewerError: 400,
    NotFound: 404,
    CameraExists: 409,
    PublishUnconfirmed: 409,
    Held: 409,
    NameTaken: 409,
    PayloadTooLarge: 413,
    NegotiationFailed: 422,
    PreconditionFailed: 412,
    ConfigError: 422,
    EgressDenied: 422,
    NotReady: 503,
    TooManyRequests: 429,
    AuditUnavailable: 503,
}

#: One sentence for each class whose own text is not for the viewer.
_SENTENCES: dict[type[CamrelayError], str] = {
    AccessDenied: "This request is not allowed. Sign in, or ask for a new link.",
    ScopeDenied: "There is no such camera here.",
    SessionEnded: "The right to watch has ended.",
    SignInFailed: "That address and that password do not go together.",
    CodeRequired: "The password is right. The code of your authenticator app is missing, wrong or used.",
    NotConfirmed: "Enter your password once more.",
    LinkPassword: "This link wants a password.",
    EgressDenied: "Cameras may not have this address. The operator decides which they may ([egress] allow).",
    AuditUnavailable: "Viewings cannot be recorded at the moment, so none may start.",
    CamrelayError: "Something failed on this server.",
}

_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

#: RFC 6797: half a year in which a browser asks this host over TLS only.
_HSTS = "max-age=15552000"

#: What <camera-player> asks from pages of other sites: with a token or with nothing, never with a cookie.
_FOR_OTHER_SITES = "media/sessions(/[^/]+/renew)?|cameras/[^/]+"

#: Where an offer is posted, and what comes of it.
_WHEP = re.compile("/whep/.+|/m/[^/]+/[^/]+/whep")

_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "86400",
}


class Route(NamedTuple):
    """One line of the route table.

    The rest is for /v1/openapi.json: the struct of the JSON body it takes, that of its answer, the status
    of that, and the names in its query.
    """

    method: str
    path: str
    handler: Handler
    takes: Any = None
    gives: Any = None
    status: int = 200
    query: tuple[str, ...] = ()


class Problem(msgspec.Struct, frozen=True):
    """An error as it is answered (RFC 9457)."""

    title: str
    status: int
    code: str
    request_id: str
    type: str = "about:blank"


def guarded(authorize: Authorize, protocol: Protocol, handler: MediaHandler) -> Handler:
    """A media handler behind the gate."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request, await authorize(request, protocol))

    return handle


def build(routes: Iterable[Route]) -> web.Application:
    """The application for a route table; what no route matches is the same 404 as an unknown camera."""
    app = web.Application(client_max_size=BODY_LIMIT_BYTES)
    preflight = Route("OPTIONS", f"/v1/{{path:{_FOR_OTHER_SITES}}}", _preflight)
    for route in (*routes, preflight, Route("*", r"/{unknown:[\s\S]*}", _not_found)):
        app.router.add_route(route.method, route.path, _answering(route.handler))
    app.on_response_prepare.append(_tidy)
    return app


async def listen(
    app: web.Application,
    address: str,
    make_runner: Callable[..., web.AppRunner] = web.AppRunner,
    tls: ssl.SSLContext | None = None,
) -> web.AppRunner:
    """Starts serving `app` on an address such as "127.0.0.1:8080".

    Args:
        make_runner: takes the application and AppRunner's options.
        tls: None speaks plain HTTP.

    Raises:
        ConfigError: the address is taken or not this machine's.
    """
    runner = make_runner(
        app,
        access_log=None,  # it would print paths, and a path may be a capability
        keepalive_timeout=KEEPALIVE_S,
        max_line_size=4096,
        max_field_size=8192,
        max_headers=64,
        handler_cancellation=True,  # a client that goes away stops waiting
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    host, port = split_address(address)
    try:
        site = web.TCPSite(runner, host, port, backlog=1024, reuse_address=True, ssl_context=tls)
        await site.start()
    except OSError as e:
        await runner.cleanup()
        raise ConfigError(
            f"cannot listen on {address}: {e.strerror or 'refused'}",
            hint="choose another address, or stop the program that has it",
        ) from None
    return runner


def port_of(runner: web.AppRunner) -> int:
    """The port a runner really has, for listeners that asked for port 0."""
    return int(runner.addresses[0][1])


async def body(request: web.Request, kind: type[_T]) -> _T:
    """The request's JSON body as a struct.

    Raises:
        BadRequest: another content type, broken JSON, or not that struct; slow beyond BODY_TIMEOUT_S.
        PayloadTooLarge: over BODY_LIMIT_BYTES.
    """
    if request.content_type != "application/json":
        raise BadRequest("send application/json")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return msgspec.json.decode(await request.read(), type=kind)
    except TimeoutError:
        raise BadRequest("the body did not arrive in time") from None
    except msgspec.ValidationError as e:
        raise BadRequest(str(e)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("not JSON") from None


def json_response(value: Any, *, status: int = 200) -> web.Response:
    """A JSON answer that no cache keeps."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def status_of(error: CamrelayError) -> int:
    """The HTTP status that answers an error."""
    if isinstance(error, PreconditionFailed) and error.missing:
        return 428
    return next((STATUS[c] for c in type(error).__mro__ if c in STATUS), 500)


def problem(error: CamrelayError, *, status: int | None = None) -> web.Response:
    """An error as problem+json (RFC 9457)."""
    status = status or status_of(error)
    request_id = secrets.token_hex(8)
    sentence = next((_SENTENCES[c] for c in type(error).__mro__[:-1] if c in _SENTENCES), "")
    if isinstance(error, ViewerError | NotReady | ConfigError) and not isinstance(error, NotFound):
        sentence = str(error)
    elif isinstance(error, NotFound):
        sentence = _SENTENCES[ScopeDenied]
    if status >= 500 and not isinstance(error, NotReady):
        logger.error("request failed: %s", error.code, extra={"request": request_id})
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, NotReady):
        headers["Retry-After"] = str(error.retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(
        body=msgspec.json.encode(Problem(sentence, status, error.code, request_id)),
        status=status,
        content_type="application/problem+json",
        headers=headers,
    )


def _answering(handler: Handler) -> Handler:
    """The handler with every error turned into an answer."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except StreamNotReady as e:
            # WHEP asks for 409 where HLS and everybody else expect 503 (draft-ietf-wish-whep §4.2).
            return problem(e, status=409 if request.method == "POST" else 503)
        except CamrelayError as e:
            return problem(e)
        except web.HTTPRequestEntityTooLarge:
            return problem(PayloadTooLarge("the body is too large"))
        except ConnectionError:
            raise
        except Exception:
            logger.exception("a handler failed: %s", type(request.match_info.handler).__name__)
            return problem(CamrelayError())

    return handle


async def _not_found(_: web.Request) -> web.StreamResponse:
    raise NotFound("no route")


async def _preflight(_: web.Request) -> web.StreamResponse:
    return web.Response(status=204, headers=_PREFLIGHT_HEADERS)


async def _tidy(request: web.Request, response: web.StreamResponse) -> None:
    # aiohttp names itself and its version by default.
    response.headers["Server"] = "camrelay"
    if request.secure:
        response.headers["Strict-Transport-Security"] = _HSTS
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if re.fullmatch(f"/v1/({_FOR_OTHER_SITES})", request.path):
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = "Date, Retry-After"
    elif _WHEP.fullmatch(request.path):
        # Players on other sites are to see why they were refused, too.
        response.headers.setdefault("Access-Control-Allow-Origin", "*")
        response.headers.setdefault("Access-Control-Expose-Headers", "Retry-After")
