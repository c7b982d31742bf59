"""Chromium plays from our WebRTC output, whatever happens to the numbers, the camera and the link."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from camrelay.fanout.webrtc import peer
from camrelay.model import EndReason
from camrelay.simulate.options import Picture
from processes import until
from stage import CAMERA, Stage, decoded, more, reached, watch

pytestmark = pytest.mark.e2e

#: GStreamer's bindings belong to the system's Python, so this is a program of its own.
WHEP_GST = Path(__file__).parents[1] / "whep_gst.py"

PICTURE = Picture(width=640, height=360, bitrate_bps=1_000_000, gop_pictures=50, profile="high")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage(PICTURE) as running:
        yield running


async def test_chromium_plays(stage: Stage, chromium: Browser) -> None:
    """100 pictures, nothing lost, on AES-GCM, with reports; a fallback profile, as Chromium lists no High."""
    page = await watch(chromium, stage)

    found = await decoded(page, 100)

    assert found["packetsLost"] == 0
    assert found["pliCount"] == 0
    # Chromium 150 says it without the prefix.
    assert found["srtp"].removeprefix("SRTP_") == "AEAD_AES_128_GCM"
    assert "packetization-mode=1" in found["fmtp"]
    assert found["reports"] >= 1
    assert (found["frameWidth"], found["frameHeight"]) == (640, 360)


@pytest.mark.parametrize("kinds", ['["audio", "video"]', '["video", "audio"]'])
@pytest.mark.parametrize("policy", ["balanced", "max-bundle"])
async def test_players_that_want_audio_get_video(
    stage: Stage, chromium: Browser, kinds: str, policy: str
) -> None:
    """In any order, bundled or not."""
    page = await watch(chromium, stage, f'{{kinds: {kinds}, policy: "{policy}"}}')

    assert (await decoded(page, 25))["packetsLost"] == 0


async def test_the_first_picture_does_not_wait_for_a_key_frame(chromium: Browser) -> None:
    """A GOP of ten seconds: the picture is there within two, without asking, and is not behind live."""
    async with Stage(Picture(width=640, height=360, bitrate_bps=1_000_000, gop_pictures=250)) as stage:
        early = await watch(chromium, stage)
        await decoded(early, 100)

        page = await watch(chromium, stage)
        found = await decoded(page, 1)
        # It is decoded before it is shown.
        await page.wait_for_function("times.shown")
        waited_ms = await page.evaluate("times.shown - times.start")

        assert waited_ms < 2000
        assert found["pliCount"] == 0
        assert found["keyFramesDecoded"] == 1


async def test_a_camera_that_reboots_goes_on(stage: Stage, chromium: Browser) -> None:
    """Two seconds of nothing, then a key frame: no reload, no new handshake, nothing lost."""
    page = await watch(chromium, stage)
    await decoded(page, 50)
    stage.is_playing = False
    await asyncio.sleep(2)
    stage.is_playing = True

    found = await more(page, 100)

    assert found["state"] == "connected"
    assert found["packetsLost"] == 0
    assert len(stage.viewers) == 1


async def test_sequence_numbers_wrap_under_a_playing_chromium(stage: Stage, chromium: Browser) -> None:
    """And one that joins shortly before the wrap."""
    caster = stage.server._cameras[CAMERA][stage.hub.rendition].caster
    caster._next = 65_536 - 600
    first = await watch(chromium, stage)
    await decoded(first, 50)
    second = await watch(chromium, stage)

    async def has_wrapped() -> bool:
        return caster._next > 65_536

    await until(has_wrapped, "a wrap")
    for page in (first, second):
        found = await more(page, 50)
        assert found["packetsLost"] == 0
        assert found["pliCount"] == 0


async def test_a_picture_that_changes_its_size_goes_on(stage: Stage, chromium: Browser) -> None:
    """New parameter sets come in band before their key frame."""
    page = await watch(chromium, stage)
    await decoded(page, 25)

    await stage.show(Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25, profile="main"))

    found = await more(page, 50)
    assert (found["frameWidth"], found["frameHeight"]) == (320, 180)
    assert found["packetsLost"] == 0
    assert len(stage.viewers) == 1


async def test_chromium_plays_without_gcm(chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through libsrtp, as browsers that have nothing better do."""
    monkeypatch.setattr(peer, "_PROFILES", peer._PROFILES[1:])
    async with Stage(PICTURE) as stage:
        page = await watch(chromium, stage)

        found = await decoded(page, 100)

    assert found["srtp"] == "SRTP_AES128_CM_HMAC_SHA1_80"
    assert found["packetsLost"] == 0


@pytest.mark.alone
async def test_gstreamer_plays(chromium: Browser) -> None:
    """Webrtcbin and libnice, with a GOP of ten seconds: no complaint, at live from the first moment on.

    It plays for longer than the consent time, because libnice does not check again once it is connected; its
    reports come every five seconds, give or take half (RFC 3550 §6.2).
    """
    picture = Picture(width=640, height=360, bitrate_bps=1_000_000, gop_pictures=250)
    async with Stage(picture, consent_timeout_s=10) as stage:
        page = await watch(chromium, stage)
        await decoded(page, 50)
        process = await asyncio.create_subprocess_exec(
            "/usr/bin/python3",
            str(WHEP_GST),
            f"{stage.url}/whep/{CAMERA}",
            "30",
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        account = json.loads(output)

    assert account["complaints"] == []
    assert account["pictures"] >= 100
    assert account["silent_s"] < 2
    assert stage.viewers[1].end_reason != EndReason.CLIENT_GONE
    assert account["largest_gap_s"] < 0.5


async def test_the_viewing_ends_for_the_browser_too(stage: Stage, chromium: Browser) -> None:
    """Chromium learns it from DTLS at once, not from silence."""
    page = await watch(chromium, stage)
    await decoded(page, 10)

    stage.server.detach(CAMERA)

    await asyncio.wait_for(reached(page, "now => now.dtls === 'closed'"), 5)
