"""How long many cameras need to come back at once, as after a power cut (camera fault F18).

All cameras vanish together, are gone for a while, and are there again in the same moment. Measured from then:
until every camera delivers pictures, and how late the relay's event loop ran meanwhile. Nobody watches.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import NamedTuple

from benchmarks import exposition
from benchmarks.child import ChildFailed
from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.percentile import spread
from benchmarks.result import Cell, Table
from benchmarks.sampling import core_s, cpu_share, usage
from benchmarks.servers.camrelay import Camrelay
from camrelay.simulate.options import Picture

OWED = {"mass_return_s": "s", "mass_return_lag_ms": "ms"}

QUICK = ["--cameras", "4", "--runs", "1", "--outage", "1"]

#: Between two looks at the relay's metrics, which are work for it; the figure is that much too long at most.
_LOOK_S = 0.25
#: Beyond it the cameras are said not to come back.
_PATIENCE_S = 60.0


class Return(NamedTuple):
    """One return: seconds until half of the cameras and all of them are live; the loop's lag meanwhile.

    `busy` is the relay's share of its core, `others` what others took of it: noise.
    """

    half_s: float
    all_s: float
    lag_p99_ms: float
    busy: float
    others: float


async def once(run: Run, feed: Feed, server: Camrelay) -> Return:
    """Takes the cameras away and lets them come back."""
    before = await server.metrics()
    await feed.stop()
    await until_up(server, 0)
    await asyncio.sleep(run.options.outage)
    await feed.start()
    began = time.monotonic()
    used, core = usage(server.pid), core_s(server.core)
    half_s = await until_up(server, run.options.cameras // 2) - began
    all_s = await until_up(server, run.options.cameras) - began
    after, used_after, core_after = await server.metrics(), usage(server.pid), core_s(server.core)
    lag = exposition.quantile(before, after, exposition.EVENT_LOOP_LAG, 0.99)
    run.say(f"half live after {half_s:.1f} s, all after {all_s:.1f} s")
    busy = cpu_share(used, used_after)
    others = max(0.0, (core_after - core) / (used_after.at - used.at) - busy)
    return Return(half_s, all_s, (lag or 0.0) * 1000, busy, others)


async def until_up(server: Camrelay, wanted: int) -> float:
    """When so many cameras deliver pictures: at least so many, or none of them for 0.

    Raises:
        ChildFailed: they do not.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        page = await server.metrics()
        up = exposition.total(page, "camrelay_camera_up")
        if page and (up >= wanted if wanted else not up):
            return time.monotonic()
        if time.monotonic() > deadline:
            raise ChildFailed(f"{up:g} cameras are live after {_PATIENCE_S:g} s, and {wanted} should be")
        await asyncio.sleep(_LOOK_S)


async def body(run: Run) -> None:
    """Every run, then the figures."""
    options = run.options
    picture = Picture(width=640, height=360, bitrate_bps=options.bitrate, gop_pictures=25)
    returns: list[Return] = []
    async with Feed(run.directory, run.cores.load, cameras=options.cameras, picture=picture) as feed:
        server = Camrelay(run.directory, run.cores.server)
        await server.start({f"cam{number}": feed.url(number) for number in range(1, options.cameras + 1)})
        run.result.servers["camrelay"] = server.settings
        try:
            for _ in range(options.runs):
                returns.append(await once(run, feed, server))
                run.result.figure("mass_return_s", spread([each.all_s for each in returns]), "s")
                lag = spread([each.lag_p99_ms for each in returns])
                run.result.figure("mass_return_lag_ms", lag, "ms")
        finally:
            await server.stop()
    rows: list[list[Cell]] = [
        [number, each.half_s, each.all_s, each.lag_p99_ms, each.busy * 100, each.others * 100]
        for number, each in enumerate(returns, 1)
    ]
    columns = ["run", "half live, s", "all live, s", "loop lag p99, ms", "core %", "others %"]
    title = f"{options.cameras} cameras return after {options.outage:g} s"
    run.result.tables = [Table(title, columns, rows)]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--cameras", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--outage", type=float, default=10.0, help="seconds that no camera is there")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of a camera, bits per second")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("mass_return", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
