"""How many HLS viewers one core serves, and how fast plain GETs go.

LL-HLS viewers of one camera follow the playlist with blocked reloads and fetch every part; their number
rises until a limit breaks: the server's core busier than 80 %, a viewer stalled or failed, p99 of the
delay from camera to whole part over one part of 200 ms. Classic viewers of the same servers fetch whole
segments. Then wrk asks each server for one part of about 50 kB and one segment of about 500 kB, next to
nginx and aiohttp on static bodies of those sizes. Each server gets the same camera, the same core and
the same viewers, in alternating order; figures are medians of the rounds. See P2, P3, P7 and P9.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys
from collections.abc import Sequence

from benchmarks.child import ChildFailed
from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.ladder import climb, rounds
from benchmarks.llhls import gets
from benchmarks.llhls.crowd import Crowd
from benchmarks.llhls.gets import Gets
from benchmarks.llhls.http1 import Broken
from benchmarks.llhls.step import Step, measure
from benchmarks.llhls.summary import CLASSIC, OWED, summarize, summarize_gets
from benchmarks.servers.registry import SERVERS, installed
from camrelay.simulate.options import Picture

#: Classic viewers wait for whole segments, and learn of them late.
_CLASSIC_DELAY_LIMIT_S = 10.0

QUICK = [
    "--servers", "camrelay", "--static", "nginx", "--no-classic", "--rounds", "1", "--start", "4",
    "--most", "4", "--warm-up", "0", "--seconds", "1", "--settle", "0.5", "--wrk-seconds", "1",
]  # fmt: skip


async def ladder(run: Run, label: str, feed: Feed) -> list[Step]:
    """One server from start to stop."""
    options = run.options
    name = label.removesuffix(CLASSIC)
    low_latency = name == label
    server = SERVERS[name](run.directory, run.cores.server)
    await server.start({"cam1": feed.url()})
    run.result.servers[name] = server.settings
    limit_s = options.delay_limit / 1000 if low_latency else _CLASSIC_DELAY_LIMIT_S
    try:
        # Until what is kept of the camera is full: memory that grows later is the viewers'.
        await asyncio.sleep(options.warm_up)
        async with Crowd(low_latency=low_latency) as crowd:

            async def at(size: int) -> Step:
                count = size - len(crowd.viewers)
                joined = await crowd.join(server.hls("cam1"), count, per_second=options.join_rate)
                await asyncio.sleep(options.settle)
                step = await measure(
                    server, crowd, joined=joined, seconds=options.seconds, delay_limit_s=limit_s
                )
                if step.failed:
                    run.say(f"{label}: failed so far {crowd.failures()}")
                return step

            return await climb(run, label, at, options.start, options.most)
    finally:
        await server.stop()


async def body(run: Run) -> None:
    """Ladders of all servers, then the GETs."""
    options = run.options
    names = installed(run, options.servers.split(","))
    labels = names + [name + CLASSIC for name in names if not options.no_classic]
    ladders: dict[str, list[Sequence[Step]]] = {}
    picture = Picture(bitrate_bps=options.bitrate, gop_pictures=round(options.gop * 25))
    async with Feed(run.directory, run.cores.load, picture=picture) as feed:
        try:
            contestants = {label: functools.partial(ladder, run, label, feed) for label in labels}
            await rounds(run, contestants, options.rounds, ladders)
        finally:
            summarize(run.result, ladders)
        await compare_gets(run, feed, names)


async def compare_gets(run: Run, feed: Feed, names: Sequence[str]) -> None:
    """P3, with the static servers beside the live ones."""
    if gets.missing():
        run.say(f"no GETs: {gets.missing()}")
        run.result.give_up("p3", gets.missing())
        return
    everybody = [*names, *installed(run, run.options.static.split(","))]
    rates: dict[str, list[dict[str, Gets]]] = {}
    try:
        for index in range(run.options.rounds):
            for name in everybody if index % 2 == 0 else reversed(everybody):
                try:
                    found = await gets.rates(run, name, feed, run.options.wrk_seconds)
                except (ChildFailed, Broken) as error:
                    run.say(f"{name} failed: {error}")
                else:
                    rates.setdefault(name, []).append(found)
    finally:
        summarize_gets(run.result, rates)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--servers", default="camrelay,mediamtx", help="live ones, comma-separated")
    parser.add_argument("--static", default="nginx,aiohttp", help="servers of static bodies, for the GETs")
    parser.add_argument("--no-classic", action="store_true", help="only low-latency viewers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--start", type=int, default=50, help="viewers to begin with")
    parser.add_argument("--most", type=int, default=4000, help="viewers to end with")
    parser.add_argument("--warm-up", type=float, default=40.0, help="seconds before the first viewers")
    parser.add_argument("--seconds", type=float, default=6.0, help="measured at each size")
    parser.add_argument("--settle", type=float, default=4.0, help="seconds from the last join to measuring")
    parser.add_argument("--join-rate", type=float, default=50.0, help="viewers that join per second")
    parser.add_argument("--delay-limit", type=float, default=200.0, help="p99 from camera to whole part, ms")
    parser.add_argument("--wrk-seconds", type=float, default=4.0, help="of GETs per body")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of the camera, bits per second")
    parser.add_argument("--gop", type=float, default=2.0, help="of the camera, seconds")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("hls", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
