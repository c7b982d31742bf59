"""The player before a real relay: which way it takes, what it lets go of, and what it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, Request, Route, expect

from processes import Relay, until

pytestmark = pytest.mark.e2e

LIMIT_MS = 40_000

PLAYER = "document.querySelector('camera-player')"


@pytest.fixture
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """A page in London; its scripts must not fail."""
    context = await chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    context.set_default_timeout(LIMIT_MS)
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    await context.close()
    assert errors == []


async def state(page: Page, name: str) -> None:
    """Waits for the player to be in a state."""
    await expect(page.locator(f"camera-player[state={name}]").first).to_be_visible(timeout=LIMIT_MS)


async def viewers(relay: Relay, count: int) -> None:
    """Waits until the relay serves that many viewings by WebRTC."""

    async def reached() -> bool:
        return await relay.metric("camrelay_viewers", camera="cam1", protocol="webrtc") == count

    await until(reached, f"{count} viewers")


async def test_the_way_can_be_changed_and_the_delay_measured(relay: Relay, page: Page) -> None:
    """WebRTC first; one press and it is LL-HLS, which can go back and catch up; one more and it is WebRTC."""
    await page.goto(relay.url(f"/cameras/cam1#token={await relay.token('cam1')}"))
    low_delay = page.get_by_role("button", name="Low delay")
    steady = page.get_by_role("button", name="Steady")
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))

    await state(page, "live")
    await expect(low_delay).to_have_attribute("aria-pressed", "true")
    await page.get_by_role("button", name="Delay", exact=True).click()
    await expect(page.locator("camera-player .stats")).to_contain_text("WebRTC")
    await expect(page.locator("camera-player .stats")).to_contain_text(" ms")
    assert not any("hls" in url for url in loaded), "hls.js is loaded only when HLS plays"

    await steady.click()
    await expect(steady).to_have_attribute("aria-pressed", "true")
    await state(page, "live")
    await expect(page.locator("camera-player .stats")).to_contain_text("LL-HLS")
    assert any("vendor/hls" in url for url in loaded)
    await page.wait_for_function(f"() => {PLAYER}.shadowRoot.querySelector('video').currentTime > 3")
    await page.keyboard.press("ArrowLeft")
    await page.get_by_title("Back to live").click()
    await expect(page.locator("camera-player .chip")).to_have_text("Live")

    await low_delay.click()
    await state(page, "live")
    await viewers(relay, 1)
    await expect(low_delay).to_have_attribute("aria-pressed", "true")


async def test_the_page_of_a_camera_asks_for_its_picture_at_once_and_once(relay: Relay, page: Page) -> None:
    """Its first script does, before there is a player, which goes on with what was begun."""
    await page.goto(relay.url(f"/cameras/cam1#token={await relay.token('cam1')}"))
    await state(page, "live")
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)

    await page.reload()

    await state(page, "live")
    assert [url.rpartition("/")[2] for url in posted] == ["sessions", "whep"]
    assert await page.evaluate("() => camrelayHeadStart.camera") == "cam1"
    # What was taken is nobody's any more, also not that of a timer that knows no camera.
    module = """import(document.querySelector("link[href$='head_start.js']").href)"""
    assert await page.evaluate(f"async () => (await {module}).hasBegun()") is False


async def test_the_picture_of_a_camera_does_not_wait_for_its_player(relay: Relay, page: Page) -> None:
    """The page shows it while its modules are still on their way; the player then takes it in as it runs."""
    await page.goto(relay.url(f"/cameras/cam1#token={await relay.token('cam1')}"))
    await state(page, "live")
    modules: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def hold(route: Route) -> None:
        await modules
        await route.continue_()

    await page.route("**/player.js", hold)
    await page.reload(wait_until="commit")
    await page.wait_for_function("() => document.querySelector('camera-player > video')?.currentTime > 0.5")
    assert await page.evaluate(f"() => {PLAYER}.shadowRoot") is None
    await page.evaluate("""() => {
      globalThis.first = document.querySelector("camera-player > video");
      for (const name of ["emptied", "pause"]) {
        first.addEventListener(name, () => (first.dataset.fault = name));
      }
    }""")
    modules.set_result(None)

    await state(page, "live")
    assert await page.evaluate(f"() => {PLAYER}.shadowRoot.querySelector('video') === first")
    assert await page.evaluate("() => [first.dataset.fault, first.paused]") == [None, False]
    await viewers(relay, 1)


async def test_hls_plays_where_webrtc_brings_no_picture(relay: Relay, page: Page) -> None:
    """Whether the offer is refused or the packets never come: within seconds there is a picture."""

    async def refuse(route: Route) -> None:
        await route.fulfill(
            status=422, content_type="application/problem+json", body='{"code": "negotiation_failed"}'
        )

    token = await relay.token("cam1")
    await page.route("**/whep", refuse)
    await page.goto(relay.url(f"/embed/cam1#token={token}"))
    await state(page, "live")
    assert await page.evaluate(f"async () => (await {PLAYER}.measure()).protocol") == "hls"

    await page.unroute("**/whep")
    # Candidates that lead nowhere: the answer is fine, the packets never come.
    await page.add_init_script("""
      const apply = RTCPeerConnection.prototype.setRemoteDescription;
      RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
        const lost = sdp.replace(/^(a=candidate:.* udp \\d+ \\S+) \\d+ /gim, "$1 9 ");
        return apply.call(this, { type, sdp: lost });
      };
    """)
    await page.reload()
    await state(page, "live")
    assert await page.evaluate(f"async () => (await {PLAYER}.measure()).protocol") == "hls"


async def test_a_stall_keeps_nobody_away_from_live_for_good(relay: Relay, page: Page) -> None:
    """Each asks for a little more distance, up to a limit; so long without one gives a little back."""
    await page.goto(relay.url("/"))

    seen = await page.evaluate("""async () => {
      const { Distance } = await import("/static/0/transport_hls.js");
      const distance = new Distance();
      const at = (now) => Math.round(distance.at(now) * 10);
      const seen = [at(50_000)];
      for (const now of [60_000, 61_000, 62_000]) distance.stalled(now);
      seen.push(at(63_000), at(81_999), at(82_000), at(101_000));
      distance.stalled(101_500);
      seen.push(at(121_000), at(125_000), at(10_000_000));
      for (let now = 0; now < 100; now++) distance.stalled(10_000_000 + now);
      return [...seen, at(10_000_100)];
    }""")

    assert seen == [0, 6, 6, 4, 4, 6, 4, 0, 20]


async def test_controls_leave_the_picture_alone(relay: Relay, page: Page) -> None:
    """They go after a while without a pointer, whatever the page learns meanwhile; any key brings them."""
    await page.goto(relay.url(f"/cameras/cam1#token={await relay.token('cam1')}"))
    await state(page, "live")
    bar = page.locator("camera-player .bar")

    await expect(bar).to_have_class("bar away")
    async with page.expect_response("**/v1/cameras/cam1"):
        pass
    await expect(bar).to_have_class("bar away")
    await page.keyboard.press("m")
    await expect(bar).to_have_class("bar")


async def test_another_camera_takes_nothing_over(relay: Relay, page: Page) -> None:
    """An element that is turned to another camera shows that one, and never the last picture of the first."""
    await page.goto(relay.url(f"/embed/cam1#token={await relay.token()}"))
    await state(page, "live")

    await page.evaluate(f"() => {PLAYER}.setAttribute('camera', 'cam2')")

    assert await page.evaluate(f"() => {PLAYER}.shadowRoot.querySelector('.stage').dataset.still") is None
    await state(page, "live")
    await viewers(relay, 0)
    kept = await page.evaluate("() => Object.keys(sessionStorage).filter(key => key.includes('picture'))")
    assert kept == ["camrelay.picture.cam1"]


async def test_who_does_not_look_costs_nothing(relay: Relay, page: Page) -> None:
    """A player that is paused or scrolled away holds no stream, keeps its last picture, and comes back."""
    left: list[str] = []

    def note(request: Request) -> None:
        if request.method == "DELETE":
            left.append(request.url)

    page.on("request", note)
    await page.goto(relay.url(f"/cameras/cam1#token={await relay.token('cam1')}"))
    await state(page, "live")
    await viewers(relay, 1)

    await page.keyboard.press("Space")
    await state(page, "paused")
    await viewers(relay, 0)
    assert len(left) == 1
    kept = await page.evaluate(f"() => {PLAYER}.shadowRoot.querySelector('canvas').width")
    assert kept == 320, "the simulated picture is that wide"
    assert await page.evaluate("() => sessionStorage.getItem('camrelay.picture.cam1').slice(0, 22)") == (
        "data:image/jpeg;base64"
    )

    await page.keyboard.press("Space")
    await state(page, "live")
    await page.evaluate(f"() => {{ {PLAYER}.style.marginTop = '5000px' }}")
    await page.wait_for_function(f"() => {PLAYER}.state === 'idle'")
    await viewers(relay, 0)
    await page.evaluate(f"() => {{ {PLAYER}.style.marginTop = '0' }}")
    await page.wait_for_function(f"() => {PLAYER}.state === 'live'")
    await viewers(relay, 1)


async def test_a_renewed_token_is_taken_over_without_a_gap(relay: Relay, page: Page) -> None:
    """Shortly before its right ends the player says so; with a new token it plays on."""
    await page.goto(relay.url(f"/embed/cam1#token={await relay.token('cam1', '25s')}"))
    await state(page, "live")
    await expect(page.locator("camera-player .ending")).to_contain_text("Your access ends in")
    await page.evaluate(
        "() => { window.states = [];"
        f" {PLAYER}.addEventListener('state', event => states.push(event.detail.state)) }}"
    )

    await page.evaluate(f"token => {{ {PLAYER}.token = token }}", await relay.token("cam1", "1h"))

    await expect(page.locator("camera-player .ending")).to_be_hidden()
    await state(page, "live")
    seen = await page.evaluate("() => states")
    assert set(seen) <= {"connecting", "live"}
    assert seen[-1] == "live"
