"""Keys fetched from a real backend on this machine: when, how patiently, and what becomes of its faults."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from auth.test_jwks import document, jwk
from auth_builders import NOW_US, OTHER_KEY, SIGNING_KEY, make_grant, make_request
from camrelay.auth import remote_keys
from camrelay.auth.jwks import MAX_BYTES, PATIENCE_S
from camrelay.auth.keys import KeyRing
from camrelay.auth.remote_keys import RemoteKeys
from camrelay.auth.token import sign
from camrelay.auth.verifier import Verifier
from camrelay.config import Auth, TenantKeySet
from camrelay.errors import TokenSignatureInvalid


class Backend:
    """A tenant's backend, and the relay's side of it. `answer` is what it publishes now."""

    def __init__(self) -> None:
        self.answer: web.StreamResponse | bytes = document(jwk())
        self.asked = 0
        self.held: asyncio.Event | None = None
        self.now = 1000.0
        self.withdrawn: list[str] = []
        app = web.Application()
        app.router.add_get("/keys", self._publish)
        app.router.add_get("/elsewhere", self._publish)
        self.server = TestServer(app)

    def keys(self) -> RemoteKeys:
        options = TenantKeySet(tenant="hotel", url=str(self.server.make_url("/keys")))
        return RemoteKeys([options], self.withdrawn.append, lambda: self.now)

    async def _publish(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.held is not None:
            await self.held.wait()
        if isinstance(self.answer, bytes):
            return web.Response(body=self.answer)
        return self.answer


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    made = Backend()
    await made.server.start_server()
    yield made
    await made.server.close()


def token(**overrides: Any) -> str:
    return sign(make_grant(tenant="hotel", **overrides), SIGNING_KEY, Auth())


async def test_a_new_key_is_known_by_its_first_token(backend: Backend, tmp_path: Path) -> None:
    """The request waits for the backend's answer; then its grant holds, for that tenant."""
    remote = backend.keys()
    ring = KeyRing(tmp_path / "keys", (), remote.believed)
    verifier = Verifier(Auth(), lambda: ring.verification)

    async def handle(request: web.Request) -> web.Response:
        grant, _ = verifier.verify(request.headers["Authorization"][7:], 0.0, NOW_US)
        return web.Response(text=grant.tenant)

    answer = await remote.knowing(handle)(make_request(token=token()))
    assert isinstance(answer, web.Response)
    assert answer.text == "hotel"
    assert list(ring.own) == [ring.signing.kid]
    await remote.knowing(handle)(make_request(token=token()))
    assert backend.asked == 1


async def test_a_published_key_takes_nobodys_place(backend: Backend, tmp_path: Path) -> None:
    """Not the relay's own, whose id anybody can read."""
    own = KeyRing(tmp_path / "keys").signing
    backend.answer = document(jwk(OTHER_KEY, kid=own.kid))
    remote = backend.keys()
    await remote.look_for("other")
    ring = KeyRing(tmp_path / "keys", (), remote.believed)
    assert own.kid in remote.believed()
    assert ring.verification[own.kid].public == own.private.public_key()
    assert ring.verification[own.kid].tenant == ""


async def test_an_id_is_of_the_backend_that_comes_first(backend: Backend) -> None:
    """Whatever the second one publishes."""
    url = str(backend.server.make_url("/keys"))
    options = [TenantKeySet(tenant=tenant, url=url) for tenant in ("hotel", "thief")]
    remote = RemoteKeys(options, backend.withdrawn.append, lambda: backend.now)
    await remote.look_for("k1")
    assert backend.asked == 2
    assert remote.believed()["k1"].tenant == "hotel"
    # Here the first one gives its id up, and the second one still has it: nothing is withdrawn.
    backend.answer = document(jwk(OTHER_KEY))
    backend.now += PATIENCE_S
    await remote.look_for("k2")
    assert backend.withdrawn == ["k1"]


async def test_made_up_keys_ask_once_a_minute(backend: Backend) -> None:
    """However many strangers come, at once or one after the other."""
    remote = backend.keys()
    backend.held = asyncio.Event()
    waiting = [asyncio.create_task(remote.look_for(f"made-up-{i}")) for i in range(50)]
    async with asyncio.timeout(30):
        while not backend.asked:  # noqa: ASYNC110 - the backend has no event for it
            await asyncio.sleep(0.01)
    waiting[0].cancel()
    backend.held.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    for i in range(50):
        await remote.look_for(f"another-{i}")
    assert backend.asked == 1
    backend.now += PATIENCE_S
    await remote.look_for("made-up")
    assert backend.asked == 2


async def test_a_token_without_a_key_asks_nobody(backend: Backend) -> None:
    """Nor does a request without a token, or with two."""
    remote = backend.keys()

    async def handle(_: web.Request) -> web.Response:
        return web.Response()

    headers = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")]
    for request in (make_request(), make_request(token="x.y.z"), make_request(headers=headers)):
        await remote.knowing(handle)(request)
    assert backend.asked == 0


async def test_keys_that_are_gone_are_withdrawn(backend: Backend) -> None:
    """What runs by them ends; what they sign later is refused."""
    remote = backend.keys()
    await remote.look_for("k1")
    backend.answer = document(jwk(OTHER_KEY))
    backend.now += PATIENCE_S
    await remote.look_for("k2")
    assert backend.withdrawn == ["k1"]
    with pytest.raises(TokenSignatureInvalid):
        Verifier(Auth(), remote.believed).verify(token(), 0.0, NOW_US)


@pytest.mark.parametrize(
    "answer",
    [
        b"no JSON",
        document(jwk()) + b" " * MAX_BYTES,
        web.Response(status=404),
        web.Response(status=302, headers={"Location": "/elsewhere"}),
        web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
    ],
    ids=["garbage", "too large", "404", "redirect", "compressed"],
)
async def test_a_backend_that_fails(
    backend: Backend, answer: web.Response | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Its last keys count for their time, and then none; it is said once, without its words."""
    remote = backend.keys()
    await remote.look_for("k1")
    for _ in range(2):
        backend.answer = (
            answer
            if isinstance(answer, bytes)
            else answer.__class__(status=answer.status, headers=answer.headers, body=answer.body)
        )
        backend.now += PATIENCE_S
        await remote.look_for("k2")
    assert backend.asked == 3
    assert list(remote.believed()) == ["k1"]
    assert backend.withdrawn == []
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith("the keys of tenant hotel cannot be fetched (")
    backend.now += 3600
    assert remote.believed() == {}


async def test_a_backend_that_does_not_answer(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for it is let go."""
    monkeypatch.setattr(remote_keys, "ANSWER_S", 0.05)
    backend.held = asyncio.Event()
    remote = backend.keys()
    await remote.look_for("k1")
    backend.held.set()
    assert remote.believed() == {}


async def test_nobody_waits_for_backends_at_the_start(backend: Backend) -> None:
    """Keys are fetched meanwhile, and a stop does not wait either."""
    remote = backend.keys()
    remote.start()
    async with asyncio.timeout(30):
        while not remote.believed():  # noqa: ASYNC110 - keys have no event
            await asyncio.sleep(0.01)
    backend.held = asyncio.Event()
    backend.now += PATIENCE_S
    asking = asyncio.create_task(remote.look_for("k2"))
    await asyncio.sleep(0)
    await remote.close()
    async with asyncio.timeout(30):
        await asking
    backend.held.set()
