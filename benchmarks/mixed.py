"""What grows while cameras and viewers of both protocols are served for a long time.

Every camera is watched by LL-HLS and WHEP viewers, and one of them reboots every minute: its connections
are reset, it refuses new ones for a while, then it is back. Memory, descriptors and threads of the relay with
its workers, and the lag of its event loop, are read again and again; a line is fitted through each, and
its slope is the figure. What the rings and windows fill up to at the beginning is left out. A viewer is
lost when it was refused, when the relay ended it, or when it gets nothing any more after the last reboot.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from benchmarks import exposition
from benchmarks.command import Run, execute
from benchmarks.faults.liar import Liar
from benchmarks.feed import Feed
from benchmarks.llhls import crowd as hls
from benchmarks.result import Cell, Curve, Plot, Result, Table
from benchmarks.sampling import cpu_share, usage
from benchmarks.servers.camrelay import Camrelay
from benchmarks.whep import crowd as whep
from camrelay.simulate.options import Picture

OWED = {
    "mixed_memory_mb_per_hour": "MB/h",
    "mixed_descriptors_per_hour": "descriptors/h",
    "mixed_threads_per_hour": "threads/h",
    "mixed_loop_lag_p99_ms": "ms",
    "mixed_loop_lag_ms_per_hour": "ms/h",
    "mixed_viewers": "viewers",
    "mixed_viewers_lost": "viewers",
    "mixed_reboots": "reboots",
}

QUICK = ["--cameras", "2", "--viewers", "1", "--minutes", "0.06", "--settle", "0.5", "--interval", "0.4",
         "--reboot-every", "2", "--down", "0.3", "--join-rate", "20"]  # fmt: skip

#: After the last reboot every viewer has media again in this time, or is lost.
_PATIENCE_S = 10.0


class Watcher(Protocol):
    """What viewers of both protocols have in common."""

    @property
    def last_media_at(self) -> float: ...


class Reading(NamedTuple):
    """The relay with its workers at one moment; the lag is that since the reading before."""

    hours: float
    busy: float
    memory_mb: float
    descriptors: int
    threads: int
    lag_p99_ms: float


#: Quantity -> its values: what is fitted.
QUANTITIES: dict[str, Callable[[Reading], float]] = {
    "memory, MB": lambda reading: reading.memory_mb,
    "descriptors": lambda reading: reading.descriptors,
    "threads": lambda reading: reading.threads,
    "loop lag p99, ms": lambda reading: reading.lag_p99_ms,
}


class Toll(NamedTuple):
    """What the viewers went through."""

    viewers: int
    lost: int
    reboots: int


def slope(readings: Sequence[Reading], value: Callable[[Reading], float]) -> float | None:
    """Growth per hour by least squares, None when there are too few readings for a line."""
    points = [(reading.hours, value(reading)) for reading in readings if not math.isnan(value(reading))]
    return statistics.linear_regression(*zip(*points, strict=True)).slope if len(points) > 1 else None


class Reboots:
    """Reboots a camera again and again while it is entered; `count` of them so far."""

    def __init__(self, run: Run, liar: Liar) -> None:
        self._options = run.options
        self._liar = liar
        self.count = 0

    async def __aenter__(self) -> Reboots:
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._keep_rebooting())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Returns when the camera is up."""
        self._stopping.set()
        await self._task

    async def _keep_rebooting(self) -> None:
        while not await self._stops_within(self._options.reboot_every):
            self._liar.reset(refuse=True)
            self.count += 1
            await self._stops_within(self._options.down)
            await self._liar.listen()

    async def _stops_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True


async def read(run: Run, server: Camrelay, forget: Callable[[], None], readings: list[Reading]) -> None:
    """Adds readings at even intervals; `forget` empties what the load client collects meanwhile."""
    options = run.options
    await asyncio.sleep(options.settle)
    began = time.monotonic()
    page, before = await server.metrics(), usage(server.pid)
    while time.monotonic() - began < options.minutes * 60:
        await asyncio.sleep(options.interval)
        forget()
        page_after, after = await server.metrics(), usage(server.pid)
        lag = exposition.quantile(page, page_after, exposition.EVENT_LOOP_LAG, 0.99)
        reading = Reading(
            hours=(after.at - began) / 3600,
            busy=cpu_share(before, after),
            memory_mb=after.rss_bytes / 1e6,
            descriptors=after.descriptors,
            threads=after.threads,
            lag_p99_ms=math.nan if lag is None else lag * 1000,
        )
        run.say(
            f"{reading.memory_mb:.0f} MB, {reading.descriptors} descriptors, {reading.threads} threads, "
            f"loop lag p99 {reading.lag_p99_ms:.1f} ms, {reading.busy:.0%} of a core"
        )
        readings.append(reading)
        page, before = page_after, after


async def silent(watchers: Sequence[Watcher]) -> int:
    """How many get no more media from now on."""
    began = time.monotonic()
    while time.monotonic() < began + _PATIENCE_S:
        if all(watcher.last_media_at > began for watcher in watchers):
            return 0
        await asyncio.sleep(0.05)
    return sum(watcher.last_media_at <= began for watcher in watchers)


async def soak(run: Run, readings: list[Reading]) -> Toll:
    """Cameras, relay, viewers, reboots; adds readings."""
    options = run.options
    picture = Picture(bitrate_bps=options.bitrate)
    names = [f"cam{number}" for number in range(1, options.cameras + 1)]
    server = Camrelay(run.directory, run.cores.server)
    async with (
        Feed(run.directory, run.cores.load, cameras=options.cameras, picture=picture) as feed,
        Liar(feed.url(1)) as liar,
        hls.Crowd() as players,
        whep.Crowd() as peers,
    ):
        urls = {name: feed.url(number) for number, name in enumerate(names, 1)}
        await server.start(urls | {"cam1": liar.url})
        run.result.servers["camrelay"] = server.settings
        try:
            for name in names:
                rate = options.join_rate / 2
                await asyncio.gather(
                    players.join(server.hls(name), options.viewers, per_second=rate),
                    peers.join(server.whep(name), options.viewers, per_second=rate),
                )
            viewers = 2 * options.viewers * options.cameras
            run.say(f"{viewers} viewers of {options.cameras} cameras; refused {dict(peers.failures)}")

            def forget() -> None:
                players.forget_delays()
                for sample in peers.samples():
                    sample.delays_s.clear()

            async with Reboots(run, liar) as reboots:
                await read(run, server, forget, readings)
            lost = await silent([*players.viewers, *peers.viewers]) + peers.failures.total()
            if lost:
                run.say(f"lost {lost}: HLS {players.failures()}, WHEP refused {dict(peers.failures)}")
            return Toll(viewers, lost, reboots.count)
        finally:
            await server.stop()


async def body(run: Run) -> None:
    """One soak; what was read before a time limit is not lost."""
    readings: list[Reading] = []
    try:
        toll = await soak(run, readings)
    finally:
        summarize(run.result, readings)
    run.result.figure("mixed_viewers", toll.viewers, "viewers")
    run.result.figure("mixed_viewers_lost", toll.lost, "viewers")
    run.result.figure("mixed_reboots", toll.reboots, "reboots")


def summarize(result: Result, readings: Sequence[Reading]) -> None:
    """Slopes, table and plot."""
    slopes = {name: slope(readings, value) for name, value in QUANTITIES.items()}
    for figure, name in (
        ("mixed_memory_mb_per_hour", "memory, MB"),
        ("mixed_descriptors_per_hour", "descriptors"),
        ("mixed_threads_per_hour", "threads"),
        ("mixed_loop_lag_ms_per_hour", "loop lag p99, ms"),
    ):
        result.figure(figure, slopes[name], OWED[figure], "too few readings")
    lags = [each.lag_p99_ms for each in readings if not math.isnan(each.lag_p99_ms)]
    result.figure("mixed_loop_lag_p99_ms", max(lags, default=None), "ms", "no lag metric")
    rows: list[list[Cell]] = []
    for name, value in QUANTITIES.items():
        values = [value(each) for each in readings if not math.isnan(value(each))]
        if values:
            rows.append([name, values[0], values[-1], min(values), max(values), slopes[name]])
    columns = ["", "first", "last", "lowest", "highest", "slope per hour"]
    result.tables.append(Table("The relay and its workers over time", columns, rows))
    minutes = [each.hours * 60 for each in readings]
    memory = Curve("camrelay", minutes, [each.memory_mb for each in readings])
    result.plots.append(
        Plot("mixed_memory", "Memory over time", "minutes", "RSS of all processes, MB", [memory])
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--viewers", type=int, default=10, help="of each protocol, of each camera")
    parser.add_argument("--minutes", type=float, default=30.0, help="read, after everybody has settled")
    parser.add_argument("--settle", type=float, default=60.0, help="seconds until memory has filled up")
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between readings")
    parser.add_argument("--reboot-every", type=float, default=60.0, help="seconds a camera is up")
    parser.add_argument("--down", type=float, default=5.0, help="seconds a camera refuses connections")
    parser.add_argument("--join-rate", type=float, default=20.0, help="viewers that join per second")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of a camera, bits per second")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("mixed", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
