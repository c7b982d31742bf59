"""A camera that is not ours, in a browser that is not ours: what people came for."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser

from asking import ask, media_playlist, open_session
from cameras.gst import GstCamera
from processes import Relay, StartRelay, until
from watching import Watching

pytestmark = pytest.mark.e2e

PICTURES = 100


@pytest.fixture
async def relay(start_relay: StartRelay, gst_camera: GstCamera) -> Relay:
    """A relay of the GStreamer camera, live."""
    running = await start_relay({"cam": gst_camera.url})
    await running.live("cam")
    return running


@pytest.mark.alone
async def test_chromium_plays_ll_hls_by_hls_js(relay: Relay, chromium: Browser) -> None:
    """100 pictures by blocking playlist reloads and parts, near to live, without a complaint."""
    watching = await Watching.open(chromium, relay.url(), "cam", "hls", await relay.token("cam"))

    await watching.more_pictures(PICTURES)

    quality = await watching.quality()
    assert quality["total"] >= PICTURES
    assert quality["dropped"] <= quality["total"] * 0.1
    assert (quality["width"], quality["height"]) == (640, 360)
    blocking = [query for query in map(query_of, watching.requests) if "_HLS_msn" in query]
    assert len(blocking) >= PICTURES / 25, "playlists were not waited for"
    assert any("_HLS_part" in query for query in blocking)
    measured = await watching.page.evaluate("() => player.measure()")
    assert measured["protocol"] == "hls"
    assert measured["delay_ms"] < 4000
    assert watching.complaints == []
    assert {urlsplit(url).netloc for url in watching.requests if url.startswith("http")} == {
        f"127.0.0.1:{relay.port}"
    }
    assert await watching.peers() == 0


async def test_chromium_plays_webrtc(relay: Relay, chromium: Browser) -> None:
    """100 decoded pictures of H.264 that arrive whole, over one connection."""
    watching = await Watching.open(chromium, relay.url(), "cam", "webrtc", await relay.token("cam"))

    # Statistics may be a little older than what is on the screen.
    await watching.more_pictures(PICTURES + 10)

    rtp = await watching.rtp()
    assert rtp["framesDecoded"] >= PICTURES
    assert rtp["keyFramesDecoded"] >= 2
    assert rtp["mimeType"] == "video/H264"
    assert (rtp["frameWidth"], rtp["frameHeight"]) == (640, 360)
    assert rtp["packetsLost"] <= rtp["packetsReceived"] * 0.01
    assert rtp["pliCount"] <= 1
    assert (await watching.quality())["total"] >= PICTURES
    assert await watching.peers() == 1
    assert watching.complaints == []


async def test_ffprobe_reads_the_hls(relay: Relay) -> None:
    """As classic HLS, from segments alone: what an old player sees."""
    session = await open_session(relay, "cam", await relay.token("cam"))
    assert session.status == 201
    await listed(relay, await media_playlist(relay, session.json["hls"]), segments=2)

    process = await asyncio.create_subprocess_exec(
        *("ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_packets"),
        *("-read_intervals", "%+#75", relay.url(session.json["hls"])),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 30)

    assert (process.returncode, errors) == (0, b"")
    probed = json.loads(output)
    (stream,) = probed["streams"]
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("h264", 640, 360)
    times = [float(packet["dts_time"]) for packet in probed["packets"]]
    steps = [after - before for before, after in pairwise(times)]
    assert len(times) >= 75
    assert all(0 < step < 0.2 for step in steps), "a gap or a step back in the timeline"


async def test_both_play_on_when_the_camera_is_stopped_and_started(
    relay: Relay, gst_camera: GstCamera, chromium: Browser
) -> None:
    """No reload, no new media session, no new connection: pictures stop and come again."""
    token = await relay.token("cam")
    both = [await Watching.open(chromium, relay.url(), "cam", kind, token) for kind in ("webrtc", "hls")]
    for watching in both:
        await watching.more_pictures(25)

    await gst_camera.stop()
    for watching in both:
        await watching.silence()
    await gst_camera.start()

    for watching in both:
        await watching.more_pictures(50)
        assert len(watching.paths("/v1/media/sessions")) == 1
    assert await both[0].peers() == 1
    assert await relay.metric("camrelay_camera_discontinuities_total", camera="cam") >= 1


async def test_both_play_on_when_a_worker_is_killed(relay: Relay, chromium: Browser) -> None:
    """SIGKILL to the ingest worker: it is replaced, counted, and nobody has to do anything."""
    token = await relay.token("cam")
    both = [await Watching.open(chromium, relay.url(), "cam", kind, token) for kind in ("webrtc", "hls")]
    for watching in both:
        await watching.more_pictures(25)
    before = set(relay.workers())

    relay.kill_worker()

    async def replaced() -> bool:
        return bool(set(relay.workers()) - before)

    await until(replaced, "a new worker", 10)
    for watching in both:
        await watching.more_pictures(50)
        assert len(watching.paths("/v1/media/sessions")) == 1
    assert await both[0].peers() == 1
    assert await relay.metric("camrelay_worker_restarts_total") == 1


async def listed(relay: Relay, playlist: str, *, segments: int) -> None:
    """Waits until a playlist lists whole segments; an old player does not know parts."""

    async def enough() -> bool:
        return (await ask(relay, "GET", playlist)).text.count("#EXTINF") >= segments

    await until(enough, f"{segments} segments are listed")


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)
