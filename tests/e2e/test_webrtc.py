"""Chromium plays from our WebRTC output, whatever happens to the numbers, the camera and the link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from camrelay.simulate.options import Picture
from processes import until
from stage import CAMERA, Stage

pytestmark = pytest.mark.e2e

LIMIT_MS = 40_000

PICTURE = Picture(width=640, height=360, bitrate_bps=1_000_000, gop_pictures=50, profile="high")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage(PICTURE) as running:
        yield running


async def watch(browser: Browser, stage: Stage, options: str = "{}") -> Page:
    page = await browser.new_page()
    await page.goto(stage.url)
    await page.evaluate(f"watch({options})")
    return page


async def stats(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate("stats()")
    return found


async def decoded(page: Page, count: int) -> dict[str, Any]:
    """Statistics once `count` pictures are decoded."""
    await page.wait_for_function(
        "async count => (await stats()).framesDecoded >= count", arg=count, timeout=LIMIT_MS, polling=100
    )
    return await stats(page)


async def more(page: Page, count: int) -> dict[str, Any]:
    return await decoded(page, (await stats(page)).get("framesDecoded", 0) + count)


async def test_chromium_plays(stage: Stage, chromium: Browser) -> None:
    """100 pictures, nothing lost, on AES-GCM, with reports; a fallback profile, as Chromium lists no High."""
    page = await watch(chromium, stage)

    found = await decoded(page, 100)

    assert found["packetsLost"] == 0
    assert found["pliCount"] == 0
    assert found["srtp"] == "SRTP_AEAD_AES_128_GCM"
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
        times = await page.evaluate("times.shown - times.start")

        assert times < 2000
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
    caster = stage.server._cameras[CAMERA][1]
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


async def test_the_viewing_ends_for_the_browser_too(stage: Stage, chromium: Browser) -> None:
    """Chromium learns it from DTLS at once, not from silence."""
    page = await watch(chromium, stage)
    await decoded(page, 10)

    stage.server.detach(CAMERA)

    await page.wait_for_function("async () => (await stats()).dtls === 'closed'", timeout=5000, polling=50)
