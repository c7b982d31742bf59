"""Sound beside the pictures, in Chromium: heard where a protocol can carry it, said where it cannot."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from camrelay.simulate.options import Options, Picture
from camrelay.simulate.server import Simulator
from processes import StartRelay
from watching import Watching

pytestmark = pytest.mark.e2e

PICTURE = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)


async def test_aac_is_heard_over_hls_and_its_end_holds_no_picture(
    start_relay: StartRelay, chromium: Browser
) -> None:
    """Chromium decodes both tracks; when the sound stops, pictures go on with silence, and it comes back."""
    async with Simulator(Options(picture=PICTURE, audio="aac")) as camera:
        relay = await start_relay({"cam": camera.url()})
        await relay.live("cam")
        token = await relay.token("cam")
        watching = await Watching.open(chromium, relay.url(), "cam", "hls", token)
        await watching.more_pictures(25)
        await watching.more_sound(10_000)

        camera.mute(1)
        await watching.more_pictures(100, limit_s=15)
        camera.mute(1, is_mute=False)
        await watching.more_sound(20_000)

        assert watching.complaints == []


async def test_g711_is_heard_over_webrtc_and_its_end_holds_no_picture(
    start_relay: StartRelay, chromium: Browser
) -> None:
    """Chromium plays the camera's own packets; over HLS the player says why there is nothing to hear."""
    async with Simulator(Options(picture=PICTURE, audio="pcma")) as camera:
        relay = await start_relay({"cam": camera.url()})
        await relay.live("cam")
        watching = await Watching.open(chromium, relay.url(), "cam", "webrtc", await relay.token("cam"))
        await watching.more_pictures(25)
        heard = await watching.reached_sound(packets=100)

        assert heard["mimeType"].lower() == "audio/pcma"
        assert heard["packetsLost"] == 0
        assert heard["concealedSamples"] < heard["totalSamplesReceived"] / 2
        assert heard["audioLevel"] >= 0
        camera.mute(1)
        await watching.more_pictures(50, limit_s=15)
        assert watching.complaints == []

        await watching.page.evaluate("() => player.setAttribute('protocol', 'hls')")
        await watching.state("live")
        said = await watching.page.evaluate("() => player.shadowRoot.querySelector('.mute').title")
        assert "G.711" in said
