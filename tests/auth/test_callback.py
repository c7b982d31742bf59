"""A service that decides who may watch, as a real one on this machine: who gets in, and for how long."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from auth_builders import FakeLog, make_grant, make_request
from camrelay import config, metrics
from camrelay.auth.callback import Callback
from camrelay.auth.gate import Gate
from camrelay.auth.keys import KeyRing
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.revocation import RevocationFile
from camrelay.auth.token import sign
from camrelay.config import Auth, Camera
from camrelay.errors import CallbackFailed, ScopeDenied, TokenMissing, TokenSignatureInvalid
from camrelay.model import Action, EndReason, EventType, Protocol

HLS, WEBRTC, SNAPSHOT = Protocol.HLS, Protocol.WEBRTC, Protocol.SNAPSHOT

CAMERAS = {
    "door": Camera(id="door", url="rtsp://192.0.2.1/"),
    "lobby": Camera(id="lobby", url="rtsp://192.0.2.3/", visibility="public"),
}

ANNA = ("Authorization", "Basic " + base64.b64encode(b"anna:hunter2").decode())


LEASE_S = 300.0


class House:
    """A gate, and the service it asks. `status` is what the service answers now."""

    def __init__(self, store: Path) -> None:
        self.status = 200
        self.asked: list[dict[str, Any]] = []
        self.changed = asyncio.Condition()
        self.held: asyncio.Event | None = None
        self.log = FakeLog()
        app = web.Application()
        app.router.add_post("/auth", self._answer)
        self.server = TestServer(app)
        self.keys = KeyRing(store / "keys")
        self._store = store

    def gate(self, **options: Any) -> Gate:
        url = str(self.server.make_url("/auth?key=s3cret"))
        return Gate(
            Auth(),
            self.keys,
            RevocationFile(self._store / "revocations.jsonl"),
            CAMERAS.get,
            self.log.append,
            callback=Callback(config.Callback(url=url, **options)),
        )

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(is_so)

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        async with self.changed:
            self.asked.append(body)
            self.changed.notify_all()
        if self.held is not None:
            await self.held.wait()
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    await made.server.start_server()
    yield made
    await made.server.close()


@pytest.fixture
async def gate(house: House) -> AsyncIterator[Gate]:
    made = house.gate(timeout_s=20)
    await made.start()
    yield made
    await made.close()


async def test_the_service_admits(house: House, gate: Gate) -> None:
    """The record names whom it let in, and the body is what MediaMTX would have sent."""
    opened = await gate.open_session(make_request(headers=[ANNA], query="a=b"), "door")
    assert opened.expires_us is None
    viewer = await gate.authorize(make_request(secret=opened.secret), "door", HLS)
    assert (viewer.subject, viewer.end_reason) == ("callback:anna", None)
    (asked,) = house.asked
    assert len(asked.pop("id")) == 36
    assert asked == {
        "user": "anna",
        "password": "hunter2",
        "token": "",
        "ip": "203.0.113.9",
        "action": "read",
        "path": "door",
        "protocol": "hls",
        "query": "a=b",
    }
    assert "hunter2" not in repr(house.log.events)


async def test_every_way_to_media_asks(house: House, gate: Gate) -> None:
    """WHEP and snapshots too, by what they show; and a viewing that may begin counts for a camera's limit."""
    for protocol, action in ((WEBRTC, Action.WATCH), (SNAPSHOT, Action.SNAPSHOT)):
        viewer = await gate.authorize(make_request(token="opaque"), "door", protocol, action)
        assert viewer.end_reason is None
    assert [(each["protocol"], each["token"]) for each in house.asked] == [
        ("webrtc", "opaque"),
        ("snapshot", "opaque"),
    ]
    for request in (make_request(headers=[ANNA]), make_request()):
        request.match_info["camera"] = "door"
        assert gate.may_begin(request)


async def test_the_service_refuses(house: House, gate: Gate) -> None:
    """It answers like a camera that is not there, and so does a camera that is not there."""
    for status in (302, 401, 404):
        house.status = status
        for camera in ("door", "nowhere"):
            with pytest.raises(TokenMissing, match="callback_refused"):
                await gate.open_session(make_request(headers=[ANNA]), camera)
    assert {each["path"] for each in house.asked} == {"door", "nowhere"}
    # What was shown may be anybody's: the record does not say it was theirs.
    assert {(event.type, event.subject) for event in house.log.events} == {(EventType.DENY, "")}
    house.status = 200
    with pytest.raises(ScopeDenied):
        await gate.open_session(make_request(headers=[ANNA]), "nowhere")


async def test_what_camrelay_knows_it_asks_nobody(house: House, gate: Gate) -> None:
    """Its own grants, good or bad, and cameras that are public."""
    good = sign(make_grant_now(house), house.keys.signing, Auth())
    await gate.authorize(make_request(token=good), "door", WEBRTC)
    with pytest.raises(ScopeDenied):
        await gate.authorize(make_request(token=good), "nowhere", WEBRTC)
    with pytest.raises(TokenSignatureInvalid):
        await gate.authorize(make_request(token=good[:-8] + "AAAAAAAA"), "door", WEBRTC)
    await gate.authorize(make_request(), "lobby", WEBRTC)
    assert house.asked == []


def make_grant_now(house: House) -> Any:
    """A grant for the real clock."""
    now_us = time.time_ns() // 1_000_000_000 * 1_000_000
    return make_grant(
        key=house.keys.signing.kid,
        issued_us=now_us,
        not_before_us=now_us,
        expires_us=now_us + 300_000_000,
    )


async def test_a_service_that_fails_admits_nobody(
    house: House, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """503 says whose fault it is; the log says it once, and neither says the URL or a password."""
    request = make_request(headers=[ANNA])
    house.status = 500
    with pytest.raises(CallbackFailed, match=r"\[callback\]") as caught:
        await gate.open_session(request, "door")
    await house.server.close()
    with pytest.raises(CallbackFailed):
        await gate.open_session(request, "door")
    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert errors == ["the service of [callback] does not answer (500); nobody is admitted by it"]
    assert not any(secret in caplog.text + str(caught.value) for secret in ("s3cret", "hunter2", "anna"))


async def test_a_service_that_is_silent_admits_nobody(house: House) -> None:
    """Whoever waits for it is told after `timeout_s`."""
    gate = house.gate(timeout_s=0.1)
    await gate.start()
    house.held = asyncio.Event()
    with pytest.raises(CallbackFailed):
        await gate.open_session(make_request(headers=[ANNA]), "door")
    house.held.set()
    await gate.close()


async def test_there_is_an_end_to_questions(house: House) -> None:
    """A slow service is not asked without end; whoever comes too late hears so at once."""
    gate = house.gate(max_questions=2, timeout_s=20)
    await gate.start()
    house.held = asyncio.Event()
    waiting = [asyncio.create_task(gate.open_session(make_request(), "door")) for _ in range(2)]
    await house.until(lambda: len(house.asked) == 2)
    with pytest.raises(CallbackFailed, match="too many"):
        await gate.open_session(make_request(), "door")
    house.held.set()
    await asyncio.gather(*waiting)
    await gate.open_session(make_request(), "door")
    assert len(house.asked) == 3
    await gate.close()


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of LEASE_S that are asked for again every 60 ms: a slow machine does not let one run out."""
    monkeypatch.setattr("camrelay.auth.callback.RENEW_AT", 0.0002)
    monkeypatch.setattr("camrelay.auth.callback.RETRIES", 5000)


@pytest.mark.usefixtures("short_leases")
async def test_the_same_is_asked_again_while_somebody_watches(house: House) -> None:
    """With the same id, until the service refuses: then the viewing ends."""
    gate = house.gate(lease_s=LEASE_S, timeout_s=20)
    await gate.start()
    viewer = await gate.authorize(make_request(headers=[ANNA]), "door", WEBRTC)
    deadline = next(iter(gate._sessions._sessions.values())).deadline
    await house.until(lambda: len(house.asked) >= 4)
    assert next(iter(gate._sessions._sessions.values())).deadline > deadline
    assert len({each["id"] for each in house.asked}) == 1
    assert viewer.end_reason is None
    ended = asyncio.get_running_loop().create_future()
    viewer.on_end(ended.set_result)
    house.status = 403
    async with asyncio.timeout(30):
        assert await ended is EndReason.REVOKED
    await gate.close()


@pytest.mark.usefixtures("short_leases")
async def test_a_service_that_fails_later_is_asked_again(house: House) -> None:
    """What runs goes on meanwhile, and on and on when the service is back."""
    gate = house.gate(lease_s=LEASE_S, timeout_s=20)
    await gate.start()
    viewer = await gate.authorize(make_request(headers=[ANNA]), "door", WEBRTC)
    house.status = 500
    await house.until(lambda: len(house.asked) >= 3)
    assert viewer.end_reason is None
    answered = metrics.REGISTRY.get_sample_value("camrelay_callback_answers_total", {"outcome": "admitted"})
    house.status = 200
    seen = len(house.asked)
    await house.until(lambda: len(house.asked) >= seen + 2)
    assert answered is not None
    assert viewer.end_reason is None
    await gate.close()


async def test_a_service_that_fails_for_a_whole_lease_admits_nobody_any_more(house: House) -> None:
    """What runs by its last answer ends with it."""
    gate = house.gate(lease_s=0.3, timeout_s=20)
    await gate.start()
    viewer = await gate.authorize(make_request(headers=[ANNA]), "door", WEBRTC)
    ended = asyncio.get_running_loop().create_future()
    viewer.on_end(ended.set_result)
    house.status = 500
    async with asyncio.timeout(30):
        assert await ended is EndReason.EXPIRED
    await gate.close()


@pytest.mark.usefixtures("short_leases")
async def test_a_session_that_is_over_is_asked_about_no_more(house: House) -> None:
    """Nor are its credentials kept."""
    gate = house.gate(lease_s=LEASE_S, timeout_s=20)
    await gate.start()
    opened = await gate.open_session(make_request(headers=[ANNA]), "door")
    session = gate._sessions.get(opened.id)
    assert session is not None
    assert session.renewing is not None
    first = session.renewing
    await gate.renew_session(make_request(headers=[ANNA]), opened.id)
    second = session.renewing
    await gate.revoke(Handle(HandleKind.SESSION, opened.id))
    for task in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await task
    await gate.close()
