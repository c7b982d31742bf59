"""Whether players play: hls.js in Chromium and ffmpeg, for minutes, directly and through nginx.

All four watch the same camera at the same time. hls.js is driven by the module of camrelay's own player,
which also keeps it at the live edge. A stall is the video's `waiting` event once playback has found its
place. One with media ahead in the buffer is the browser's: its decoder gets too little of the processor. One
without is the delivery's, or the page's, whose script fetches the parts: how late its own timers were in the
second before tells which. Where they were late by more than half a part, the machine was elsewhere and the
stall says nothing of the relay; the stalls that remain are told as well. The picture is small, so that
decoding it in software is not what is measured.

How far behind live playback is comes from the program date at the playhead, which is when the picture
reached the relay, so that muxing, the wait for a part, the way here and the buffer are all in it; small
corrections of program dates move it by some milliseconds.

ffmpeg records without decoding. Its warnings about timestamps are about the stream. It reads the init section
anew with every reload of a playlist and warns that it knows it already, which is counted apart from the rest.
The proxy is nginx with the configuration that is shipped: TLS and HTTP/2.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from playwright.async_api import Browser, Route
from playwright.async_api import Error as BrowserError

import camrelay
from benchmarks import chromium
from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.percentile import percentile
from benchmarks.result import Cell, Curve, Plot, Table
from benchmarks.servers.camrelay import Camrelay
from benchmarks.servers.front import Front
from camrelay.simulate.options import Picture

WAYS = ("direct", "nginx")

OWED = {
    **{f"hlsjs_{way}_stalls": "stalls" for way in WAYS},
    **{
        f"hlsjs_{way}_stalls_{kind}": "stalls"
        for way in WAYS
        for kind in ("undisturbed", "empty", "undecoded")
    },
    **{f"hlsjs_{way}_behind_{name}_ms": "ms" for way in WAYS for name in ("p50", "p99", "max")},
    **{f"hlsjs_{way}_seconds": "s" for way in WAYS},
    **{
        f"ffmpeg_{way}_{kind}_warnings": "warnings"
        for way in WAYS
        for kind in ("timestamp", "init_again", "other")
    },
    **{f"ffmpeg_{way}_seconds": "s" for way in WAYS},
}

QUICK = ["--minutes", "0.02", "--record", "0.03", "--warm-up", "2"]

_PLAYER = Path(camrelay.__file__).parent / "web" / "static"
_HLS_JS = _PLAYER / "vendor" / "hls.light.min.mjs"

#: The first moments, in which a player finds its place, are not judged.
_SETTLE_S = 5.0
#: What hls.js takes for a hole, and less than a decoder needs: with no more than this, the buffer is empty.
_EMPTY_S = 0.1
#: Half a part: a page that runs so late has no time left of the three parts it keeps.
_DISTURBED_MS = 100
_SAMPLE_MS = 250
_TIMESTAMPS = re.compile(r"timestamp|\b[dp]ts\b|monoton", re.IGNORECASE)
_INIT_AGAIN = "Found duplicated MOOV Atom"
_OBJECT = re.compile(r" @ 0x[0-9a-f]+")
_PATIENCE_MS = 30_000
#: ffmpeg begins some segments back and ends when it has recorded enough.
_RECORD_SLACK_S = 60.0

#: The player's own module does the playing; this one lets the benchmark see the hls.js that it makes.
_LIBRARY = """import Hls from "./real.mjs";
export default class extends Hls { constructor(options) { super(options); window.hls = this; } }"""

_PAGE = """<!doctype html><meta charset="utf-8"><video id="v" muted playsinline></video><script type="module">
import { openHls } from "./transport_hls.js";
const video = document.getElementById("v");
window.seen = {samples: [], stalls: [], errors: []};
let isPlaying = false;
const ahead = () => {
  const {buffered, currentTime: now} = video;
  for (let i = 0; i < buffered.length; i++)
    if (buffered.start(i) <= now && now <= buffered.end(i)) return buffered.end(i) - now;
  return 0;
};
let timer = performance.now();
let delays = [];
const late = () => performance.now() - timer - 50;
setInterval(() => {
  delays = [...delays, late()].slice(-20);
  timer = performance.now();
}, 50);
video.addEventListener("playing", () => (isPlaying = true));
video.addEventListener("waiting", () => {
  if (isPlaying && !video.seeking)
    window.seen.stalls.push([performance.now(), ahead(), Math.max(0, late(), ...delays)]);
});
const {signal} = new AbortController();
const transport = await openHls(video, new URL("/hls/cam1/index.m3u8", location), {signal, lowLatency: true});
window.hls.on("hlsError", (_, data) => window.seen.errors.push(data.details));
video.play();
setInterval(() => transport.late(), 500);
setInterval(() => {
  const date = isPlaying && window.hls.playingDate;
  if (date) window.seen.samples.push([performance.now(), Date.now() - date]);
}, %d);
</script>"""


class Stall(NamedTuple):
    """When playback stood still, in ms since the page began, and why.

    `ahead_s` lay in the buffer; `page_late_ms` is the most that a timer of the page was late, shortly before.
    """

    at: float
    ahead_s: float
    page_late_ms: float

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to play."""
        return self.ahead_s <= _EMPTY_S

    @property
    def is_disturbed(self) -> bool:
        """Whether the machine took its time away from the page."""
        return self.page_late_ms > _DISTURBED_MS


class Watched(NamedTuple):
    """What one page with hls.js saw: (ms since it began, ms behind live), what its player called errors."""

    samples: list[tuple[float, float]]
    stalls: list[Stall]
    errors: list[str]

    @property
    def settled_at(self) -> float:
        """When the first moments are over."""
        if not self.samples:
            return 0.0
        first, last = self.samples[0][0], self.samples[-1][0]
        return first + min(_SETTLE_S * 1000, (last - first) / 5)

    def behind(self) -> list[float]:
        """Milliseconds behind live, after the first moments."""
        return [behind for at, behind in self.samples if at >= self.settled_at]

    def stood_still(self) -> list[Stall]:
        """The stalls after the first moments."""
        return [stall for stall in self.stalls if stall.at >= self.settled_at]


class Recorded(NamedTuple):
    """What ffmpeg made of it; `warnings` without the addresses of its objects."""

    seconds: float
    warnings: list[str]

    def kinds(self) -> Counter[str]:
        """How many warnings there are of each kind."""
        return Counter(map(_kind, self.warnings))


def _kind(warning: str) -> str:
    if _INIT_AGAIN in warning:
        return "init_again"
    return "timestamp" if _TIMESTAMPS.search(warning) else "other"


async def watch(launched: Browser, url: str, seconds: float) -> Watched:
    """Plays `url`/hls/cam1/index.m3u8 on a page of the same origin."""

    async def serve(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        if name == "page":
            await route.fulfill(body=_PAGE % _SAMPLE_MS, content_type="text/html")
        elif name == _HLS_JS.name:
            await route.fulfill(body=_LIBRARY, content_type="text/javascript")
        else:
            path = _HLS_JS if name == "real.mjs" else _PLAYER / name
            await route.fulfill(path=path, content_type="text/javascript")

    context = await launched.new_context(ignore_https_errors=True)
    try:
        page = await context.new_page()
        await page.route("**/benchmark/**", serve)
        await page.goto(f"{url}/benchmark/page")
        await page.wait_for_function("() => window.seen?.samples.length", timeout=_PATIENCE_MS)
        await page.wait_for_timeout(seconds * 1000)
        found = await page.evaluate("() => window.seen")
    except BrowserError as error:
        return Watched([], [], [type(error).__name__])
    finally:
        await context.close()
    return Watched(
        [(at, behind) for at, behind in found["samples"]],
        [Stall(*each) for each in found["stalls"]],
        found["errors"],
    )


async def record(url: str, seconds: float, path: Path) -> Recorded:
    """Lets ffmpeg copy so much media into a file."""
    process = await asyncio.create_subprocess_exec(
        "ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "level+warning",
        "-i", f"{url}/hls/cam1/index.m3u8", "-t", str(seconds), "-c", "copy", "-f", "mp4", path,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds + _RECORD_SLACK_S):
            _, text = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    warnings = [_OBJECT.sub("", line) for line in text.decode(errors="replace").splitlines() if line]
    if process.returncode:
        warnings.append(f"exit status {process.returncode}")
    return Recorded(await _length(path), warnings)


async def _length(path: Path) -> float:
    process = await asyncio.create_subprocess_exec(
        "ffprobe", "-v", "error", "-show_format", "-of", "json", path, stdout=asyncio.subprocess.PIPE
    )
    text, _ = await process.communicate()
    return float(json.loads(text or b"{}").get("format", {}).get("duration", 0.0))


def missing() -> str:
    """Why nothing can be played here, "" when it can."""
    if not shutil.which("ffmpeg"):
        return "no ffmpeg on PATH"
    if not _HLS_JS.exists():
        return "no hls.js: make setup"
    return chromium.missing() or Front.missing()


async def body(run: Run) -> None:
    """All players at once."""
    if reason := missing():
        run.say(reason)
        for word in ("hlsjs", "ffmpeg"):
            run.result.give_up(word, reason)
        return
    options = run.options
    picture = Picture(
        bitrate_bps=options.bitrate,
        width=options.width,
        height=options.width * 9 // 16,
        fps=options.fps,
        gop_pictures=2 * options.fps,
    )
    async with contextlib.AsyncExitStack() as stack:
        feed = await stack.enter_async_context(Feed(run.directory, run.cores.load, picture=picture))
        server = Camrelay(run.directory, run.cores.server)
        await server.start({"cam1": feed.url()})
        stack.push_async_callback(server.stop)
        address = server.url.removeprefix("http://")
        front = await stack.enter_async_context(Front(run.directory / "front", run.cores.server, address))
        launched = await stack.enter_async_context(chromium.browser())
        run.result.servers["camrelay"] = server.settings
        run.result.servers["chromium"] = {"version": launched.version}
        urls = dict(zip(WAYS, (server.url, front.url), strict=True))
        # A classic player needs segments to begin with.
        await asyncio.sleep(options.warm_up)
        run.say("playing")
        watching = [watch(launched, url, options.minutes * 60) for url in urls.values()]
        recording = [
            record(url, options.record * 60, run.directory / f"{way}.mp4") for way, url in urls.items()
        ]
        watched, recorded = await asyncio.gather(asyncio.gather(*watching), asyncio.gather(*recording))
    summarize(run, dict(zip(WAYS, watched, strict=True)), dict(zip(WAYS, recorded, strict=True)))


def summarize(run: Run, watched: dict[str, Watched], recorded: dict[str, Recorded]) -> None:
    """Figures, tables and the plot."""
    result = run.result
    rows: list[list[Cell]] = []
    stalls: list[list[Cell]] = []
    curves: list[Curve] = []
    for way, seen in watched.items():
        if not seen.samples:
            for name in OWED:
                if name.startswith(f"hlsjs_{way}"):
                    result.figure(name, None, OWED[name], f"nothing played: {', '.join(seen.errors)}")
            continue
        first = seen.samples[0][0]
        behind, stood_still = seen.behind(), seen.stood_still()
        empty = sum(stall.is_empty for stall in stood_still)
        result.figure(f"hlsjs_{way}_stalls", len(stood_still), "stalls")
        undisturbed = sum(not stall.is_disturbed for stall in stood_still)
        result.figure(f"hlsjs_{way}_stalls_undisturbed", undisturbed, "stalls")
        result.figure(f"hlsjs_{way}_stalls_empty", empty, "stalls")
        result.figure(f"hlsjs_{way}_stalls_undecoded", len(stood_still) - empty, "stalls")
        values = [percentile(behind, 50), percentile(behind, 99), max(behind)]
        for name, value in zip(("p50", "p99", "max"), values, strict=True):
            result.figure(f"hlsjs_{way}_behind_{name}_ms", value, "ms")
        moments = [(at - first) / 1000 for at, _ in seen.samples]
        result.figure(f"hlsjs_{way}_seconds", moments[-1], "s")
        errors = ", ".join(f"{count} {name}" for name, count in Counter(seen.errors).items())
        rows.append([way, moments[-1], len(stood_still), *values, errors])
        stalls += [
            [way, (stall.at - first) / 1000, stall.ahead_s, stall.page_late_ms] for stall in seen.stalls
        ]
        curves.append(Curve(way, moments, [ms for _, ms in seen.samples]))
    columns = ["way", "seconds", "stalls", "behind live p50 ms", "p99 ms", "max ms", "errors hls.js tells"]
    result.tables.append(Table("hls.js in Chromium", columns, rows))
    if stalls:
        columns = ["way", "second", "in the buffer s", "page late by ms"]
        result.tables.append(Table("Every wait, those of the first moments too", columns, stalls))
    result.plots.append(Plot("hlsjs_behind", "hls.js behind live", "seconds", "ms", curves))
    for way, made in recorded.items():
        kinds = made.kinds()
        for kind in ("timestamp", "init_again", "other"):
            result.figure(f"ffmpeg_{way}_{kind}_warnings", kinds[kind], "warnings")
        result.figure(f"ffmpeg_{way}_seconds", made.seconds, "s")
    result.tables.append(_recordings(recorded))


def _recordings(recorded: dict[str, Recorded]) -> Table:
    rows: list[list[Cell]] = []
    for way, made in recorded.items():
        rows.append([way, made.seconds, None, ""])
        rows += [[way, None, count, text.replace("|", "/")] for text, count in Counter(made.warnings).items()]
    return Table("ffmpeg records", ["way", "seconds", "times", "warning"], rows)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--minutes", type=float, default=10.0, help="that hls.js plays")
    parser.add_argument("--record", type=float, default=5.0, help="minutes that ffmpeg records")
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds before anybody plays")
    parser.add_argument("--bitrate", type=int, default=500_000, help="of the camera, bits per second")
    parser.add_argument("--width", type=int, default=320, help="of its picture, which is 16:9")
    parser.add_argument("--fps", type=int, default=25, help="pictures per second")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("playback", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
