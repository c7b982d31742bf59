"""Sharing as people do it: an owner, the one they share with, a link, and a page of another site."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, expect

from asking import ask
from camrelay.server import Route, build, listen, port_of
from camrelay.simulate.server import Simulator
from processes import Relay, StartRelay, until
from watching import LIMIT_S

pytestmark = pytest.mark.e2e

PASSWORD = "a long enough sentence"
LIMIT_MS = LIMIT_S * 1000
expect.set_options(timeout=LIMIT_MS)

#: Pictures shown so far by the page's player, 0 before there is a video.
SHOWN = (
    "(document.querySelector('camera-player')?.shadowRoot?.querySelector('video')"
    "?.getVideoPlaybackQuality().totalVideoFrames ?? 0)"
)


@pytest.fixture
async def relay(start_relay: StartRelay, simulator: Simulator) -> Relay:
    """A relay where people can register as owners, and no camera yet."""
    options = {"accounts": 'registration = "open"\nregistered_role = "owner"'}
    return await start_relay({}, options)


async def person(chromium: Browser, relay: Relay, name: str) -> BrowserContext:
    """Somebody who has registered and is signed in, in a browser of their own."""
    context = await chromium.new_context(base_url=relay.url(), timezone_id="UTC", bypass_csp=True)
    context.set_default_timeout(LIMIT_MS)
    body = {"email": f"{name}@cams.example", "name": name.title(), "password": PASSWORD}
    assert (await context.request.post("/v1/accounts", data=body)).status == 202
    del body["name"]
    assert (await context.request.post("/v1/login", data=body)).status == 200
    return context


async def add_camera(owner: BrowserContext, simulator: Simulator) -> None:
    camera = {"id": "yard", "url": simulator.url(1), "title": "The yard", "description": "Behind the house"}
    made = await owner.request.post("/v1/cameras", data=camera, headers={"Sec-Fetch-Site": "same-origin"})
    assert made.status == 201, await made.text()


async def see(page: Page) -> None:
    """Waits until the page's player shows pictures."""
    await page.wait_for_function(f"{SHOWN} > 5", polling=50, timeout=LIMIT_MS)


async def stands_still(page: Page) -> float:
    """Waits until no new picture comes; the moment of the last one, seconds since 1970."""
    await page.wait_for_function(
        f"""() => {{
          const total = {SHOWN};
          if (total !== window.total) {{ window.total = total; window.movedAt = Date.now(); }}
          return Date.now() - window.movedAt > 1200;
        }}""",
        polling=20,
        timeout=LIMIT_MS,
    )
    return float(await page.evaluate("window.movedAt")) / 1000


async def test_a_camera_is_shared_until_a_time_and_stopped(
    relay: Relay, simulator: Simulator, chromium: Browser
) -> None:
    """Anna shares the yard with Bert until tomorrow; he watches; she stops; his picture ends within 1 s."""
    anna, bert = await person(chromium, relay, "anna"), await person(chromium, relay, "bert")
    await add_camera(anna, simulator)
    page = await anna.new_page()
    await page.goto("/cameras/yard/share")
    await expect(page.get_by_text("Shared with nobody yet.")).to_be_visible()
    people = page.locator("#people")
    await people.get_by_label("E-mail address of their account").fill("bert@cams.example")
    tomorrow = datetime.now() + timedelta(days=1)
    await people.get_by_label("Until, in your time").fill(f"{tomorrow:%Y-%m-%dT%H:%M}")
    await people.get_by_role("button", name="Share", exact=True).click()
    await expect(people.get_by_text("Bert can watch now.")).to_be_visible()
    await expect(people.get_by_role("row")).to_contain_text(
        [re.compile("bert@cams.example.*until", re.DOTALL)]
    )

    his = await bert.new_page()
    await his.goto("/")
    await his.get_by_role("heading", name="The yard").click()
    await see(his)
    await expect(page.locator("#now").get_by_role("row", name="Bert")).to_be_visible()

    stopped_at = time.time()
    await people.get_by_role("button", name="Stop sharing with Bert").click()
    ended_at = await stands_still(his)

    assert ended_at - stopped_at < 1.0
    await expect(page.get_by_text("Shared with nobody yet.")).to_be_visible()
    await expect(his.get_by_text("This camera is not here")).to_be_visible()


async def test_a_link_with_a_password_and_a_kick(
    relay: Relay, simulator: Simulator, chromium: Browser
) -> None:
    """A stranger opens the link, mistypes, watches; the owner sees them by the link's name and ends that."""
    anna = await person(chromium, relay, "anna")
    await add_camera(anna, simulator)
    page = await anna.new_page()
    await page.goto("/cameras/yard/share")
    links = page.locator("#links")
    await links.get_by_label("Name, so that you know it again").fill("Neighbours")
    await links.get_by_label("Password").fill("over the hedge")
    await links.get_by_role("button", name="Make a link").click()
    await expect(links.locator(".once")).to_contain_text("/shared#")
    address = await links.locator(".once").inner_text()

    stranger = await (await chromium.new_context(base_url=relay.url(), bypass_csp=True)).new_page()
    stranger.set_default_timeout(LIMIT_MS)
    await stranger.goto(address)
    await stranger.get_by_label("Password of the link").fill("under the hedge")
    await stranger.get_by_role("button", name="Watch").click()
    await expect(stranger.get_by_text("That password is wrong.")).to_be_visible()
    await stranger.get_by_label("Password of the link").fill("over the hedge")
    await stranger.get_by_role("button", name="Watch").click()
    await stranger.wait_for_url("**/cameras/yard")
    await see(stranger)
    assert await stranger.context.cookies() == []
    watching = page.locator("#now")
    await watching.get_by_role("button", name="End what Neighbours is watching").click()
    await expect(stranger.locator(".headline")).to_have_text("Your access has ended")

    await links.get_by_role("button", name="Take back the link Neighbours").click()
    await expect(links.get_by_text("No link yet.")).to_be_visible()
    await stranger.goto("about:blank")
    await stranger.goto(address)
    await expect(stranger.get_by_text("This link is not valid any more.")).to_be_visible()


@pytest.fixture
async def site() -> AsyncIterator[list[str]]:
    """Two sites with one page, which shows a frame: their origins."""

    async def show(request: web.Request) -> web.Response:
        text = f'<!doctype html><iframe src="{request.query["frame"]}" width="640" height="360"></iframe>'
        return web.Response(text=text, content_type="text/html")

    runners = [await listen(build([Route("GET", "/", show)]), "127.0.0.1:0") for _ in range(2)]
    yield [f"http://127.0.0.1:{port_of(runner)}" for runner in runners]
    for runner in runners:
        await runner.cleanup()


async def test_an_embed_plays_where_its_owner_allows_it(
    relay: Relay, simulator: Simulator, chromium: Browser, site: list[str]
) -> None:
    """Published after a second question, embedded on one site without a cookie; another site gets nothing."""
    allowed, foreign = site
    anna = await person(chromium, relay, "anna")
    await add_camera(anna, simulator)
    page = await anna.new_page()
    await page.goto("/cameras/yard/share")
    await page.get_by_label("Everybody", exact=True).check()
    await page.get_by_role("button", name="Set", exact=True).click()
    await expect(page.get_by_role("dialog")).to_contain_text("“The yard”, the description “Behind the house”")
    await page.get_by_role("button", name="Show it to everybody").click()
    await expect(page.locator("#steps").get_by_text("Done.")).to_be_visible()
    await page.get_by_label("Sites that may show it").fill(allowed)
    await page.get_by_role("button", name="Only these sites").click()
    await expect(page.locator("#embed").get_by_text("Done.")).to_be_visible()

    context = await chromium.new_context()
    visitor = await context.new_page()
    visitor.set_default_timeout(LIMIT_MS)
    await visitor.goto(f"{allowed}/?frame={relay.url('/embed/yard')}")
    (frame,) = visitor.main_frame.child_frames

    async def plays() -> bool:
        return int(await frame.evaluate(SHOWN)) > 5

    await until(plays, "the embedded player plays", LIMIT_S)
    assert await context.cookies() == []

    refusals: list[str] = []
    visitor.on("console", lambda line: refusals.append(line.text))
    await visitor.goto(f"{foreign}/?frame={relay.url('/embed/yard')}")
    assert any("frame-ancestors" in text for text in refusals)
    body = '{"camera": "yard"}'
    for origin, status in ((allowed, 201), (foreign, 403), ("null", 403)):
        opened = await ask(
            relay, "POST", "/v1/media/sessions", body=body, Content_Type="application/json", Origin=origin
        )
        assert opened.status == status
