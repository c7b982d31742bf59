"""Somebody signs in with a browser, by keyboard, watches, and is signed out from elsewhere."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from camrelay.simulate.server import Simulator
from processes import Relay, StartRelay, camrelay

pytestmark = pytest.mark.e2e

LIMIT_MS = 40_000
EMAIL = "olga@cams.example"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


async def add_operator(relay: Relay) -> str:
    """An operator's account; its password."""
    config = ("--config", str(relay.config))
    status, output, errors = await camrelay("user", "add", *config, EMAIL, "--role", "operator")
    assert status == 0, errors
    return output.strip()


async def test_signing_in_watching_and_being_signed_out(
    start_relay: StartRelay, simulator: Simulator, chromium: Browser
) -> None:
    """The picture comes by the cookie alone, and stops when its session is ended in another browser."""
    relay = await start_relay({"cam1": simulator.url(1)})
    password = await add_operator(relay)
    context = await chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    context.set_default_timeout(LIMIT_MS)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))

    await page.goto(relay.url("/sign-in?next=//evil.example/"))
    assert await context.cookies() == []
    await page.keyboard.type(EMAIL)
    await page.keyboard.press("Tab")
    await page.keyboard.type("not the password")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="do not go together")).to_be_visible()
    await page.keyboard.type(password)
    await page.keyboard.press("Enter")

    await page.wait_for_url(relay.url("/"))  # case 31: no other host, whatever `next` says
    await expect(page.locator("camera-player[state=live]")).to_be_visible()
    cookies: list[Any] = list(await context.cookies())
    assert [(each["name"], each["httpOnly"], each["sameSite"]) for each in cookies] == [
        ("camrelay", True, "Lax")
    ]

    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), headers=OWN_PAGE) as http:
        body = {"email": EMAIL, "password": password}
        async with http.post(relay.url("/v1/login"), json=body) as answer:
            assert answer.status == 200
        async with http.delete(relay.url("/v1/me/sessions")) as answer:
            assert answer.status == 204
    await expect(page.locator("camera-player[state=live]")).to_have_count(0, timeout=5000)
    await expect(page.get_by_role("link", name="Sign in").first).to_be_visible()
    assert relay.records(type="stream.stop")[-1]["reason"] == "revoked"
    assert faults == []
    await context.close()
