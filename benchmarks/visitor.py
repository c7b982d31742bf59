"""Somebody's own browser, with nobody looking over their shoulder.

A Chromium that is told where to go by one command and asked a second later what it showed. Playwright, which
drives the browsers of the other benchmarks, lets no page run before it has attached to it, and then follows
all that it does: on an idle machine a first picture took 373 ms with it and 237 without.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from benchmarks import chromium

#: A tab that opens keeps the browser's own interface busy for a while, whatever is then shown in it.
_TAB_OPENS_S = 0.5

#: A page that somebody comes from is there and shows its pictures.
_LOOKED_AT_S = 2.5

#: Nothing is asked of a page before: that would take its time.
_LEFT_ALONE_S = 1.0
_ASKED_EVERY_S = 0.25

#: A page that shows nothing for this long never will.
_PATIENCE_S = 20.0

#: A browser that says nothing for this long is gone.
_ANSWER_S = 20.0

#: One that is asked to end and does not is killed after this long.
_END_S = 8.0

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

_REPORT = """(() => {
  const asked = (part) => performance.getEntriesByType("resource").find(({name}) => name.includes(part));
  return {
    began_ms: performance.timeOrigin,
    loaded_ms: performance.getEntriesByType("navigation")[0].responseEnd,
    asked_ms: asked("/sessions")?.startTime ?? 0,
    posted_ms: asked("whep")?.startTime ?? 0,
    answered_ms: asked("whep")?.responseEnd ?? 0,
    pictures: window.pictures,
  };
})()"""


class VisitFailed(Exception):
    """A page that showed no picture, or a browser that did not answer."""


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


class Visitor:
    """A Chromium and its DevTools connection (Chrome DevTools Protocol, tot)."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listener = asyncio.create_task(self._listen())

    async def version(self) -> str:
        """The browser's name and version."""
        return str((await self._call("Browser.getVersion"))["product"])

    async def person(self) -> str:
        """Somebody new, with a cache and storage of their own, empty at first."""
        return str((await self._call("Target.createBrowserContext"))["browserContextId"])

    async def forget(self, person: str) -> None:
        """Closes what is open of a person and drops all they had."""
        await self._call("Target.disposeBrowserContext", browserContextId=person)

    async def watch(self, person: str, url: str, seconds: float, *, coming_from: str = "") -> Shown:
        """Opens a page in a tab of its own; closes it some seconds after it was seen to show a picture.

        Args:
            coming_from: a page that the tab shows before, instead of none.

        Raises:
            VisitFailed: none came.
        """
        opened = await self._call("Target.createTarget", url="about:blank", browserContextId=person)
        attached = await self._call("Target.attachToTarget", targetId=opened["targetId"], flatten=True)
        page = attached["sessionId"]
        try:
            await self._call("Page.enable", page)
            await self._call("Page.addScriptToEvaluateOnNewDocument", page, source=_WATCH)
            await asyncio.sleep(_TAB_OPENS_S)
            if coming_from:
                await self._call("Page.navigate", page, url=coming_from)
                await asyncio.sleep(_LOOKED_AT_S)
            await self._call("Page.navigate", page, url=url)
            await asyncio.sleep(_LEFT_ALONE_S)
            await self._picture(page)
            await asyncio.sleep(seconds)
            found = await self._evaluate(page, _REPORT)
            pictures = [(float(at), int(timestamp)) for at, timestamp in found.pop("pictures")]
            return Shown(**found, pictures=pictures)
        finally:
            await self._call("Target.closeTarget", targetId=opened["targetId"])

    def close(self) -> None:
        """Listens no more."""
        self._listener.cancel()

    async def _picture(self, page: str) -> None:
        """Waits for the first one."""
        for _ in range(round(_PATIENCE_S / _ASKED_EVERY_S)):
            if await self._evaluate(page, "window.pictures?.length"):
                return
            await asyncio.sleep(_ASKED_EVERY_S)
        raise VisitFailed(f"no picture in {_PATIENCE_S:g} s")

    async def _evaluate(self, page: str, expression: str) -> Any:
        answer = await self._call("Runtime.evaluate", page, expression=expression, returnByValue=True)
        return answer["result"].get("value")

    async def _call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        of_session = {"sessionId": session} if session else {}
        await self._connection.send_json({"id": number, "method": method, "params": parameters, **of_session})
        try:
            async with asyncio.timeout(_ANSWER_S):
                found = await answer
        except TimeoutError:
            raise VisitFailed(f"the browser did not answer {method}") from None
        finally:
            del self._waiting[number]
        if "error" in found:
            raise VisitFailed(f"{method}: {found['error']['message']}")
        result: dict[str, Any] = found["result"]
        return result

    async def _listen(self) -> None:
        async for message in self._connection:
            said = json.loads(message.data)
            answer = self._waiting.get(said.get("id", 0))
            if answer is not None and not answer.done():
                answer.set_result(said)


@asynccontextmanager
async def visitor(directory: Path, cores: Collection[int]) -> AsyncIterator[Visitor]:
    """Chromium without a window, on these cores, its profile and log in `directory`.

    Raises:
        VisitFailed: it did not start.
    """
    process = _launch(directory, cores)
    try:
        address = await asyncio.to_thread(_address, directory)
        async with aiohttp.ClientSession() as http, http.ws_connect(address) as connection:
            found = Visitor(connection)
            try:
                yield found
            finally:
                found.close()
    finally:
        await asyncio.to_thread(_end, process)


def _launch(directory: Path, cores: Collection[int]) -> subprocess.Popen[bytes]:
    directory.mkdir(parents=True, exist_ok=True)
    command = ["chromium", "--headless", *chromium.ARGUMENTS, "--no-first-run", "--window-size=1280,800"]
    command += ["--remote-debugging-port=0", f"--user-data-dir={directory}", "about:blank"]
    mine = os.sched_getaffinity(0)
    # Affinity is inherited, so this process takes that of the browser while it starts it.
    os.sched_setaffinity(0, cores)
    try:
        with (directory / "log").open("wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    finally:
        os.sched_setaffinity(0, mine)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _address(directory: Path) -> str:
    """Where the browser listens, which it writes down in its profile once it does."""
    written = directory / "DevToolsActivePort"
    deadline = time.monotonic() + _ANSWER_S
    while time.monotonic() < deadline:
        lines = written.read_text().splitlines() if written.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.05)
    raise VisitFailed(f"chromium did not start: {(directory / 'log').read_text(errors='replace')[-500:]}")
