"""A person's browser: the system's Chromium, and what it says about the pictures it shows."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from playwright.async_api import Browser, async_playwright

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Without it Chromium offers names that only mDNS resolves.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--autoplay-policy=no-user-gesture-required",
)

#: A page that shows nothing for this long never will.
_PATIENCE_MS = 20_000

#: Notes every picture of every <video> that is given a stream: when it was handed to the compositor, in
#: milliseconds since the navigation began, and its RTP timestamp.
_WATCH = """
window.pictures = [];
const {get, set} = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "srcObject");
Object.defineProperty(HTMLMediaElement.prototype, "srcObject", {get, set(stream) {
  set.call(this, stream);
  const note = (_, {presentationTime, rtpTimestamp}) => {
    if (rtpTimestamp !== undefined) window.pictures.push([presentationTime, rtpTimestamp]);
    this.requestVideoFrameCallback(note);
  };
  if (stream) this.requestVideoFrameCallback(note);
}});
"""

_REPORT = """() => ({
  began: performance.timeOrigin,
  loaded: performance.getEntriesByType("navigation")[0].responseEnd,
  posted: performance.getEntriesByType("resource").find(({name}) => name.includes("whep"))?.startTime ?? 0,
  pictures: window.pictures,
})"""


class Shown(NamedTuple):
    """What one page showed.

    `began_ms` is the start of the navigation in UTC. Counted from it are `loaded_ms`, when the page's HTML
    was there, `posted_ms`, when the WHEP offer went out, and the times of `pictures`, each with its RTP
    timestamp.
    """

    began_ms: float
    loaded_ms: float
    posted_ms: float
    pictures: list[tuple[float, int]]


def missing() -> str:
    """Why there can be no browser here, "" when there can."""
    return "" if shutil.which("chromium") else "no chromium on PATH"


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Chromium without a window, on this process's core."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*_ARGUMENTS]
        )
        try:
            yield launched
        finally:
            await launched.close()


async def watch(launched: Browser, url: str, seconds: float) -> Shown:
    """Opens a page with nothing in its cache; closes it some seconds after the first picture.

    Raises:
        playwright.async_api.TimeoutError: no picture came.
    """
    context = await launched.new_context(viewport={"width": 1280, "height": 800})
    try:
        page = await context.new_page()
        await page.add_init_script(_WATCH)
        await page.goto(url, wait_until="commit")
        await page.wait_for_function("() => window.pictures?.length", timeout=_PATIENCE_MS, polling=100)
        await page.wait_for_timeout(seconds * 1000)
        found = await page.evaluate(_REPORT)
    finally:
        await context.close()
    pictures = [(float(at), int(timestamp)) for at, timestamp in found["pictures"]]
    return Shown(found["began"], found["loaded"], found["posted"], pictures)
