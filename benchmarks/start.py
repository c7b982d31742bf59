"""How soon Chromium shows a camera, and how far behind live it then is.

Chromium opens the relay's own camera page, by WebRTC, at a random moment of the camera's GOP; for each
length of GOP many times, each in an open, empty tab of a running browser. Most joins are those of somebody
who has been here before: the browser has the page's files. Some are of somebody new, with an empty cache,
and some of somebody who comes from the page of all cameras, in its tab; both are told apart. (A tab that
shows nothing or another site needs another process for the page, which takes the browser 30 ms.) The first
join of a browser is not counted: it is about the browser. Nothing follows what a page does: it is sent its
way by one command and asked afterwards.

A start runs from the beginning of the navigation to the moment the first picture is handed to the compositor
(requestVideoFrameCallback's presentationTime). It is told in parts, each counted from that beginning: the
page's HTML is there, until which the browser has prepared a process for it; the page's script asks for a
media session; the WHEP offer goes out; its answer is there; the first picture is shown. What comes after the
offer is the relay's and the decoder's.

A machine that its host stops for a while stops the browser too. On each core a program that does nothing
tells when that was; the starts during which neither was late by more than 20 ms in all are told apart as
undisturbed.

How far behind live the picture is afterwards is not an estimate. A WHEP load client watches the same camera;
camrelay gives all viewers of a camera the same RTP timestamps, so the client's reading of the camera's
clock tells when the camera sent the picture that Chromium shows at a moment. Relay, browser and decoder
are all in it. The browser may use both cores, as a viewer's own computer would let it: one it shares with the
camera and the load client, the other with the relay. See P5.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from benchmarks import chromium
from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.lateness import Idle, Span, within_s
from benchmarks.percentile import percentile
from benchmarks.result import Cell, Table
from benchmarks.servers.camrelay import Camrelay
from benchmarks.visitor import Shown, VisitFailed, Visitor, visitor
from benchmarks.whep.crowd import Crowd
from camrelay.simulate.options import Picture

OWED = {
    "p5_chromium_start_p50_ms": "ms",
    "p5_chromium_start_p99_ms": "ms",
    "p5_chromium_start_undisturbed_p50_ms": "ms",
    "p5_chromium_start_undisturbed_p99_ms": "ms",
    "p5_chromium_undisturbed_joins": "joins",
    "p5_chromium_new_visitor_p50_ms": "ms",
    "p5_chromium_from_grid_p50_ms": "ms",
    "p5_chromium_from_grid_p99_ms": "ms",
    "p5_chromium_after_offer_p50_ms": "ms",
    "p5_chromium_after_offer_p99_ms": "ms",
    "p5_chromium_behind_p50_ms": "ms",
    "p5_chromium_behind_p99_ms": "ms",
    "p5_chromium_failed_joins": "joins",
}

QUICK = ["--gops", "1", "--joins", "1", "--new", "0", "--from-grid", "0", "--stay", "1"]

#: A look every millisecond takes the browser's core from it, and a third more time for its first picture.
_LOOK_S = 0.02

#: A start is undisturbed up to this: less is the browser's own use of the cores.
_DISTURBED_S = 0.02

#: Pictures of the first moments are those of the GOP so far, shown late by design.
_SETTLE_MS = 500


#: Been here before, never, or coming from the page of all cameras.
Kind = Literal["known", "new", "from grid"]


class Joins:
    """All joins of one length of GOP by one kind of visitors; in milliseconds."""

    def __init__(self, gop_s: float, kind: Kind) -> None:
        self.gop_s = gop_s
        self.kind = kind
        self.shown: list[Shown] = []
        self.undisturbed: list[float] = []
        self.behind: list[float] = []
        self.failed = 0

    def __str__(self) -> str:
        return f"{percentile(self.starts, 50):.0f} ms" if self.shown else "no picture"

    @property
    def starts(self) -> list[float]:
        """From the beginning of the navigation to the first picture."""
        return [each.pictures[0][0] for each in self.shown]

    @property
    def after_offer(self) -> list[float]:
        """From the offer to the first picture."""
        return [each.pictures[0][0] - each.posted_ms for each in self.shown]


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


def undisturbed(shown: Iterable[Shown], *idle: Sequence[Span]) -> list[float]:
    """The starts, in milliseconds, during which no program that does nothing was kept from it."""
    to_monotonic_s = time.monotonic() - time.time()
    found = []
    for each in shown:
        took_ms = each.pictures[0][0]
        first = each.began_ms / 1000 + to_monotonic_s
        last = first + took_ms / 1000
        if all(within_s(spans, first, last) <= _DISTURBED_S for spans in idle):
            found.append(took_ms)
    return found


async def joins(run: Run, browser: Visitor, gop_s: float) -> list[Joins]:
    """A camera, a relay, and one page after another."""
    options = run.options
    picture = Picture(bitrate_bps=options.bitrate, gop_pictures=round(gop_s * 25))
    server = Camrelay(run.directory / f"gop{gop_s:g}", run.cores.server)
    async with (
        Feed(run.directory, run.cores.load, picture=picture) as feed,
        Crowd(sample_every=1, look_s=_LOOK_S) as crowd,
        Idle(run.cores.server, run.directory / "idle_server.log") as one,
        Idle(run.cores.load, run.directory / "idle_load.log") as other,
    ):
        found = [Joins(gop_s, kind) for kind in get_args(Kind)]
        await server.start({"cam1": feed.url()})
        run.result.servers["camrelay"] = server.settings
        try:
            await crowd.join(server.whep("cam1"), 1, per_second=1)
            for each in found:
                await join(run, browser, crowd, server.url, each)
                each.undisturbed = undisturbed(each.shown, one.spans, other.spans)
        finally:
            await server.stop()
    run.say(f"GOP {gop_s:g} s: " + ", ".join(f"{each.kind} {each}" for each in found))
    return found


async def join(run: Run, browser: Visitor, crowd: Crowd, site: str, found: Joins) -> None:
    """Opens the page so many times, not counting the first of somebody who then comes again."""
    options = run.options
    count = {"known": options.joins, "new": options.new, "from grid": options.from_grid}[found.kind]
    moments = random.Random(options.seed)
    person = await browser.person()
    for number in range(count if found.kind == "new" else count + bool(count)):
        await asyncio.sleep(moments.uniform(0, found.gop_s))
        if number and found.kind == "new":
            await browser.forget(person)
            person = await browser.person()
        coming_from = f"{site}/" if found.kind == "from grid" else ""
        try:
            shown = await browser.watch(person, f"{site}/cameras/cam1", options.stay, coming_from=coming_from)
        except VisitFailed:
            found.failed += 1
            continue
        if number or found.kind == "new":
            clocks = dict(pair for sample in crowd.samples() for pair in sample.clocks)
            found.shown.append(shown)
            found.behind.extend(lateness(shown, clocks))
    await browser.forget(person)


async def body(run: Run) -> None:
    """Each length of GOP in turn."""
    reason = chromium.missing()
    if reason:
        run.say(reason)
        run.result.give_up("p5", reason)
        return
    found: list[Joins] = []
    async with visitor(run.directory / "chromium", {run.cores.server, run.cores.load}) as browser:
        version = await browser.version()
        run.result.servers["chromium"] = {"version": version, "join": "a new tab", "cores": "all"}
        for gop_s in map(float, run.options.gops.split(",")):
            found += await joins(run, browser, gop_s)
            summarize(run, found)


def summarize(run: Run, found: Sequence[Joins]) -> None:
    """Figures and table of what there is so far."""
    result = run.result
    of = {kind: [each for each in found if each.kind == kind] for kind in get_args(Kind)}
    known = of["known"]
    for name, values in (
        ("start", [start for each in known for start in each.starts]),
        ("from_grid", [start for each in of["from grid"] for start in each.starts]),
        ("start_undisturbed", [start for each in known for start in each.undisturbed]),
        ("after_offer", [part for each in known for part in each.after_offer]),
        ("behind", [late for each in known for late in each.behind]),
    ):
        for percent in (50, 99):
            value = percentile(values, percent) if values else None
            result.figure(f"p5_chromium_{name}_p{percent}_ms", value, "ms", "no such picture was shown")
    result.figure("p5_chromium_undisturbed_joins", sum(len(each.undisturbed) for each in known), "joins")
    starts = [start for each in of["new"] for start in each.starts]
    value = percentile(starts, 50) if starts else None
    result.figure("p5_chromium_new_visitor_p50_ms", value, "ms", "no picture was shown")
    result.figure("p5_chromium_failed_joins", sum(each.failed for each in found), "joins")
    rows: list[list[Cell]] = [
        [
            each.gop_s, each.kind, len(each.starts), each.failed,
            percentile([shown.loaded_ms for shown in each.shown], 50),
            percentile([shown.asked_ms for shown in each.shown], 50),
            percentile([shown.posted_ms for shown in each.shown], 50),
            percentile([shown.answered_ms for shown in each.shown], 50),
            *(percentile(each.starts, percent) for percent in (50, 99)),
            len(each.undisturbed),
            *(percentile(each.undisturbed, percent) if each.undisturbed else None for percent in (50, 99)),
            *(percentile(each.after_offer, percent) for percent in (50, 99)),
            *(percentile(each.behind, percent) for percent in (50, 99)),
        ]
        for each in found
        if each.starts
    ]  # fmt: skip
    columns = [
        "GOP s", "visitor", "joins", "failed", "HTML p50 ms", "session asked p50 ms", "offer p50 ms",
        "answer p50 ms", "picture p50 ms", "p99 ms",
        "undisturbed", "p50 ms", "p99 ms", "after the offer p50 ms", "p99 ms",
        "behind live p50 ms", "p99 ms",
    ]  # fmt: skip
    result.tables = [Table("The first picture in Chromium", columns, rows)]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--gops", default="2,4,10", help="of the camera, seconds, comma-separated")
    parser.add_argument("--joins", type=int, default=40, help="counted, for each GOP")
    parser.add_argument("--new", type=int, default=10, help="joins of new visitors besides, for each GOP")
    parser.add_argument("--from-grid", type=int, default=10, help="joins from the page of all cameras")
    parser.add_argument("--stay", type=float, default=3.0, help="seconds on the page after the first picture")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of the camera, bits per second")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("start", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
