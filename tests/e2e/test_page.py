"""What people see: the real pages and the real player in a real browser, before an API that plays its part.

Playing itself is tested in test_playing.py; here the API says what a relay may say, and the page has to put
it into words.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, expect

from camrelay.pages import Pages
from camrelay.server import Route, build, json_response

pytestmark = pytest.mark.e2e

TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbmEifQ.c2lnbmF0dXJl"

HOSTILE = '"><img src=x onerror="window.attacked=1"><script>window.attacked=1</script>'


def view(id: str, state: str = "offline", **changes: Any) -> dict[str, Any]:
    """An entry of GET /v1/cameras."""
    now_us = time.time_ns() // 1000
    return {
        **{"id": id, "title": id.capitalize(), "description": "", "time_zone": "Europe/Berlin"},
        **{"visibility": "private", "state": state, "since_us": now_us - 60_000_000, "viewers": 0},
        **{"reason": "unreachable" if state == "offline" else "", "retry_at_us": None, "bit_rate_bps": 0},
        **{"codec": None, "width": None, "height": None, "frame_rate": None, **changes},
    }


class Api:
    """The part of camrelay that pages talk to, as a test wants it.

    Attributes:
        cameras: what GET /v1/cameras lists.
        refusal: (status, code) that answers a camera list, or None.
        session: (status, code) that answers a request for a media session.
        requests: (method, path with query, Authorization) of everything asked.
    """

    def __init__(self, *cameras: dict[str, Any]) -> None:
        self.cameras = list(cameras)
        self.refusal: tuple[int, str] | None = None
        self.session = (409, "camera_not_live")
        self.requests: list[tuple[str, str, str | None]] = []
        self.url = ""

    async def _list(self, _: web.Request) -> web.Response:
        if self.refusal:
            return answer(*self.refusal)
        return json_response({"cameras": self.cameras})

    async def _show(self, request: web.Request) -> web.Response:
        for camera in self.cameras:
            if camera["id"] == request.match_info["id"] and not self.refusal:
                return json_response(camera)
        return answer(*(self.refusal or (404, "not_found")))

    async def _session(self, _: web.Request) -> web.Response:
        return answer(*self.session)

    async def _heard(self, request: web.Request, _: web.StreamResponse) -> None:
        self.requests.append((request.method, request.path_qs, request.headers.get("Authorization")))

    def app(self) -> web.Application:
        app = build(
            [
                Route("GET", "/v1/cameras", self._list),
                Route("GET", "/v1/cameras/{id}", self._show),
                Route("POST", "/v1/media/sessions", self._session),
                *(Route(*route) for route in Pages().routes()),
            ]
        )
        app.on_response_prepare.append(self._heard)
        return app

    def asked(self, method: str, path: str) -> int:
        """How often this was asked."""
        return sum(1 for m, p, _ in self.requests if (m, p) == (method, path))


def answer(status: int, code: str) -> web.Response:
    response = json_response({"title": "", "status": status, "code": code}, status=status)
    response.content_type = "application/problem+json"
    return response


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """An API with one camera in each state but live."""
    api = Api(
        view("yard", "offline"),
        view("attic", "connecting"),
        view("workshop", "waiting_for_key_frame"),
    )
    async with TestServer(api.app()) as server:
        api.url = str(server.make_url("/")).rstrip("/")
        yield api


@pytest.fixture
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """A page of somebody in London; its scripts must not fail, nor do what the policy forbids."""
    context = await chromium.new_context(locale="en-GB", viewport={"width": 1024, "height": 768})
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    forbidden = re.compile("^(?!Framing).*Content Security Policy", re.DOTALL)  # one test is about framing
    page.on("console", lambda m: errors.append(m.text) if forbidden.match(m.text) else None)
    yield page
    await context.close()
    assert errors == []


async def test_the_grid_says_each_state_in_words(api: Api, page: Page) -> None:
    """Title, state and reason stand under and on each picture; the number of live ones in the header."""
    api.cameras.append(view("door", "live", viewers=3, bit_rate_bps=2_130_000))
    await page.goto(api.url)

    tiles = page.locator(".tile")
    await expect(tiles).to_have_count(4)
    await expect(tiles.nth(0)).to_contain_text("Yard")
    await expect(tiles.nth(0)).to_contain_text("Offline since")
    await expect(tiles.nth(0).locator("camera-player")).to_contain_text("The camera does not answer.")
    await expect(tiles.nth(1).locator(".state")).to_have_text("Connecting")
    await expect(tiles.nth(2).locator(".state")).to_have_text("Waiting for a full picture")
    await expect(tiles.nth(3)).to_contain_text("3 watching")
    await expect(tiles.nth(3)).to_contain_text("2.1 Mb/s")
    await expect(page.locator("#summary")).to_have_text("1 of 4 live")


async def test_a_camera_that_has_no_picture_is_not_asked_for_one(api: Api, page: Page) -> None:
    """While the API says that a camera is not live, no media session is requested, so none is refused."""
    await page.goto(api.url)
    await expect(page.locator("camera-player[state=offline]")).to_have_count(1)
    await expect(page.locator("camera-player[state=connecting]")).to_have_count(1)
    await expect(page.locator("camera-player[state=waiting]")).to_have_count(1)

    assert api.asked("POST", "/v1/media/sessions") == 0


async def test_a_hostile_title_is_only_text(api: Api, page: Page) -> None:
    """Markup in titles and descriptions is shown as it was typed, on every page."""
    api.cameras = [view("yard", title=HOSTILE, description=HOSTILE)]
    for path, heading in (("/", "h2"), ("/cameras/yard", "#camera h1")):
        await page.goto(api.url + path)
        await expect(page.locator(heading)).to_have_text(HOSTILE)

    assert await page.title() == f"{HOSTILE} · camrelay"
    assert await page.evaluate("() => window.attacked") is None


async def test_a_token_in_the_address_goes_to_the_api_alone(api: Api, page: Page) -> None:
    """It leaves the address bar at once, is sent as Authorization only, and outlives a reload."""
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    await page.goto(f"{api.url}/#token={TOKEN}")
    await expect(page.locator(".tile")).to_have_count(3)
    assert page.url == f"{api.url}/"
    await page.reload()
    await expect(page.locator(".tile")).to_have_count(3)

    sent = {authorization for _, path, authorization in api.requests if path.startswith("/v1/")}
    assert sent == {f"Bearer {TOKEN}"}
    assert not any(TOKEN in path for _, path, _ in api.requests)
    assert {url.split("/")[2] for url in requested if url.startswith("http")} == {api.url.split("/")[2]}
    assert await page.context.cookies() == []


async def test_signing_out_forgets_the_token_and_the_pictures(api: Api, page: Page) -> None:
    """Nothing of the viewer stays in the tab."""
    await page.goto(f"{api.url}/#token={TOKEN}")
    await page.evaluate("() => sessionStorage.setItem('camrelay.picture.yard', 'data:,')")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_function("() => sessionStorage.length === 0")

    await expect(page.get_by_role("button", name="Sign out")).to_be_hidden()


@pytest.mark.parametrize(
    ("token", "code", "words"),
    [(None, "token_required", "No camera is open to you yet"), (TOKEN, "bad_token", "not valid any more")],
)
async def test_nothing_to_see_asks_for_a_link(
    api: Api, page: Page, token: str | None, code: str, words: str
) -> None:
    """Without authority the page says so, and takes a pasted link at once, but not just anything."""
    api.refusal = (401, code)
    await page.goto(api.url + (f"/#token={token}" if token else "/"))
    await expect(page.get_by_role("heading", name=words)).to_be_visible()

    await page.get_by_label("Link or token").fill("https://cams.example/")
    await page.get_by_role("button", name="Show cameras").click()
    await expect(page.get_by_role("alert")).to_contain_text("neither a link nor a token")
    api.refusal = None
    await page.get_by_label("Link or token").fill(f" https://cams.example/cameras/yard#token={TOKEN}\n")
    await page.get_by_role("button", name="Show cameras").click()

    await expect(page.locator(".tile")).to_have_count(3)
    await expect(page.get_by_role("heading", name=words)).to_be_hidden()


async def test_a_server_that_is_gone_is_said_and_found_again(api: Api, page: Page) -> None:
    """The last known cameras stay, under a notice that goes away by itself."""
    await page.goto(api.url)
    await expect(page.locator(".tile")).to_have_count(3)

    api.refusal = (500, "internal")
    await expect(page.locator("#banner")).to_contain_text("camrelay cannot be reached", timeout=15_000)
    await expect(page.locator(".tile")).to_have_count(3)
    async with page.expect_request("**/v1/cameras"):
        await page.get_by_role("button", name="Try now").click()
    api.refusal = None

    await expect(page.locator("#banner")).to_be_hidden()


@pytest.mark.parametrize(
    ("status", "code", "state", "words"),
    [
        (404, "not_found", "denied", "You cannot watch this camera"),
        (401, "token_required", "signed-out", "Sign in to watch"),
        (401, "bad_token", "ended", "Your access has ended"),
        (503, "overloaded", "busy", "The server is full"),
        (503, "audit_unavailable", "unreachable", "camrelay cannot be reached"),
        (502, None, "unreachable", "camrelay cannot be reached"),
    ],
)
async def test_the_player_says_why_it_may_not_play(
    api: Api, page: Page, status: int, code: str | None, state: str, words: str
) -> None:
    """Every refusal has a state, a headline and a spoken sentence, and is reported as an event."""
    api.cameras = [view("door", "live")]
    api.session = (status, code)  # type: ignore[assignment]
    await page.goto(f"{api.url}/embed/door")

    player = page.locator(f"camera-player[state={state}]")
    await expect(player.locator(".headline")).to_have_text(words)
    await expect(player.get_by_role("status")).to_contain_text(words)


async def test_a_new_token_ends_a_refusal_at_once(api: Api, page: Page) -> None:
    """Whoever embeds the player may renew a token without reloading."""
    api.cameras = [view("door", "live")]
    api.session = (401, "bad_token")
    await page.goto(f"{api.url}/embed/door#token={TOKEN}")
    await expect(page.locator("camera-player[state=ended]")).to_be_visible()

    api.session = (503, "overloaded")
    await page.evaluate("token => { document.querySelector('camera-player').token = token }", TOKEN[::-1])

    await expect(page.locator("camera-player[state=busy]")).to_be_visible()
    assert api.requests[-1][2] == f"Bearer {TOKEN[::-1]}"


async def test_keys_mean_the_player(api: Api, page: Page) -> None:
    """Space pauses, F fills the screen, also before anything has the focus; Tab shows where the focus is."""
    await page.goto(f"{api.url}/cameras/yard")
    player = page.locator("camera-player")
    await expect(page.locator("camera-player[state=offline]")).to_be_visible()

    await page.keyboard.press("Space")
    await expect(page.locator("camera-player[state=paused]")).to_be_visible()
    await expect(player.get_by_role("button", name="Play")).to_be_visible()
    await page.keyboard.press("Space")
    await expect(page.locator("camera-player[state=offline]")).to_be_visible()
    await page.keyboard.press("f")
    await page.wait_for_function("() => document.fullscreenElement?.localName === 'camera-player'")
    await page.keyboard.press("f")
    await page.wait_for_function("() => document.fullscreenElement === null")
    await player.focus()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Shift+Tab")
    assert await player.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"


async def test_only_tiles_in_sight_hold_a_stream(api: Api, page: Page) -> None:
    """Thirty cameras on a phone: those far below ask for nothing until they are scrolled to."""
    api.cameras = [view(f"cam{n}", "live") for n in range(30)]
    api.session = (503, "overloaded")
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(api.url)
    await expect(page.locator("camera-player[state=busy]").first).to_be_visible()
    last = page.locator("camera-player").last
    assert await last.get_attribute("state") is None

    await last.scroll_into_view_if_needed()

    await expect(last).to_have_attribute("state", "busy")
    await expect(page.locator("camera-player").first).to_have_attribute("state", "idle")


@pytest.mark.parametrize("path", ["/", "/cameras/yard", "/embed/yard"])
async def test_nothing_is_wider_than_the_screen(api: Api, page: Page, path: str) -> None:
    """No page scrolls sideways, on no screen, however long a title is."""
    api.cameras = [view("yard", title="Donaudampfschifffahrtsgesellschaft" * 5, description="x" * 900)]
    await page.goto(api.url + path)
    await expect(page.locator("camera-player[state=offline]")).to_be_visible()

    for width in (320, 390, 1024, 1600):
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= width


async def test_another_site_may_embed_the_player(api: Api, page: Page) -> None:
    """As an element with a token of its own, or as /embed in a frame; the other pages refuse to be framed."""
    markup = f"""<!doctype html><script type="module" src="{api.url}/player.js"></script>
        <camera-player camera="yard" token="{TOKEN}" controls></camera-player>
        <iframe src="{api.url}/embed/yard"></iframe><iframe src="{api.url}/cameras/yard"></iframe>"""

    async def foreign(_: web.Request) -> web.Response:
        return web.Response(text=markup, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", foreign)
    async with TestServer(app) as elsewhere:
        await page.goto(str(elsewhere.make_url("/")))

        await expect(page.locator("camera-player")).to_contain_text("The camera does not answer.")
        assert ("POST", "/v1/media/sessions", f"Bearer {TOKEN}") in api.requests
        allowed, refused = page.frame_locator("iframe").nth(0), page.frame_locator("iframe").nth(1)
        await expect(allowed.locator("camera-player[state=offline]")).to_be_attached()
        assert await refused.locator("camera-player").count() == 0
