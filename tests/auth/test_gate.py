"""The gate on fake clocks and a fake log: who gets a viewer, and when it is taken away again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from auth_builders import NOW_US, FakeClock, FakeLog, make_grant, make_request
from camrelay import metrics
from camrelay.auth import revocation_reader
from camrelay.auth.gate import Gate
from camrelay.auth.keys import ACTIVATION_S, KeyRing
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.revocation import Revocation, RevocationFile
from camrelay.auth.session import OpenedSession
from camrelay.auth.sessions import MAX_VIEWINGS, SESSION_IDLE_S
from camrelay.auth.token import sign
from camrelay.config import Auth, Camera
from camrelay.errors import (
    AccessDenied,
    AuditUnavailable,
    NotReady,
    Overloaded,
    ScopeDenied,
    SessionEnded,
    TokenError,
    TokenExpired,
    TokenMalformed,
    TokenMissing,
    TokenRevoked,
)
from camrelay.model import Action, CameraId, EndReason, EventType, Protocol, Viewer

HLS, WEBRTC, SNAPSHOT = Protocol.HLS, Protocol.WEBRTC, Protocol.SNAPSHOT
START, STOP, DENY = EventType.START, EventType.STOP, EventType.DENY

CAMERAS = {
    "door": Camera(id="door", url="rtsp://192.0.2.1/"),
    "yard": Camera(id="yard", url="rtsp://192.0.2.2/"),
    "lobby": Camera(id="lobby", url="rtsp://192.0.2.3/", visibility="public"),
}


class House:
    """A gate with its keys, clocks, log and revocations."""

    def __init__(self, store: Path, **options: Any) -> None:
        self.clock = FakeClock()
        self.log = FakeLog()
        self.options = Auth(**options)
        self.keys = KeyRing(store / "keys")
        self.revocations = RevocationFile(store / "revocations.jsonl")
        self.gate = Gate(
            self.options,
            self.keys,
            self.revocations,
            CAMERAS.get,
            self.log.append,
            trusted_proxies=["10.0.0.1"],
            hls_idle_timeout_s=30.0,
            now=lambda: self.clock.now,
            utc_us=lambda: self.clock.utc_us,
        )

    def token(self, **overrides: Any) -> str:
        return sign(make_grant(key=self.keys.signing.kid, **overrides), self.keys.signing, self.options)

    async def open(self, camera: str = "door", **overrides: Any) -> OpenedSession:
        return await self.gate.open_session(make_request(token=self.token(**overrides)), camera)

    async def watch(self, opened: OpenedSession, protocol: Protocol = HLS) -> Viewer:
        return await self.gate.authorize(make_request(secret=opened.secret), opened.camera, protocol)

    async def settle(self, seconds: float) -> None:
        """Lets time pass as the gate's timer would see it: keys and revocations read, deadlines kept."""
        self.clock.pass_time(seconds)
        self.gate._reader._heard_at = self.clock.now
        self.gate._sessions.tick()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.gate.start()
    yield house
    await house.gate.close()


def decisions(outcome: str, reason: str) -> float:
    value = metrics.REGISTRY.get_sample_value(
        "camrelay_auth_decisions_total", {"outcome": outcome, "reason": reason}
    )
    return value or 0.0


# A viewing, from the first request to the record of its end.


async def test_a_viewing_goes_on_record_at_both_ends(house: House) -> None:
    """Who, what, when, how long, how much and why it ended; what is kept of the address the log decides."""
    opened = await house.open()
    viewer = await house.watch(opened)
    viewer.bytes_sent = 123_456
    house.clock.pass_time(2.5)
    viewer.end(EndReason.CLIENT_CLOSED)
    start, stop = house.log.events
    assert (start.type, start.camera, start.protocol, start.outcome) == (START, "door", "hls", "allow")
    assert (start.subject, start.address, start.agent) == ("anna", "203.0.113.9", "VLC")
    assert start.ts_us == NOW_US
    assert (stop.type, stop.reason, stop.bytes_sent, stop.duration_ms) == (
        STOP,
        "client_closed",
        123_456,
        2500,
    )
    assert stop.ts_us == NOW_US + 2_500_000
    assert {(e.viewing, e.session) for e in (start, stop)} == {(viewer.id, opened.id)}


async def test_media_waits_for_the_record(house: House) -> None:
    """The viewer is handed out after its start is durable, not before."""
    opened = await house.open()
    house.log.held = True
    waiting = asyncio.create_task(house.watch(opened))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert house.log.told() == [(START, "")]
    assert not waiting.done()
    house.log.release()
    assert (await waiting).end_reason is None


async def test_first_requests_at_the_same_time_are_one_viewing(house: House) -> None:
    """A player asks for playlist and init at once: one record, one viewer."""
    opened = await house.open()
    house.log.held = True
    waiting = [asyncio.create_task(house.watch(opened)) for _ in range(5)]
    await house.log.asked.wait()
    house.log.release()
    viewers = await asyncio.gather(*waiting)
    assert len({id(viewer) for viewer in viewers}) == 1
    assert house.log.told() == [(START, "")]
    assert await house.watch(opened) is viewers[0]


async def test_an_impatient_first_request_does_not_end_it_for_the_others(house: House) -> None:
    """One of two waiting HLS requests is cancelled; the other gets the viewer."""
    opened = await house.open()
    house.log.held = True
    one, two = (asyncio.create_task(house.watch(opened)) for _ in range(2))
    await house.log.asked.wait()
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    house.log.release()
    assert (await two).end_reason is None


async def test_a_whep_request_that_goes_away_leaves_no_viewing_behind(house: House) -> None:
    """Nobody else would end it."""
    house.log.held = True
    request = make_request(token=house.token())
    waiting = asyncio.create_task(house.gate.authorize(request, "door", WEBRTC))
    await house.log.asked.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert house.gate.sessions() == []
    assert house.log.told() == [(START, ""), (STOP, "client_gone")]
    house.log.release()


async def test_no_record_no_media(house: House) -> None:
    """Case 64: the log refuses, so does the gate; afterwards the same session works."""
    opened = await house.open()
    house.log.broken = True
    with pytest.raises(AuditUnavailable):
        await house.watch(opened)
    with pytest.raises(AuditUnavailable):
        await house.gate.authorize(make_request(token=house.token()), "door", WEBRTC)
    assert [session.id for session in house.gate.sessions()] == [opened.id]
    assert STOP not in [event.type for event in house.log.events]
    house.log.broken = False
    assert (await house.watch(opened)).end_reason is None


async def test_running_media_does_not_notice_a_broken_log(house: House) -> None:
    """Case 64: who watches goes on watching, over a full disk too."""
    opened = await house.open()
    viewer = await house.watch(opened)
    house.log.broken = True
    assert await house.watch(opened) is viewer
    viewer.end(EndReason.CLIENT_CLOSED)
    assert house.log.told()[-1] == (STOP, "client_closed")


async def test_a_session_revoked_while_its_start_is_written_is_not_shown(house: House) -> None:
    """The record exists, the viewer does not."""
    opened = await house.open()
    house.log.held = True
    waiting = asyncio.create_task(house.watch(opened))
    await house.log.asked.wait()
    await house.gate.revoke(Handle(HandleKind.SESSION, opened.id))
    house.log.release()
    with pytest.raises(SessionEnded):
        await waiting
    assert house.log.told() == [(START, ""), (STOP, "revoked")]


async def test_every_whep_post_is_a_viewing_of_its_own(house: House) -> None:
    """Two windows of one media session are two viewings, up to a limit."""
    opened = await house.open()
    viewers = [await house.watch(opened, WEBRTC) for _ in range(MAX_VIEWINGS)]
    assert len({viewer.id for viewer in viewers}) == MAX_VIEWINGS
    assert house.gate.viewers(CameraId("door")) == MAX_VIEWINGS
    with pytest.raises(Overloaded):
        await house.watch(opened, WEBRTC)
    viewers[0].end(EndReason.CLIENT_CLOSED)
    assert (await house.watch(opened, WEBRTC)).end_reason is None


async def test_a_grant_without_a_session_carries_one_viewing(house: House) -> None:
    """WHEP with a Bearer token: the session behind it is listed, and ends with the viewing."""
    viewer = await house.gate.authorize(make_request(token=house.token()), "door", WEBRTC)
    (info,) = house.gate.sessions()
    assert (info.id, info.camera, info.subject, info.method) == (viewer.session, "door", "anna", "grant")
    assert [(v.id, v.protocol) for v in info.viewings] == [(viewer.id, WEBRTC)]
    viewer.end(EndReason.CLIENT_CLOSED)
    assert house.gate.sessions() == []
    assert house.gate.viewers(CameraId("door")) == 0


async def test_a_silent_player_is_gone_and_may_come_back(house: House) -> None:
    """30 s without a request end the viewing, not the session: the next request begins another viewing."""
    opened = await house.open()
    first = await house.watch(opened)
    await house.settle(29)
    assert await house.watch(opened) is first
    await house.settle(29)
    assert first.end_reason is None
    await house.settle(2)
    assert first.end_reason is EndReason.CLIENT_GONE
    second = await house.watch(opened)
    assert second.id != first.id
    assert house.log.told() == [(START, ""), (STOP, "client_gone"), (START, "")]


async def test_a_slow_download_is_not_silence(house: House) -> None:
    """No new request, but bytes go out: the viewer of a segment on a slow line is there."""
    viewer = await house.watch(await house.open())
    for _ in range(4):
        viewer.bytes_sent += 1
        await house.settle(30)
        assert viewer.end_reason is None
    await house.settle(30)
    assert viewer.end_reason is EndReason.CLIENT_GONE


async def test_a_session_nobody_uses_gives_its_place_back(house: House) -> None:
    """Opened and forgotten: gone after ten minutes, whether it was ever used or not."""
    unused = await house.gate.open_session(make_request(), "lobby")
    used = await house.gate.open_session(make_request(), "lobby")
    (await house.watch(used)).end(EndReason.CLIENT_CLOSED)
    watching = await house.gate.open_session(make_request(), "lobby")
    await house.watch(watching, WEBRTC)
    await house.settle(SESSION_IDLE_S)
    assert [session.id for session in house.gate.sessions()] == [watching.id]
    for session in (unused, used):
        with pytest.raises(SessionEnded):
            await house.watch(session)


async def test_there_is_an_end_to_sessions(tmp_path: Path) -> None:
    """max_sessions are alive at most; each that ends makes room."""
    house = House(tmp_path, max_sessions=2)
    await house.gate.start()
    one = await house.open()
    await house.gate.authorize(make_request(), "lobby", WEBRTC)
    with pytest.raises(Overloaded):
        await house.open()
    await house.gate.revoke(Handle(HandleKind.SESSION, one.id))
    await house.open()
    await house.gate.close()


async def test_the_end_of_the_server_is_on_record(house: House) -> None:
    """Everything running ends with the server, and nothing begins any more."""
    viewer = await house.watch(await house.open())
    await house.gate.close()
    assert viewer.end_reason is EndReason.SERVER_STOP
    assert house.log.told()[-1] == (STOP, "server_stop")
    with pytest.raises(Overloaded):
        await house.open()


async def test_an_output_that_fails_to_stop_does_not_keep_others_running(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in one place ends there, with a trace in the log."""
    opened = await house.open()
    viewers = [await house.watch(opened, WEBRTC) for _ in range(2)]

    def fail(_: EndReason) -> None:
        raise ZeroDivisionError

    viewers[0].on_end(fail)
    await house.gate.revoke(Handle(HandleKind.SESSION, opened.id))
    assert [viewer.end_reason for viewer in viewers] == [EndReason.REVOKED] * 2
    assert "did not end cleanly" in caplog.text


# Who may.


@pytest.mark.parametrize(
    ("camera", "grant", "error"),
    [
        ("yard", {}, ScopeDenied),
        ("nowhere", {}, ScopeDenied),
        ("../door", {}, ScopeDenied),
        ("door", {"cameras": ("yard",)}, ScopeDenied),
        ("door", {"actions": (Action.SNAPSHOT,)}, AccessDenied),
        ("door", None, TokenMissing),
        ("nowhere", None, TokenMissing),
    ],
)
async def test_denials(
    house: House, camera: str, grant: dict[str, Any] | None, error: type[Exception]
) -> None:
    """Case 1 and 2: for a session and for WHEP alike."""
    request = make_request(token=None if grant is None else house.token(**grant))
    with pytest.raises(error) as caught:
        await house.gate.open_session(request, camera)
    assert type(caught.value) is error
    with pytest.raises(error):
        await house.gate.authorize(request, camera, WEBRTC)
    assert house.gate.sessions() == []


async def test_a_denial_is_on_record_with_whom_and_why(house: House) -> None:
    """A sound token on a foreign camera says whose it was; what may be a credential is not repeated."""
    with pytest.raises(ScopeDenied):
        await house.gate.authorize(make_request(token=house.token()), "yard", WEBRTC)
    with pytest.raises(TokenMissing):
        await house.gate.open_session(make_request(), "eyJhbGciOiJFZERTQSJ9.secret")
    first, second = house.log.events
    assert (first.type, first.outcome, first.reason) == (DENY, "deny", "camera_not_granted")
    assert (first.camera, first.protocol, first.subject) == ("yard", "webrtc", "anna")
    assert (first.address, first.agent) == ("203.0.113.9", "VLC")
    assert (second.camera, second.reason, second.subject) == ("?", "no_token", "")


async def test_a_secret_opens_its_own_camera_only(house: House) -> None:
    """Case 1: the capability of one camera is nothing to another, nor to an action it was not given."""
    opened = await house.open(cameras=("*",))
    await house.watch(opened)
    with pytest.raises(ScopeDenied):
        await house.gate.authorize(make_request(secret=opened.secret), "yard", HLS)
    with pytest.raises(AccessDenied) as caught:
        await house.gate.authorize(make_request(secret=opened.secret), "door", SNAPSHOT, Action.SNAPSHOT)
    assert caught.value.reason == "action_not_granted"


@pytest.mark.parametrize("secret", ["", "x", "x" * 10_000, "é", "\udcff", "../etc"])
async def test_a_secret_that_never_was(house: House, secret: str) -> None:
    """Case 20: any text in its place is unknown, at the price of one hash."""
    with pytest.raises(ScopeDenied) as caught:
        await house.gate.authorize(make_request(secret=secret), "door", HLS)
    assert caught.value.reason == "unknown_session"


async def test_secrets_are_long_different_and_not_kept(house: House) -> None:
    """160 bits each; nothing in the gate could give one away."""
    opened = [await house.open() for _ in range(20)]
    assert len({o.secret for o in opened}) == 20
    assert {len(o.secret) for o in opened} == {27}
    kept = repr(vars(house.gate._sessions)) + repr(
        [vars_of(s) for s in house.gate._sessions._sessions.values()]
    )
    assert not any(o.secret in kept for o in opened)


def vars_of(value: Any) -> list[Any]:
    return [getattr(value, name) for name in value.__slots__]


async def test_a_public_camera_needs_nothing(house: House) -> None:
    """No subject, no end in time."""
    opened = await house.gate.open_session(make_request(), "lobby")
    assert opened.expires_us is None
    assert (await house.watch(opened)).subject == ""
    assert (await house.gate.authorize(make_request(), "lobby", WEBRTC)).subject == ""
    await house.settle(20)
    assert len(house.gate.sessions()) == 2


async def test_a_bad_token_is_refused_on_a_public_camera_too(house: House) -> None:
    """Whoever shows a credential is told when it is not good; a proxy's Basic is none."""
    with pytest.raises(TokenMalformed):
        await house.gate.open_session(make_request(token="x"), "lobby")
    basic = make_request(headers=[("Authorization", "Basic YTpi")])
    assert await house.gate.open_session(basic, "lobby")


async def test_tokens_in_urls(house: House, tmp_path: Path) -> None:
    """Case 62: refused unless configured, and one request shows one token."""
    token = house.token()
    with pytest.raises(TokenMissing) as caught:
        await house.gate.open_session(make_request(query=f"token={token}"), "door")
    assert caught.value.reason == "query_token"
    assert token not in str(caught.value)
    two = make_request(token=token, headers=[("Authorization", f"bearer {token}")])
    with pytest.raises(TokenMalformed):
        await house.gate.open_session(two, "door")
    lenient = House(tmp_path / "lenient", query_tokens=True)
    await lenient.gate.start()
    raw = lenient.token()
    assert await lenient.gate.open_session(make_request(query=f"token={raw}"), "door")
    with pytest.raises(TokenMalformed):
        await lenient.gate.open_session(make_request(query=f"token={raw}", token=raw), "door")
    await lenient.gate.close()


async def test_the_address_behind_a_trusted_proxy(house: House) -> None:
    """Case 42: X-Forwarded-For counts from our proxy, from nobody else."""
    forwarded = [("X-Forwarded-For", "198.51.100.7")]
    for peer in ("10.0.0.1", "203.0.113.9"):
        await house.gate.authorize(make_request(peer=peer, headers=forwarded), "lobby", WEBRTC)
    assert [event.address for event in house.log.events] == ["198.51.100.7", "203.0.113.9"]


async def test_a_flood_of_denials_is_a_few_lines_and_a_count(house: House) -> None:
    """Case 65: the disk does not fill, and no denial goes uncounted."""
    before = decisions("deny", "no_token")
    request = make_request()
    for _ in range(1000):
        with pytest.raises(TokenMissing):
            await house.gate.open_session(request, "door")
    assert len(house.log.events) == 100
    assert decisions("deny", "no_token") - before == 1000
    await house.gate.close()
    summary = house.log.events[-1]
    assert (summary.type, summary.camera, summary.reason, summary.count) == (DENY, "*", "no_token", 900)


async def test_a_flood_is_summed_up_once_a_minute(house: House) -> None:
    """Not only at the end of the server."""
    request = make_request()
    for _ in range(101):
        with pytest.raises(TokenMissing):
            await house.gate.open_session(request, "door")
    assert house.log.events[-1].count == 1
    house.log.asked.clear()
    house.clock.pass_time(61)
    async with asyncio.timeout(2.0):
        await house.log.asked.wait()
    assert [event.count for event in house.log.events if event.camera == "*"] == [1]


# Until when.


async def test_expiry_ends_hls(house: House) -> None:
    """Case 4: at the deadline the viewer is cut, and the next request is told that the session is over."""
    opened = await house.open()
    viewer = await house.watch(opened)
    cut: list[EndReason] = []
    viewer.on_end(cut.append)
    await house.settle(20)
    await house.watch(opened)
    house.clock.pass_time(280)
    with pytest.raises(SessionEnded) as caught:
        await house.watch(opened)
    assert caught.value.reason == "expired"
    assert cut == [EndReason.EXPIRED]
    assert house.log.told() == [(START, ""), (STOP, "expired")]


async def test_expiry_ends_webrtc(house: House) -> None:
    """Case 5: no request comes that could be refused; the timer cuts."""
    viewer = await house.gate.authorize(make_request(token=house.token()), "door", WEBRTC)
    await house.settle(299.9)
    assert viewer.end_reason is None
    await house.settle(0.1)
    assert viewer.end_reason is EndReason.EXPIRED


@pytest.mark.parametrize("hours", [-1, 1])
async def test_setting_the_clock_changes_no_deadline(house: House, hours: int) -> None:
    """Case 21: what runs ends after the time it was given, whatever the wall clock says."""
    opened = await house.open()
    viewer = await house.watch(opened, WEBRTC)
    house.clock.utc_us += hours * 3_600_000_000
    await house.settle(299)
    assert viewer.end_reason is None
    await house.settle(1)
    assert viewer.end_reason is EndReason.EXPIRED


@pytest.mark.parametrize("kind", list(HandleKind))
async def test_revocation_by_every_handle(house: House, kind: HandleKind) -> None:
    """Case 6: HLS and WebRTC end in the same tick, and the others go on."""
    mine = await house.open()
    viewers = [await house.watch(mine, HLS), await house.watch(mine, WEBRTC)]
    other = await house.gate.open_session(make_request(), "lobby")
    others = await house.watch(other, HLS)
    ids = {
        HandleKind.TOKEN: "t1",
        HandleKind.KEY: house.keys.signing.kid,
        HandleKind.ACCOUNT: "anna",
        HandleKind.TENANT: "",
        HandleKind.CAMERA: "door",
        HandleKind.SESSION: mine.id,
    }
    if kind not in ids:
        assert await house.gate.revoke(Handle(kind, "t1")) == 0
        return
    assert await house.gate.revoke(Handle(kind, ids[kind])) == 1
    assert [viewer.end_reason for viewer in viewers] == [EndReason.REVOKED] * 2
    assert others.end_reason is None
    with pytest.raises(SessionEnded):
        await house.watch(mine)
    if kind in (HandleKind.CAMERA, HandleKind.SESSION):
        assert await house.open()
        return
    with pytest.raises(TokenRevoked):
        await house.open()


async def test_a_removed_camera_says_so(house: House) -> None:
    """The reason on record is what happened."""
    viewer = await house.watch(await house.open())
    await house.gate.revoke(Handle(HandleKind.CAMERA, "door"), EndReason.CAMERA_REMOVED)
    assert viewer.end_reason is EndReason.CAMERA_REMOVED


async def test_a_revocation_survives_a_restart(house: House, tmp_path: Path) -> None:
    """Case 6: the token is refused by the next server on this store, too."""
    token = house.token()
    await house.gate.revoke(Handle(HandleKind.TOKEN, "t1"))
    again = House(tmp_path)
    await again.gate.start()
    with pytest.raises(TokenRevoked):
        await again.gate.open_session(make_request(token=token), "door")
    await again.gate.close()


async def test_a_revocation_that_cannot_be_stored_still_cuts(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 25: the disk is full; the viewer ends, and whoever revoked learns that it would be forgotten."""
    viewer = await house.watch(await house.open())

    def fail(_: Revocation) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(house.revocations, "append", fail)
    with pytest.raises(NotReady):
        await house.gate.revoke(Handle(HandleKind.TOKEN, "t1"))
    assert viewer.end_reason is EndReason.REVOKED
    with pytest.raises(TokenRevoked):
        await house.open()


async def test_without_news_of_revocations_no_grant_is_accepted(house: House) -> None:
    """Case 25: fail closed for private cameras; public ones and running viewings go on."""
    opened = await house.open()
    viewer = await house.watch(opened)
    house.clock.pass_time(5.1)
    with pytest.raises(Overloaded):
        await house.open()
    assert await house.watch(opened) is viewer
    assert await house.gate.open_session(make_request(), "lobby")


async def test_renewal_has_no_gap(house: House) -> None:
    """A new grant moves the end; the viewing goes on as if nothing had happened."""
    opened = await house.open()
    viewer = await house.watch(opened, WEBRTC)
    await house.settle(200)
    fresh = {"id": "t2", "issued_us": house.clock.utc_us, "expires_us": house.clock.utc_us + 300_000_000}
    renewed = await house.gate.renew_session(make_request(token=house.token(**fresh)), opened.id)
    assert renewed.expires_us == fresh["expires_us"]
    await house.settle(299)
    assert viewer.end_reason is None
    assert await house.gate.revoke(Handle(HandleKind.TOKEN, "t1")) == 0
    assert await house.gate.revoke(Handle(HandleKind.TOKEN, "t2")) == 1
    assert viewer.end_reason is EndReason.REVOKED


async def test_renewal_with_less_narrows_and_with_somebody_elses_grant_fails(house: House) -> None:
    """Case 22: an earlier end counts; another subject or camera changes nothing; what is over stays over."""
    opened = await house.open()
    for overrides, error in (
        ({"subject": "boris"}, AccessDenied),
        ({"cameras": ("yard",)}, ScopeDenied),
        ({"actions": (Action.SNAPSHOT,)}, AccessDenied),
    ):
        with pytest.raises(error):
            await house.gate.renew_session(make_request(token=house.token(**overrides)), opened.id)
    sooner = house.token(id="t3", expires_us=NOW_US + 10_000_000)
    await house.gate.renew_session(make_request(token=sooner), opened.id)
    await house.settle(10)
    with pytest.raises(SessionEnded):
        await house.watch(opened)
    with pytest.raises(ScopeDenied):
        await house.gate.renew_session(make_request(token=house.token()), opened.id)


async def test_ended_sessions_are_remembered_for_a_while(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """410 for the latest, 404 once too many came after; asking again is no new denial on record."""
    monkeypatch.setattr("camrelay.auth.sessions.DEAD_LIMIT", 2)
    opened = [await house.open(id=f"t{n}") for n in range(3)]
    await house.gate.revoke(Handle(HandleKind.ACCOUNT, "anna"))
    with pytest.raises(ScopeDenied):
        await house.watch(opened[0])
    for session in opened[1:]:
        with pytest.raises(SessionEnded):
            await house.watch(session)
    assert house.log.told() == [(DENY, "unknown_session")]


# On real clocks, over real HTTP.


async def test_another_process_revokes_within_a_second(house: House) -> None:
    """`camrelay token revoke` writes the file; the running server reads it."""
    viewer = await house.watch(await house.open(), WEBRTC)
    ended = asyncio.Event()
    viewer.on_end(lambda _: ended.set())
    RevocationFile(house.revocations._path).append(Revocation(HandleKind.TOKEN, "t1", NOW_US))
    async with asyncio.timeout(1.0):
        await ended.wait()
    assert viewer.end_reason is EndReason.REVOKED


async def test_the_timer_cuts_at_the_deadline(tmp_path: Path) -> None:
    """Expiry without any request, on the real clock: within a second."""
    log = FakeLog()
    keys = KeyRing(tmp_path / "keys")
    gate = Gate(Auth(), keys, RevocationFile(tmp_path / "revocations.jsonl"), CAMERAS.get, log.append)
    await gate.start()
    loop = asyncio.get_running_loop()
    now_us = gate._utc_us()
    issued_us = now_us // 1_000_000 * 1_000_000
    grant = make_grant(
        key=keys.signing.kid, issued_us=issued_us, not_before_us=issued_us, expires_us=issued_us + 2_000_000
    )
    viewer = await gate.authorize(make_request(token=sign(grant, keys.signing, Auth())), "door", WEBRTC)
    ended = loop.create_future()
    viewer.on_end(lambda _: ended.set_result(gate._utc_us()))
    async with asyncio.timeout(4.0):
        ended_us = await ended
    assert 0 <= ended_us - grant.expires_us < 1_000_000
    await gate.close()


async def test_a_new_key_reaches_a_running_gate(house: House, tmp_path: Path) -> None:
    """Case 27: a rotation by another process is known before the new key signs its first token."""
    assert revocation_reader.POLL_S < ACTIVATION_S / 2
    kid = KeyRing(tmp_path / "keys").rotate().kid
    async with asyncio.timeout(2.0):
        while kid not in house.keys.verification:  # noqa: ASYNC110 - a ring has no event
            await asyncio.sleep(0.01)


async def test_an_unreadable_store_is_said_once(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Trouble that lasts is one line, and it ends when the trouble ends."""
    asked = asyncio.Event()
    calls = 0

    def fail() -> list[Revocation]:
        nonlocal calls
        calls += 1
        if calls == 2:
            loop.call_soon_threadsafe(asked.set)
        raise PermissionError(13, "Permission denied")

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(revocation_reader, "POLL_S", 0.01)
    monkeypatch.setattr(house.revocations, "read_new", fail)
    async with asyncio.timeout(2.0):
        await asked.wait()
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [
        "keys or revocations cannot be read (PermissionError)"
    ]


async def test_trouble_in_the_timer_does_not_stop_it(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in one tick is logged; the next tick comes."""
    ticked = asyncio.Event()
    calls = 0

    def fail() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            ticked.set()
        raise ZeroDivisionError

    monkeypatch.setattr(house.gate._sessions, "tick", fail)
    async with asyncio.timeout(2.0):
        await ticked.wait()
    assert "could not end everything" in caplog.text


async def test_through_a_real_server(house: House) -> None:
    """Bearer, path secret and address as aiohttp really delivers them."""

    async def media(request: web.Request) -> web.Response:
        try:
            viewer = await house.gate.authorize(request, request.match_info["camera"], HLS)
        except TokenError as error:
            return web.Response(status=401, text=error.code)
        except SessionEnded as error:
            return web.Response(status=410, text=error.code)
        except ScopeDenied as error:
            return web.Response(status=404, text=error.code)
        return web.Response(text=viewer.id)

    async def sessions(request: web.Request) -> web.Response:
        opened = await house.gate.open_session(request, (await request.json())["camera"])
        return web.json_response({"secret": opened.secret})

    app = web.Application()
    app.router.add_get("/m/{secret}/{camera}/{name}", media)
    app.router.add_post("/v1/media/sessions", sessions)
    async with TestServer(app) as server, ClientSession() as client:
        headers = {"Authorization": f"Bearer {house.token()}", "User-Agent": "Lavf/62.12.100"}
        async with client.post(
            server.make_url("/v1/media/sessions"), json={"camera": "door"}, headers=headers
        ) as answer:
            secret = (await answer.json())["secret"]

        async def get(path: str) -> tuple[int, str]:
            async with client.get(server.make_url(path)) as answer:
                return answer.status, await answer.text()

        status, viewing = await get(f"/m/{secret}/door/index.m3u8")
        assert (status, viewing) == (200, house.log.events[0].viewing)
        assert await get(f"/m/{secret}/door/part.m4s") == (200, viewing)
        assert await get(f"/m/{secret}/yard/index.m3u8") == (404, "not_found")
        assert await get("/m/nonsense/door/index.m3u8") == (404, "not_found")
        house.clock.pass_time(300)
        assert await get(f"/m/{secret}/door/part.m4s") == (410, "session_ended")
    assert house.log.events[0].address == "127.0.0.1"


async def test_an_expired_token_is_refused(house: House) -> None:
    """Of all denials the most frequent."""
    token = house.token()
    await house.settle(300)
    with pytest.raises(TokenExpired):
        await house.gate.open_session(make_request(token=token), "door")


async def test_a_stolen_secret_is_worth_nothing_in_another_network(tmp_path: Path) -> None:
    """Cases 19 and 42: with `bind_network`; neighbours in the same /24 pass, and no header moves anybody."""
    house = House(tmp_path, bind_network=True)
    await house.gate.start()
    opened = await house.open()
    viewer = await house.watch(opened)
    assert house.gate.running(opened.secret, "door") is None
    near = make_request(secret=opened.secret, peer="203.0.113.200")
    await house.settle(29)
    assert await house.gate.authorize(near, "door", HLS) is viewer
    await house.settle(29)
    assert viewer.end_reason is None
    claim = ("X-Forwarded-For", "203.0.113.9")
    for far in (
        make_request(secret=opened.secret, peer="198.51.100.7"),
        make_request(secret=opened.secret, peer="198.51.100.7", headers=[claim]),
    ):
        for protocol in (HLS, WEBRTC):
            with pytest.raises(AccessDenied, match="another_network"):
                await house.gate.authorize(far, "door", protocol)
    await house.gate.close()
