"""A person's browser: the system's Chromium, and what it says about the pictures it shows."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import NamedTuple

from playwright.async_api import Browser, BrowserContext, async_playwright

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

#: A tab that opens keeps the browser's own interface busy for a while, whatever is then shown in it.
_TAB_OPENS_S = 0.5

#: A page that shows nothing for this long never will.
_PATIENCE_MS = 20_000

#: What the page says in its console when it shows a picture.
_FIRST = "first picture"

#: Notes every picture of every <video> that is given a stream: when it was handed to the compositor, in
#: milliseconds since the navigation began, and its RTP timestamp.
_WATCH = """
window.pictures = [];
const {get, set} = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "srcObject");
Object.defineProperty(HTMLMediaElement.prototype, "srcObject", {get, set(stream) {
  set.call(this, stream);
  const note = (_, {presentationTime, rtpTimestamp}) => {
    if (rtpTimestamp !== undefined && window.pictures.push([presentationTime, rtpTimestamp]) === 1) {
      console.debug("first picture");
    }
    this.requestVideoFrameCallback(note);
  };
  if (stream) this.requestVideoFrameCallback(note);
}});
"""

_REPORT = """() => {
  const asked = (part) => performance.getEntriesByType("resource").find(({name}) => name.includes(part));
  return {
    began: performance.timeOrigin,
    loaded: performance.getEntriesByType("navigation")[0].responseEnd,
    asked: asked("/sessions")?.startTime ?? 0,
    posted: asked("whep")?.startTime ?? 0,
    answered: asked("whep")?.responseEnd ?? 0,
    pictures: window.pictures,
  };
}"""


class Shown(NamedTuple):
    """What one page showed.

    `began_ms` is the start of the navigation in UTC. Counted from it are `loaded_ms`, when the page's HTML
    was there, `asked_ms`, when its script asked for a media session, `posted_ms`, when the WHEP offer went
    out, `answered_ms`, when the answer was there, and the times of `pictures`, each with its RTP timestamp.
    """

    began_ms: float
    loaded_ms: float
    asked_ms: float
    posted_ms: float
    answered_ms: float
    pictures: list[tuple[float, int]]


def missing() -> str:
    """Why there can be no browser here, "" when there can."""
    return "" if shutil.which("chromium") else "no chromium on PATH"


@asynccontextmanager
async def browser(cores: Collection[int] = ()) -> AsyncIterator[Browser]:
    """Chromium without a window, on these cores, or on this process's."""
    mine = os.sched_getaffinity(0)
    # Affinity is inherited, so this process takes that of the browser while it starts it.
    os.sched_setaffinity(0, cores or mine)
    try:
        async with async_playwright() as playwright:
            launched = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=[*_ARGUMENTS]
            )
            os.sched_setaffinity(0, mine)
            try:
                yield launched
            finally:
                await launched.close()
    finally:
        os.sched_setaffinity(0, mine)


async def profile(launched: Browser) -> BrowserContext:
    """A person's own cache and storage, empty at first."""
    return await launched.new_context(viewport={"width": 1280, "height": 800})


async def watch(person: BrowserContext, url: str, seconds: float) -> Shown:
    """Opens a page in a tab of its own; closes it some seconds after the first picture.

    Raises:
        playwright.async_api.TimeoutError: no picture came.
    """
    page = await person.new_page()
    try:
        await page.add_init_script(_WATCH)
        await asyncio.sleep(_TAB_OPENS_S)
        # Nothing is asked of the page before: that would take its time.
        async with page.expect_console_message(lambda said: said.text == _FIRST, timeout=_PATIENCE_MS):
            await page.goto(url, wait_until="commit")
        await asyncio.sleep(seconds)
        found = await page.evaluate(_REPORT)
    finally:
        await page.close()
    pictures = [(float(at), int(timestamp)) for at, timestamp in found["pictures"]]
    return Shown(
        found["began"], found["loaded"], found["asked"], found["posted"], found["answered"], pictures
    )
