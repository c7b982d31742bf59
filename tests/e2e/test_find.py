"""The page that finds cameras, in a real Chromium, from the network to a live picture."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from cameras.onvif_device import OnvifDevice
from cameras.onvif_discovery import Discoverable
from camrelay.simulate.options import Options, Picture
from camrelay.simulate.server import Simulator
from processes import Relay, StartRelay
from watching import LIMIT_S

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("multicast")]

PASSWORD = "canary-pa55"
PICTURE = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)

#: Asking a device and looking at its stream, on a machine that does other things as well.
PROBE_MS = 90_000

_IS_MOVING = """() => {
  const video = document.querySelector("#player camera-player")?.shadowRoot.querySelector("video");
  return video && video.videoWidth === 320 && video.getVideoPlaybackQuality().totalVideoFrames > 10;
}"""


class Finding:
    """Somebody on /find.

    Attributes:
        complaints: what the browser wrote on its console as errors, but for answers that are not 200.
        hosts: whom the page asked.
    """

    def __init__(self, page: Page, relay: Relay) -> None:
        self.page = page
        self.relay = relay
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.set_default_timeout(LIMIT_S * 1000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: self._hear(line.type, line.text))
        page.on("request", lambda request: self._count(request.url))

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.complaints.append(text)

    def _count(self, url: str) -> None:
        if url.startswith("http"):
            self.hosts.add(url.split("/")[2])

    async def open(self, *actions: str) -> None:
        """Opens the page with a grant of these actions beside watching."""
        more = [word for action in actions for word in ("--action", action)]
        token = await self.relay.token("*", "1h", *more)
        await self.page.goto(self.relay.url(f"/find#token={token}"))

    async def sign_in(self, password: str) -> None:
        """Fills in the camera's account and goes on."""
        await self.page.fill("#username", "admin")
        await self.page.fill("#password", password)
        await self.page.click("#credentials .main")


@pytest.fixture
async def finding(start_relay: StartRelay, chromium: Browser) -> AsyncIterator[Finding]:
    """On a relay without cameras; nobody but the relay was asked for anything, and no script failed."""
    relay = await start_relay({}, {"accounts": 'registration = "open"\nregistered_role = "owner"'})
    found = Finding(await chromium.new_page(viewport={"width": 1024, "height": 900}), relay)
    yield found
    await found.page.close()
    assert found.complaints == []
    assert found.hosts <= {f"127.0.0.1:{relay.port}"}
    assert PASSWORD not in relay.log.read_text()


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """One camera with a password."""
    async with Simulator(Options(cameras=1, user="admin", password=PASSWORD, picture=PICTURE)) as running:
        yield running


def device(simulator: Simulator, **options: Any) -> OnvifDevice:
    """An ONVIF device whose streams are the simulated camera's."""
    streams = {"main": simulator.url(1), "sub": f"{simulator.url(1)}-gone"}
    return OnvifDevice(streams, password=PASSWORD, **options)


async def test_from_the_network_to_a_live_picture(finding: Finding, simulator: Simulator) -> None:
    """Search, sign in, choose by the picture, name, see it move; the device's clock is an hour off."""
    page = finding.page
    async with (
        device(simulator, clock_ahead_s=3600) as onvif,
        Discoverable(f"http://127.0.0.1:{onvif.port}/onvif/device_service", port=3702, interface=""),
    ):
        await finding.open("manage")
        await page.get_by_role("button", name="Front Door").click()

        await finding.sign_in("wrong")
        await expect(page.locator("#step-sign .fault")).to_contain_text("refused", timeout=PROBE_MS)
        await finding.sign_in(PASSWORD)

        await expect(page.locator("#preview img")).to_be_visible(timeout=PROBE_MS)
        assert await page.locator("#profiles label").count() == 2
        assert await page.evaluate("document.querySelector('#preview img').naturalWidth") == 320
        await expect(page.locator("#preview .known")).to_contain_text("25 per second")
        await expect(page.locator(".verdicts")).to_contain_text("Plays with low delay")
        await page.click("#use-stream")

    assert await page.input_value("#title") == "Front Door"
    await page.fill("#title", "Café <b>door</b>")
    await page.select_option("#zone", "Europe/Madrid")
    await page.select_option("#sub-url", index=1)
    await page.click("#naming .main")

    await page.wait_for_function(_IS_MOVING, timeout=PROBE_MS)
    await page.click("#open-camera")
    await expect(page.locator("#camera h1")).to_have_text("Café <b>door</b>")
    await expect(page.locator("#local-time")).to_contain_text("GMT")
    assert page.url.endswith("/cameras/cafe-b-door-b")


async def test_a_camera_by_its_rtsp_address(finding: Finding, simulator: Simulator) -> None:
    """Nobody answers the search; the address somebody types brings its own account along."""
    page = finding.page
    await finding.open("manage")
    await expect(page.locator("#nothing")).to_be_visible(timeout=PROBE_MS)

    await page.fill("#address", "not an address")
    await page.click("#by-hand button")
    await expect(page.locator("#step-search .fault")).to_contain_text("no address")

    await page.fill("#address", simulator.url(1).replace("://", f"://admin:{PASSWORD}@"))
    await page.click("#by-hand button")
    assert await page.input_value("#password") == PASSWORD
    await page.click("#credentials .main")

    await expect(page.locator("#preview img")).to_be_visible(timeout=PROBE_MS)
    assert PASSWORD not in await page.locator("main").inner_text()


async def test_a_stream_that_does_not_play_says_why(finding: Finding, simulator: Simulator) -> None:
    """And another one can be chosen."""
    page = finding.page
    async with device(simulator) as onvif:
        await finding.open("manage")
        await page.fill("#address", f"127.0.0.1:{onvif.port}")
        await page.click("#by-hand button")
        await finding.sign_in(PASSWORD)
        await expect(page.locator("#preview")).to_be_visible(timeout=PROBE_MS)

        await page.get_by_text("sub stream").click()

        await expect(page.locator("#step-stream .fault")).to_contain_text("no stream", timeout=PROBE_MS)
        await expect(page.locator("#use-stream")).to_be_hidden()


async def test_only_managers_find_cameras(finding: Finding) -> None:
    """Others are told what to ask for; the grid shows the way to those who may."""
    page = finding.page
    await finding.open()
    await expect(page.locator("#empty h1")).to_have_text("Adding cameras is not for this link")
    await expect(page.locator("#steps")).to_be_hidden()

    await page.goto(finding.relay.url("/"))
    await expect(page.locator("#sign-out")).to_be_visible()
    await expect(page.locator("#find")).to_be_hidden()
    token = await finding.relay.token("*", "1h", "--action", "manage")
    await page.goto(finding.relay.url(f"/#token={token}"))
    await page.reload()
    await page.click("#find")
    await expect(page.locator("#step-search")).to_be_visible()


async def test_somebody_without_a_link_is_asked_for_one(finding: Finding) -> None:
    """Nothing is searched before; an owner who signs in needs none."""
    page, url = finding.page, finding.relay.url
    await page.goto(url("/find"))

    await expect(page.locator("#empty h1")).to_have_text("Sign in to add cameras")
    owner = {"email": "anna@cams.example", "name": "Anna", "password": "a long enough sentence"}
    assert (await page.request.post(url("/v1/accounts"), data=owner)).ok
    del owner["name"]
    assert (await page.request.post(url("/v1/login"), data=owner)).ok
    await page.reload()
    await expect(page.locator("#step-search")).to_be_visible()
