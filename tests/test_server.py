"""What an error looks like outside, what a route is, and what a listener refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import msgspec
import pytest
from aiohttp import web
from yarl import URL

from camrelay import errors
from camrelay.model import CameraId, Protocol, Viewer
from camrelay.server import BODY_LIMIT_BYTES, Route, body, build, guarded, listen, port_of, status_of

Serve = Callable[..., Awaitable[str]]

SECRET = "S3cret"


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """A body."""

    name: str


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves one handler at /x, returns the base URL."""
    runners: list[web.AppRunner] = []

    async def started(
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]], method: str = "*"
    ) -> str:
        runners.append(await listen(build([Route(method, "/x", handler)]), "127.0.0.1:0"))
        return f"http://127.0.0.1:{port_of(runners[-1])}"

    yield started
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.TokenExpired("expired"), 401, "bad_token"),
        (errors.ScopeDenied("camera_not_granted"), 404, "not_found"),
        (errors.AccessDenied("action_not_granted"), 403, "denied"),
        (errors.SessionEnded("expired"), 410, "session_ended"),
        (errors.BadRequest("no"), 400, "bad_request"),
        (errors.PayloadTooLarge("no"), 413, "too_large"),
        (errors.NotFound("no"), 404, "not_found"),
        (errors.CameraExists("no"), 409, "camera_exists"),
        (errors.EgressDenied("no"), 422, "egress_denied"),
        (errors.NegotiationFailed("no"), 422, "negotiation_failed"),
        (errors.PreconditionFailed("no"), 412, "precondition_failed"),
        (errors.PreconditionFailed("no", missing=True), 428, "precondition_failed"),
        (errors.Overloaded("no"), 503, "overloaded"),
        (errors.AuditUnavailable("no"), 503, "audit_unavailable"),
        (errors.ChainBroken("no"), 500, "chain_broken"),
    ],
)
async def test_an_error_class_is_a_status_and_a_problem(
    serve: Serve, http: aiohttp.ClientSession, error: errors.CamrelayError, status: int, code: str
) -> None:
    """Every class has its status; the body is problem+json with the code and a request id."""

    async def fail(_: web.Request) -> web.Response:
        raise error

    async with http.get(f"{await serve(fail)}/x") as answer:
        problem = await answer.json(content_type="application/problem+json")

    assert answer.status == status == status_of(error)
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["title"]
    assert len(problem["request_id"]) == 16
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Server"] == "camrelay"
    assert ("Retry-After" in answer.headers) == isinstance(error, errors.NotReady)


@pytest.mark.parametrize(
    "error",
    [
        errors.TokenMalformed("malformed", f"token {SECRET}"),
        errors.CameraUnreachable(f"rtsp://u:{SECRET}@h/"),
        errors.NotFound(f"/m/{SECRET}"),
        ValueError(SECRET),
    ],
)
async def test_an_answer_repeats_no_secret(
    serve: Serve, http: aiohttp.ClientSession, error: Exception
) -> None:
    """Whatever text an error carries inside, the viewer sees one sentence of ours."""

    async def fail(_: web.Request) -> web.Response:
        raise error

    async with http.get(f"{await serve(fail)}/x") as answer:
        assert SECRET not in await answer.text()
        assert SECRET not in str(answer.headers)


@pytest.mark.parametrize(("method", "status"), [("POST", 409), ("GET", 503)])
async def test_a_camera_that_is_not_live(
    serve: Serve, http: aiohttp.ClientSession, method: str, status: int
) -> None:
    """WHEP asks for 409 (draft-ietf-wish-whep §4.2), everybody else for 503; both say when to try again."""

    async def fail(_: web.Request) -> web.Response:
        raise errors.StreamNotReady("the camera is not live", retry_after_s=3)

    async with http.request(method, f"{await serve(fail)}/x") as answer:
        assert answer.status == status
        assert answer.headers["Retry-After"] == "3"


async def test_no_route_looks_like_an_unknown_camera(serve: Serve, http: aiohttp.ClientSession) -> None:
    """Nobody learns which paths exist."""

    async def fine(_: web.Request) -> web.Response:
        return web.Response()

    url = await serve(fine)
    for path in ("/nothing/here", "/nothing%0Ahere"):
        async with http.get(URL(f"{url}{path}", encoded=True)) as answer:
            assert answer.status == 404
            assert (await answer.json(content_type=None))["code"] == "not_found"


async def test_a_guarded_route_is_reached_through_the_gate_only(
    serve: Serve, http: aiohttp.ClientSession
) -> None:
    """The handler gets the viewer that the gate made; without one it is not called."""
    viewer = Viewer(id="v", session="s", camera=CameraId("gate"), protocol=Protocol.HLS, subject="ana")
    calls: list[Viewer] = []

    async def authorize(request: web.Request, protocol: Protocol) -> Viewer:
        assert protocol is Protocol.HLS
        if "good" not in request.query:
            raise errors.TokenMissing("no_token")
        return viewer

    async def media(_: web.Request, seen: Viewer) -> web.Response:
        calls.append(seen)
        return web.Response()

    base = await serve(guarded(authorize, Protocol.HLS, media))

    async with http.get(f"{base}/x") as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert calls == []
    async with http.get(f"{base}/x?good") as answer:
        assert answer.status == 200
    assert calls == [viewer]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"name": "a"}', "application/json", 200),
        (b'{"name": "a"}', "text/plain", 400),
        (b'{"name": "a", "role": "admin"}', "application/json", 400),
        (b'{"name": 1}', "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"name": "\xff"}', "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b'{"name": "' + b"x" * BODY_LIMIT_BYTES + b'"}', "application/json", 413),
    ],
    ids=["fine", "type", "unknown field", "kind", "broken", "utf-8", "depth", "size"],
)
async def test_bodies(
    serve: Serve, http: aiohttp.ClientSession, content: bytes, kind: str, status: int
) -> None:
    """Abuse cases 28, 37, 39: a body is JSON of exactly one shape, or the answer is 4xx."""

    async def take(request: web.Request) -> web.Response:
        return web.Response(text=(await body(request, Wish)).name)

    async with http.post(f"{await serve(take)}/x", data=content, headers={"Content-Type": kind}) as answer:
        assert answer.status == status


async def test_a_body_that_does_not_come_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Abuse case 56: aiohttp never times a body out by itself."""
    monkeypatch.setattr("camrelay.server.BODY_TIMEOUT_S", 0.05)

    async def take(request: web.Request) -> web.Response:
        return web.Response(text=(await body(request, Wish)).name)

    port = int((await serve(take)).rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n"
    writer.write(head.encode() + b'{"name"')

    assert b"400" in await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    await writer.wait_closed()


async def test_an_address_that_is_taken_is_the_operators_to_solve(serve: Serve) -> None:
    """The message names the address and the way out."""

    async def fine(_: web.Request) -> web.Response:
        return web.Response()

    port = (await serve(fine)).rpartition(":")[2]

    with pytest.raises(errors.ConfigError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
        await listen(build([]), f"127.0.0.1:{port}")
    assert "another address" in caught.value.hint
