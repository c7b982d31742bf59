"""How soon Chromium shows a camera, and how far behind live it then is.

Chromium opens the relay's own camera page, with an empty cache and by WebRTC, at a random moment of the
camera's GOP; for each length of GOP many times. A start runs from the beginning of the navigation to the
moment the first picture is handed to the compositor (requestVideoFrameCallback's presentationTime). Told
apart are the part until the page's HTML is there, in which the browser starts a process for it, the part of
the page's scripts until the WHEP offer, and the part after the offer, which is the relay's and the
decoder's. The first join of a browser is not counted: it is
about the browser.

How far behind live the picture is afterwards is not an estimate. A WHEP load client watches the same camera;
camrelay gives all viewers of a camera the same RTP timestamps, so the client's reading of the camera's
clock tells when the camera sent the picture that Chromium shows at a moment. Relay, browser and decoder
are all in it. The browser shares a core with the camera and the load client. See P5.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence
from typing import NamedTuple

from playwright.async_api import Browser
from playwright.async_api import Error as BrowserError

from benchmarks import chromium
from benchmarks.chromium import Shown
from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.percentile import percentile
from benchmarks.result import Cell, Table
from benchmarks.servers.camrelay import Camrelay
from benchmarks.whep.crowd import Crowd
from camrelay.simulate.options import Picture

OWED = {
    "p5_chromium_start_p50_ms": "ms",
    "p5_chromium_start_p99_ms": "ms",
    "p5_chromium_after_offer_p50_ms": "ms",
    "p5_chromium_after_offer_p99_ms": "ms",
    "p5_chromium_behind_p50_ms": "ms",
    "p5_chromium_behind_p99_ms": "ms",
    "p5_chromium_failed_joins": "joins",
}

QUICK = ["--gops", "2", "--joins", "1", "--stay", "0.5"]

#: Pictures of the first moments are those of the GOP so far, shown late by design.
_SETTLE_MS = 500


class Joins(NamedTuple):
    """All joins of one length of GOP; times in milliseconds."""

    gop_s: float
    #: Until the page's HTML was there, until the offer went out, until the first picture was shown.
    loads: list[float]
    offers: list[float]
    starts: list[float]
    after_offer: list[float]
    behind: list[float]
    failed: int


def lateness(shown: Shown, clocks: dict[int, int]) -> list[float]:
    """Milliseconds from the camera's sending to the screen, of each picture after the first moments.

    Args:
        clocks: RTP timestamp -> UTC microseconds of sending.
    """
    first = shown.pictures[0][0]
    return [
        shown.began_ms + at - clocks[timestamp] / 1000
        for at, timestamp in shown.pictures
        if at > first + _SETTLE_MS and timestamp in clocks
    ]


async def joins(run: Run, launched: Browser, gop_s: float) -> Joins:
    """A camera, a relay, and one page after another."""
    options, moments = run.options, random.Random(run.options.seed)
    found = Joins(gop_s, [], [], [], [], [], 0)
    picture = Picture(bitrate_bps=options.bitrate, gop_pictures=round(gop_s * 25))
    server = Camrelay(run.directory / f"gop{gop_s:g}", run.cores.server)
    async with Feed(run.directory, run.cores.load, picture=picture) as feed, Crowd(sample_every=1) as crowd:
        await server.start({"cam1": feed.url()})
        run.result.servers["camrelay"] = server.settings
        try:
            await crowd.join(server.whep("cam1"), 1, per_second=1)
            for number in range(options.joins + 1):
                await asyncio.sleep(moments.uniform(0, gop_s))
                try:
                    shown = await chromium.watch(launched, f"{server.url}/cameras/cam1", options.stay)
                except BrowserError:
                    found = found._replace(failed=found.failed + 1)
                    continue
                if number:
                    start = shown.pictures[0][0]
                    found.loads.append(shown.loaded_ms)
                    found.offers.append(shown.posted_ms)
                    found.starts.append(start)
                    found.after_offer.append(start - shown.posted_ms)
                    clocks = dict(pair for sample in crowd.samples() for pair in sample.clocks)
                    found.behind.extend(lateness(shown, clocks))
        finally:
            await server.stop()
    run.say(f"GOP {gop_s:g} s: p50 of {len(found.starts)} joins {percentile(found.starts, 50):.0f} ms")
    return found


async def body(run: Run) -> None:
    """Each length of GOP in turn."""
    reason = chromium.missing()
    if reason:
        run.say(reason)
        run.result.give_up("p5", reason)
        return
    found: list[Joins] = []
    async with chromium.browser() as launched:
        run.result.servers["chromium"] = {"version": launched.version, "cache": "empty for every join"}
        for gop_s in map(float, run.options.gops.split(",")):
            found.append(await joins(run, launched, gop_s))
            summarize(run, found)


def summarize(run: Run, found: Sequence[Joins]) -> None:
    """Figures and table of what there is so far."""
    result = run.result
    for name, values in (
        ("start", [start for each in found for start in each.starts]),
        ("after_offer", [part for each in found for part in each.after_offer]),
        ("behind", [late for each in found for late in each.behind]),
    ):
        for percent in (50, 99):
            value = percentile(values, percent) if values else None
            result.figure(f"p5_chromium_{name}_p{percent}_ms", value, "ms", "no picture was shown")
    result.figure("p5_chromium_failed_joins", sum(each.failed for each in found), "joins")
    rows: list[list[Cell]] = [
        [
            each.gop_s, len(each.starts), each.failed,
            percentile(each.loads, 50), percentile(each.offers, 50),
            *(percentile(each.starts, percent) for percent in (50, 99)),
            *(percentile(each.after_offer, percent) for percent in (50, 99)),
            *(percentile(each.behind, percent) for percent in (50, 99)),
        ]
        for each in found
        if each.starts
    ]  # fmt: skip
    columns = [
        "GOP s", "joins", "failed", "HTML p50 ms", "offer p50 ms", "picture p50 ms", "p99 ms",
        "after the offer p50 ms", "p99 ms", "behind live p50 ms", "p99 ms",
    ]  # fmt: skip
    result.tables = [Table("The first picture in Chromium", columns, rows)]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--gops", default="2,4,10", help="of the camera, seconds, comma-separated")
    parser.add_argument("--joins", type=int, default=40, help="counted, for each GOP")
    parser.add_argument("--stay", type=float, default=3.0, help="seconds on the page after the first picture")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of the camera, bits per second")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("start", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
