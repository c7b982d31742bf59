"""What is left behind by cameras that connect and drop, thousands of times.

Cameras play first, then each is dropped with RST once its first key frame has passed, and comes back at once.
For some time they do so uncounted, until all that a relay keeps up to a limit is full; then threads,
descriptors and processes of the relay with its workers are counted, and again when all cycles are over and
every camera plays. Memory is read all the while, and a line is fitted through what came after the first
count.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from typing import ClassVar, NamedTuple

import aiohttp

from benchmarks.child import ChildFailed
from benchmarks.command import Run, execute
from benchmarks.faults.liar import Liar
from benchmarks.feed import Feed
from benchmarks.result import Curve, Plot
from benchmarks.sampling import Usage, usage
from benchmarks.servers.camrelay import Camrelay
from camrelay.simulate.options import Picture

OWED = {
    "cycles": "cycles",
    "cycles_threads_left": "threads",
    "cycles_descriptors_left": "descriptors",
    "cycles_processes_left": "processes",
    "cycles_mb_per_1000": "MB",
}

QUICK = ["--cameras", "2", "--cycles", "10", "--before", "1"]

#: From a drop to the camera's next key frame; beyond it the relay has given it up.
_PATIENCE_S = 30.0

#: Between two drops of a camera, if it is back by then: four times what that takes on an idle machine. Rings
#: and windows hold so many seconds, more cycles go into a second when there is more time, and cycles that
#: come faster than those before would look like growth.
_EVERY_S = 0.3

_PICTURE = Picture(width=320, height=180, bitrate_bps=200_000, gop_pictures=25)


class Impatient(Camrelay):
    """Tries again at once: what is measured is cycles, and not how long it waits."""

    ingest: ClassVar[Mapping[str, float]] = {
        "backoff_min_s": 0.02,
        "backoff_max_s": 0.05,
        "connect_concurrency": 64,
    }


class Reading(NamedTuple):
    """The relay's memory after so many cycles."""

    cycles: int
    memory_mb: float


class Cycles:
    """Counts the cycles of all cameras together, and reads memory on the way."""

    def __init__(self, run: Run, pid: int) -> None:
        self.count = 0
        self.readings: list[Reading] = []
        self._run = run
        self._pid = pid
        self._every = min(200, max(1, run.options.cycles // 100))

    def add(self) -> None:
        """One more."""
        self.count += 1
        if self.count % self._every == 0:
            self.readings.append(Reading(self.count, usage(self._pid).rss_bytes / 1e6))
        if self.count % 200 == 0:
            self._run.say(f"{self.count} cycles, {self.readings[-1].memory_mb:.1f} MB")


async def key_frame(liar: Liar, since: float) -> None:
    """Returns when a key frame has passed since then.

    Raises:
        ChildFailed: none does.
    """
    while liar.key_passed_at <= since:
        if time.monotonic() > since + _PATIENCE_S:
            raise ChildFailed(f"no picture {_PATIENCE_S:g} s after a camera was dropped")
        await asyncio.sleep(0.01)


async def shown(urls: Iterable[str]) -> None:
    """Returns when there is HLS of every camera.

    Raises:
        ChildFailed: there is none of one.
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE_S)) as http:
        for url in urls:
            try:
                async with http.get(url) as response:
                    response.raise_for_status()
            except (aiohttp.ClientError, TimeoutError):
                raise ChildFailed("a camera plays, and there is no HLS of it") from None


async def drop(liar: Liar, cycles: Cycles, until: int, not_before: float) -> None:
    """Drops one camera again and again until all cameras together have done so many, and until a moment."""
    while cycles.count < until or time.monotonic() < not_before:
        began = time.monotonic()
        liar.reset(refuse=False)
        await key_frame(liar, began)
        cycles.add()
        await asyncio.sleep(began + _EVERY_S - time.monotonic())


async def body(run: Run) -> None:
    """The cycles, then the count."""
    options = run.options
    async with contextlib.AsyncExitStack() as stack:
        feed = Feed(run.directory, run.cores.load, cameras=options.cameras, picture=_PICTURE)
        await stack.enter_async_context(feed)
        liars = [
            await stack.enter_async_context(Liar(feed.url(number)))
            for number in range(1, options.cameras + 1)
        ]
        server = Impatient(run.directory, run.cores.server)
        names = [f"cam{number}" for number in range(1, options.cameras + 1)]
        await server.start(dict(zip(names, (liar.url for liar in liars), strict=True)))
        stack.push_async_callback(server.stop)
        run.result.servers["camrelay"] = server.settings
        # A window keeps nothing before it has seen a few pictures in a row: it must not begin in the middle.
        await shown(map(server.hls, names))
        cycles = Cycles(run, server.pid)

        async def all_drop(count: int, seconds: float) -> Usage:
            until, not_before = cycles.count + count, time.monotonic() + seconds
            await asyncio.gather(*(drop(liar, cycles, until, not_before) for liar in liars))
            await server.until_live(names)
            return await settled(server.pid)

        before, counted_from = await all_drop(0, options.before), cycles.count
        after = await all_drop(options.cycles, 0)
        report(run, cycles, counted_from, before, after)


async def settled(pid: int) -> Usage:
    """What is in use once nothing closes any more: twice the same, a second apart."""
    counted = usage(pid)
    for _ in range(10):
        await asyncio.sleep(1.0)
        again = usage(pid)
        if (again.descriptors, again.threads) == (counted.descriptors, counted.threads):
            break
        counted = again
    return again


def report(run: Run, cycles: Cycles, counted_from: int, before: Usage, after: Usage) -> None:
    """Figures and plot, of what came after the first cycles."""
    result = run.result
    result.figure("cycles", cycles.count - counted_from, "cycles")
    result.figure("cycles_threads_left", after.threads - before.threads, "threads")
    result.figure("cycles_descriptors_left", after.descriptors - before.descriptors, "descriptors")
    result.figure("cycles_processes_left", after.processes - before.processes, "processes")
    readings = [each for each in cycles.readings if each.cycles > counted_from]
    slope = math.nan
    if len({each.cycles for each in readings}) > 1:
        slope = 1000 * statistics.linear_regression(*zip(*readings, strict=True)).slope
    result.figure("cycles_mb_per_1000", None if math.isnan(slope) else slope, "MB", "too few cycles")
    counts, memory = [float(each.cycles) for each in cycles.readings], [r.memory_mb for r in cycles.readings]
    curve = Curve("relay and workers", counts, memory)
    result.plots.append(Plot("cycles_memory", "Memory against cycles", "cycles", "RSS, MB", [curve]))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--cameras", type=int, default=24, help="that drop side by side")
    parser.add_argument("--cycles", type=int, default=4000, help="of all cameras together")
    # A ring holds 30 s. A window lists 12 s of media, which take longer to come when cameras drop, and keeps
    # them as long again. Twice all that is enough on a slow machine, too.
    parser.add_argument(
        "--before", type=float, default=90.0, help="seconds of cycles before anything is counted: all fills"
    )


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("cycles", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
