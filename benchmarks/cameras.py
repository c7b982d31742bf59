"""How many cameras one core takes in, with nobody watching.

The number of simulated cameras rises in large steps until a limit breaks: the server's core busier than
80 %, cameras that are not live in time, or less than 97 % of the bytes per camera that arrived at the first
size. Then the numbers between are tried. The server is started anew for every size. MediaMTX is measured
twice: making HLS of every camera all the time, as camrelay does, and with its default, which makes it when
the first viewer comes. See P4.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks import exposition
from benchmarks.child import ChildFailed
from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.ladder import close_in, rounds
from benchmarks.percentile import spread
from benchmarks.result import Cell, Curve, Plot, Table
from benchmarks.rising import (
    BUSY_LIMIT,
    CLIENT_BUSY_LIMIT,
    Limit,
    broken,
    busy_plot,
    capacities,
    capacity_table,
)
from benchmarks.sampling import core_s, cpu_share, usage
from benchmarks.servers.registry import SERVERS, installed
from camrelay.simulate.options import Picture

#: Of the bytes per camera at the first size.
_DELIVERED = 0.97

OWED = {
    "p4_cameras": "cameras",
    "p4_cameras_mediamtx": "cameras",
    "p4_vs_mediamtx": "ratio",
    "p4_vs_mediamtx_lazy": "ratio",
    "p4_core_percent_per_camera": "percent",
    "p4_mb_per_camera": "MB",
    "p4_first_live_s": "s",
    "p4_loop_lag_p99_ms": "ms",
}

QUICK = ["--servers", "camrelay,mediamtx", "--rounds", "1", "--start", "2", "--most", "2", "--seconds", "1.5",
         "--settle", "0.5"]  # fmt: skip


class Step(NamedTuple):
    """One number of cameras. `live_s` is from the program's start to pictures of all of them."""

    size: int
    busy: float
    live_s: float
    mbps: float
    rss_bytes: int
    descriptors: int
    processes: int
    feed_busy: float
    #: Of the server's core, what others took from it: noise.
    others: float
    lag_p99_s: float
    broke: str = ""


async def measure(run: Run, name: str, feed: Feed, size: int, least_mbps: float) -> Step:
    """Starts the server with that many cameras and watches it for a while.

    Args:
        least_mbps: what must arrive per camera.
    """
    server = SERVERS[name](run.directory, run.cores.server)
    began = time.monotonic()
    try:
        async with asyncio.timeout(run.options.live):
            await server.start({f"cam{number}": feed.url(number) for number in range(1, size + 1)})
    except (ChildFailed, TimeoutError) as error:
        run.say(f"{name}: {size} are not live: {error}")
        return Step(size, 0.0, math.nan, 0.0, 0, 0, 0, 0.0, 0.0, math.nan, "cameras not live")
    live_s = time.monotonic() - began
    run.result.servers[name] = server.settings
    try:
        await asyncio.sleep(run.options.settle)
        page_before = await server.metrics()
        before, feed_before, core_before = usage(server.pid), usage(feed.pid), core_s(server.core)
        await asyncio.sleep(run.options.seconds)
        page_after = await server.metrics()
        after, feed_after, core_after = usage(server.pid), usage(feed.pid), core_s(server.core)
    finally:
        await server.stop()
    lag = exposition.quantile(page_before, page_after, exposition.EVENT_LOOP_LAG, 0.99)
    received = server.received_bytes(page_after) - server.received_bytes(page_before)
    busy, feed_busy = cpu_share(before, after), cpu_share(feed_before, feed_after)
    others = max(0.0, (core_after - core_before) / (after.at - before.at) - busy)
    mbps = received * 8 / 1e6 / (after.at - before.at)
    broke = broken(
        Limit("load client", feed_busy <= CLIENT_BUSY_LIMIT),
        Limit("bytes missing", mbps >= least_mbps * size and mbps > 0),
        Limit("core over 80 %", busy <= BUSY_LIMIT),
    )
    return Step(
        size, busy, live_s, mbps, after.rss_bytes, after.descriptors, after.processes, feed_busy, others,
        math.nan if lag is None else lag, broke,
    )  # fmt: skip


async def ladder(run: Run, name: str, feed: Feed) -> list[Step]:
    """One server under rising numbers of cameras."""
    least_mbps = 0.0

    async def at(size: int) -> Step:
        nonlocal least_mbps
        step = await measure(run, name, feed, size, least_mbps)
        least_mbps = least_mbps or _DELIVERED * step.mbps / size
        return step

    return await close_in(run, name, at, run.options.start, run.options.most)


async def body(run: Run) -> None:
    """All servers, all rounds."""
    options = run.options
    names = installed(run, options.servers.split(","))
    picture = Picture(bitrate_bps=options.bitrate, gop_pictures=round(options.gop * 25))
    ladders: dict[str, list[Sequence[Step]]] = {}
    try:
        async with Feed(run.directory, run.cores.load, cameras=options.most, picture=picture) as feed:
            contestants = {name: functools.partial(ladder, run, name, feed) for name in names}
            await rounds(run, contestants, options.rounds, ladders)
    finally:
        summarize(run, ladders)


def summarize(run: Run, ladders: Mapping[str, Sequence[Sequence[Step]]]) -> None:
    """Figures, tables and plots."""
    result = run.result
    result.tables += [capacity_table("Cameras on one core", "cameras", ladders), _steps(ladders)]
    result.plots += [
        busy_plot("cameras_busy", "One core against cameras, nobody watching", "cameras", ladders),
        _memory(ladders),
    ]
    found = capacities(ladders)
    for name, capacity in found.items():
        suffix = "" if name == "camrelay" else f"_{name.replace('-', '_')}"
        result.figure(f"p4_cameras{suffix}", capacity, "cameras")
        if suffix and "camrelay" in found:
            ratio = found["camrelay"].median / capacity.median if capacity.median else None
            result.figure(f"p4_vs{suffix}", ratio, "ratio", f"{name} held no size")
    held = [step for steps in ladders.get("camrelay", ()) for step in steps if not step.broke]
    if not held:
        return
    largest = max(held, key=lambda step: step.size)
    first = spread([steps[0].live_s for steps in ladders["camrelay"]])
    result.figure("p4_core_percent_per_camera", largest.busy / largest.size * 100, "percent")
    result.figure("p4_mb_per_camera", largest.rss_bytes / largest.size / 1e6, "MB")
    result.figure("p4_first_live_s", first, "s")
    lag = None if math.isnan(largest.lag_p99_s) else largest.lag_p99_s * 1000
    result.figure("p4_loop_lag_p99_ms", lag, "ms", "no lag metric")


def _steps(ladders: Mapping[str, Sequence[Sequence[Step]]]) -> Table:
    columns = ["server", "cameras", "core %", "Mb/s in", "all live s", "RSS MB", "descriptors", "processes",
               "simulator %", "others %", "broke"]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            name, step.size, step.busy * 100, step.mbps, None if math.isnan(step.live_s) else step.live_s,
            step.rss_bytes / 1e6, step.descriptors, step.processes, step.feed_busy * 100,
            step.others * 100, step.broke,
        ]
        for name, rounds_ in ladders.items()
        for step in rounds_[0]
    ]  # fmt: skip
    return Table("Every size of the first round", columns, rows)


def _memory(ladders: Mapping[str, Sequence[Sequence[Step]]]) -> Plot:
    curves = []
    for name, rounds_ in ladders.items():
        seen = [step for step in rounds_[0] if step.rss_bytes]
        curves.append(
            Curve(name, [float(step.size) for step in seen], [step.rss_bytes / 1e6 for step in seen])
        )
    return Plot("cameras_memory", "Memory against cameras", "cameras", "RSS of all processes, MB", curves)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--servers", default="camrelay,mediamtx,mediamtx-lazy", help="comma-separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--start", type=int, default=50, help="cameras to begin with")
    parser.add_argument("--most", type=int, default=500, help="cameras to end with")
    parser.add_argument("--live", type=float, default=30.0, help="seconds until all are live, at most")
    parser.add_argument("--seconds", type=float, default=6.0, help="measured at each size")
    parser.add_argument("--settle", type=float, default=3.0, help="seconds from the last camera to measuring")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of a camera, bits per second")
    parser.add_argument("--gop", type=float, default=2.0, help="of a camera, seconds")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("cameras", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
