"""Who may watch, until when, and what is on record afterwards."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from playwright.async_api import Browser

from asking import Answer, ask, media_playlist, offer, open_session
from camrelay.simulate.server import Simulator
from processes import Relay, StartRelay, until
from watching import Watching

pytestmark = pytest.mark.e2e

WHEP = {"Content_Type": "application/sdp"}


async def test_an_expired_token_ends_both_protocols(relay: Relay, chromium: Browser) -> None:
    """Within a second of the token's end no packet and no playlist comes any more; both are on record."""
    life_s = 12
    token = await relay.token("cam1", f"{life_s}s", "--for", "ana")
    opened = await open_session(relay, "cam1", token)
    expires_at = opened.json["expires_at"]
    assert 0 < expires_at - time.time() <= life_s
    webrtc = await Watching.open(chromium, relay.url(), "cam1", "webrtc", token)
    playlist = await media_playlist(relay, opened.json["hls"])
    await webrtc.more_pictures(25)
    assert (await ask(relay, "GET", playlist)).status == 200

    last_packet_at, (refused_at, refused) = await asyncio.gather(
        last_packet(webrtc, expires_at + 2), first_refusal(relay, playlist)
    )

    assert last_packet_at <= expires_at + 1
    assert expires_at - 0.1 <= refused_at <= expires_at + 1
    assert (refused.status, refused.problem["code"]) == (410, "session_ended")
    await webrtc.state("ended")
    stops = await records(relay, 2, type="stream.stop", camera="cam1")
    assert {record["protocol"] for record in stops} == {"hls", "webrtc"}
    assert {record["reason"] for record in stops} == {"expired"}
    for record in stops:
        assert record["bytes_sent"] > 0
        assert expires_at <= record["ts_us"] / 1e6 <= expires_at + 1
        (start,) = relay.records(type="stream.start", viewing=record["viewing"])
        assert start["protocol"] == record["protocol"]
        assert start["person"] == record["person"]
        assert start["ts_us"] < record["ts_us"]


async def test_a_stop_ends_every_viewing_on_record(relay: Relay, chromium: Browser) -> None:
    """SIGTERM while both protocols play: gone in 5 s, with status 0 and a stop on record for each start."""
    token = await relay.token()
    for protocol in ("webrtc", "hls"):
        watching = await Watching.open(chromium, relay.url(), "cam1", protocol, token)
        await watching.more_pictures(10)

    seconds = await relay.stop()

    assert seconds <= 5
    assert relay.exit_status == 0
    starts, stops = relay.records(type="stream.start"), relay.records(type="stream.stop")
    assert sorted(record["viewing"] for record in starts) == sorted(record["viewing"] for record in stops)
    assert {record["protocol"] for record in stops} == {"hls", "webrtc"}
    assert {record["reason"] for record in stops} == {"server_stop"}
    assert relay.workers() == []


async def test_an_unknown_camera_and_a_foreign_one_look_the_same(relay: Relay) -> None:
    """404 with the same words for both, by every way to a camera; both denials are on record."""
    token = await relay.token("cam1")
    for attempt in (session_of, whep_of, redirect_of, view_of):
        foreign, unknown = await attempt(relay, "cam2", token), await attempt(relay, "nowhere", token)

        assert foreign.status == unknown.status == 404
        assert foreign.problem == unknown.problem
        assert set(foreign.headers) == set(unknown.headers)

    reasons = {record["camera"]: record["reason"] for record in await records(relay, 6, type="stream.deny")}
    assert reasons == {"cam2": "camera_not_granted", "nowhere": "unknown_camera"}


async def session_of(relay: Relay, camera: str, token: str) -> Answer:
    return await open_session(relay, camera, token)


async def whep_of(relay: Relay, camera: str, token: str) -> Answer:
    return await ask(relay, "POST", f"/whep/{camera}", token=token, body=offer(), **WHEP)


async def redirect_of(relay: Relay, camera: str, token: str) -> Answer:
    return await ask(relay, "GET", f"/hls/{camera}/index.m3u8", token=token)


async def view_of(relay: Relay, camera: str, token: str) -> Answer:
    return await ask(relay, "GET", f"/v1/cameras/{camera}", token=token)


async def test_bad_tokens_are_refused(relay: Relay) -> None:
    """Malformed, forged or missing: 401, the same words for all, and never the token itself."""
    good = await relay.token("cam1")
    head, claims, signature = good.split(".")
    bad = {
        "malformed": "not-a-token",
        "truncated": f"{head}.{claims}",
        "forged": f"{head}.{claims}.{signature[::-1]}",
        "huge": "a" * 6000,
        "missing": "",
    }
    for name, token in bad.items():
        for attempt in (session_of, whep_of, redirect_of):
            answer = await attempt(relay, "cam1", token)
            assert answer.status == 401, name
            assert answer.problem["code"] in {"bad_token", "token_required"}, name
            assert "WWW-Authenticate" in answer.headers
            assert not token or token not in answer.text


async def test_an_expired_token_is_refused(relay: Relay) -> None:
    """From its last second on, a token opens nothing."""
    token = await relay.token("cam1", "1s")

    async def refused() -> Answer | None:
        answer = await session_of(relay, "cam1", token)
        return answer if answer.status != 201 else None

    answer = await until(refused, "the token expires", 5)
    assert (answer.status, answer.problem["code"]) == (401, "bad_token")


async def test_a_token_in_the_query_opens_nothing(relay: Relay) -> None:
    """URLs end up in logs and histories, so this is off until configured."""
    token = await relay.token("cam1")

    assert (await ask(relay, "GET", f"/hls/cam1/index.m3u8?token={token}")).status == 401


async def test_bad_offers_are_refused(relay: Relay) -> None:
    """With a problem document that repeats nothing of the offer; no viewing of it has sent a byte."""
    token = await relay.token("cam1")
    offers = {
        "over 16 KiB": (offer(filler_bytes=17 * 1024), {413}),
        "three sections": (offer(sections=3), {400, 413}),
        "33 candidates": (offer(candidates=33), {400, 413}),
        "empty": ("", {400, 422}),
        "nonsense": ("v=0\r\nnonsense", {400, 422}),
        "zeros": ("\x00" * 100, {400, 422}),
    }
    for name, (body, statuses) in offers.items():
        answer = await ask(relay, "POST", "/whep/cam1", token=token, body=body, **WHEP)

        assert answer.status in statuses, name
        assert answer.problem["status"] == answer.status
        assert "192.0.2.1" not in answer.text

    stops = await records(relay, len(offers), type="stream.stop")
    assert {record.get("bytes_sent", 0) for record in stops} == {0}
    assert len(relay.records(type="stream.start")) == len(stops)


async def test_other_bad_requests(relay: Relay) -> None:
    """Each has its status and a problem document: wrong types, wrong methods, unknown paths and sessions."""
    token = await relay.token("cam1")
    json = {"Content_Type": "application/json"}
    attempts = [
        (404, await ask(relay, "GET", "/nothing/here")),
        (404, await ask(relay, "GET", "/m/unknownsecret/cam1/index.m3u8")),
        (404, await ask(relay, "GET", "/m/..%2f..%2fetc/cam1/index.m3u8")),
        (404, await ask(relay, "PUT", "/v1/media/sessions", token=token)),
        (400, await ask(relay, "POST", "/v1/media/sessions", token=token, body="{", **json)),
        (400, await ask(relay, "POST", "/v1/media/sessions", token=token, body='{"camera": 1}', **json)),
        (413, await ask(relay, "POST", "/v1/media/sessions", token=token, body=" " * 100_000, **json)),
        (400, await ask(relay, "POST", "/whep/cam1", token=token, body=offer(), Content_Type="text/plain")),
    ]
    for status, answer in attempts:
        assert (status, answer.problem["status"]) == (answer.status, status), answer.text
        assert token not in answer.text


async def test_a_public_camera_needs_no_token(start_relay: StartRelay, simulator: Simulator) -> None:
    """Anybody plays it, by any player that can follow a redirect; the viewing is on record without a name."""
    relay = await start_relay({"cam1": simulator.url(1)}, camera_options='visibility = "public"')
    await relay.live("cam1")

    redirect = await redirect_of(relay, "cam1", "")
    assert redirect.status == 307
    assert (await ask(relay, "GET", await media_playlist(relay, redirect.headers["Location"]))).status == 200

    (record,) = await records(relay, 1, type="stream.start")
    assert (record["camera"], record["protocol"], record.get("person", "")) == ("cam1", "hls", "")


async def test_who_watched_can_be_read(relay: Relay) -> None:
    """By whoever manages cameras, with the name that the token was made for; by nobody else."""
    watcher = await relay.token("cam1", "1h", "--for", "ana")
    redirect = await redirect_of(relay, "cam1", watcher)
    await media_playlist(relay, redirect.headers["Location"])
    (start,) = await records(relay, 1, type="stream.start")
    manager = await relay.token("*", "1h", "--action", "manage")

    answer = await ask(relay, "GET", "/v1/cameras/cam1/access-log", token=manager)

    assert answer.status == 200
    (event,) = [event for event in answer.json["events"] if event["type"] == "stream.start"]
    assert (event["subject"], event["viewing"], event["network"]) == ("ana", start["viewing"], "127.0.0.0/24")
    assert (await ask(relay, "GET", "/v1/audit/events", token=watcher)).status == 403


async def records(relay: Relay, count: int, **fields: str) -> list[dict[str, Any]]:
    """The access records with these values, once there are `count` of them."""

    async def enough() -> list[dict[str, Any]] | None:
        found = relay.records(**fields)
        return found if len(found) >= count else None

    return await until(enough, f"{count} records of {fields}", 10)


async def first_refusal(relay: Relay, playlist: str) -> tuple[float, Answer]:
    """When a playlist that was served is refused, and how."""

    async def refused() -> tuple[float, Answer] | None:
        answer = await ask(relay, "GET", playlist)
        return (time.time(), answer) if answer.status != 200 else None

    return await until(refused, "the playlist is refused", 30)


async def last_packet(watching: Watching, end: float) -> float:
    """When the last media packet came, watched until `end`; both seconds of UTC."""
    at_ms: float = await watching.page.evaluate(
        """async endMs => {
          let received = 0, at = 0;
          while (Date.now() < endMs) {
            const reports = [...(await window.peers[0].getStats()).values()];
            const video = reports.find(r => r.type === "inbound-rtp" && r.kind === "video");
            if (video?.packetsReceived > received) { received = video.packetsReceived; at = Date.now(); }
            await new Promise(resolve => setTimeout(resolve, 20));
          }
          return at;
        }""",
        end * 1000,
    )
    assert at_ms, "no packet came at all"
    return at_ms / 1000
