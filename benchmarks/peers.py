"""The same load against every server that is here: what a viewer costs, and what it gets.

One size, no limits: WHEP viewers, then LL-HLS viewers of the same camera, against each server in
alternating order. Core and memory are of the server with all its processes. Servers that are not on
PATH are named and left out; what each was told is kept with the result.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.ladder import rounds
from benchmarks.llhls import step as hls_step
from benchmarks.llhls.crowd import Crowd as HlsCrowd
from benchmarks.percentile import Spread, spread
from benchmarks.result import Cell, Table
from benchmarks.servers.registry import SERVERS, installed
from benchmarks.whep import step as whep_step
from benchmarks.whep.crowd import Crowd as WhepCrowd
from camrelay.simulate.options import Picture

WHEP_SERVERS = ("camrelay", "mediamtx", "go2rtc", "janus", "aiortc")
HLS_SERVERS = ("camrelay", "mediamtx")

OWED = {
    **{f"p1_core_percent_{name}": "percent" for name in WHEP_SERVERS},
    **{f"p6_delay_p99_ms_{name}": "ms" for name in WHEP_SERVERS},
    **{f"p2_core_percent_{name}": "percent" for name in HLS_SERVERS},
    **{f"p2_part_delay_p99_ms_{name}": "ms" for name in HLS_SERVERS},
}

QUICK = ["--servers", "camrelay,aiortc", "--rounds", "1", "--viewers", "3", "--seconds", "1",
         "--settle", "0.5"]  # fmt: skip

S = TypeVar("S")

#: Delays are compared, not judged.
_NO_LIMIT_S = math.inf


async def watch_whep(run: Run, name: str, feed: Feed) -> list[whep_step.Step]:
    """One server under WHEP viewers."""
    options = run.options
    server = SERVERS[name](run.directory, run.cores.server)
    await server.start({"cam1": feed.url()})
    run.result.servers[name] = server.settings
    try:
        address, every = server.viewer_address, max(1, options.viewers // 20)
        async with WhepCrowd(sample_every=every, address=address) as crowd:
            joined = await crowd.join(server.whep("cam1"), options.viewers, per_second=options.join_rate)
            await asyncio.sleep(options.settle)
            refused = crowd.failures.total()
            step = await whep_step.measure(
                server,
                crowd,
                joined=joined,
                refused=refused,
                seconds=options.seconds,
                delay_limit_s=_NO_LIMIT_S,
            )
    finally:
        await server.stop()
    run.say(f"{name}: {step.size} WHEP viewers at {step.busy:.1%} of a core")
    return [step]


async def watch_hls(run: Run, name: str, feed: Feed) -> list[hls_step.Step]:
    """One server under LL-HLS viewers."""
    options = run.options
    server = SERVERS[name](run.directory, run.cores.server)
    await server.start({"cam1": feed.url()})
    run.result.servers[name] = server.settings
    try:
        async with HlsCrowd() as crowd:
            joined = await crowd.join(server.hls("cam1"), options.viewers, per_second=options.join_rate)
            await asyncio.sleep(options.settle)
            step = await hls_step.measure(
                server, crowd, joined=joined, seconds=options.seconds, delay_limit_s=_NO_LIMIT_S
            )
    finally:
        await server.stop()
    run.say(f"{name}: {step.size} HLS viewers at {step.busy:.1%} of a core")
    return [step]


async def body(run: Run) -> None:
    """WHEP, then HLS."""
    options = run.options
    names = installed(run, options.servers.split(","))
    whep: dict[str, list[Sequence[whep_step.Step]]] = {}
    hls: dict[str, list[Sequence[hls_step.Step]]] = {}
    picture = Picture(bitrate_bps=options.bitrate, gop_pictures=round(options.gop * 25))
    try:
        async with Feed(run.directory, run.cores.load, picture=picture) as feed:
            watchers = {n: functools.partial(watch_whep, run, n, feed) for n in names if n in WHEP_SERVERS}
            await rounds(run, watchers, options.rounds, whep)
            followers = {n: functools.partial(watch_hls, run, n, feed) for n in names if n in HLS_SERVERS}
            await rounds(run, followers, options.rounds, hls)
    finally:
        report_whep(run, {name: [steps[0] for steps in rounds_] for name, rounds_ in whep.items()})
        report_hls(run, {name: [steps[0] for steps in rounds_] for name, rounds_ in hls.items()})


def report_whep(run: Run, steps: dict[str, list[whep_step.Step]]) -> None:
    """One row per server."""
    rows: list[list[Cell]] = []
    for name, measured in steps.items():
        of = functools.partial(_over, measured)
        busy, worst = of(lambda s: s.busy * 100), of(lambda s: s.delay_p99_s * 1000)
        run.result.figure(f"p1_core_percent_{name}", busy, "percent")
        run.result.figure(f"p6_delay_p99_ms_{name}", worst, "ms", "no clock in the stream")
        lost, refused = sum(s.lost for s in measured), sum(s.refused for s in measured)
        rows.append(
            [name, measured[0].size, *map(_cell, (busy, of(lambda s: s.delay_p50_s * 1000), worst)),
             *map(_cell, (of(lambda s: s.start_p50_s * 1000), of(lambda s: s.start_p99_s * 1000))),
             _cell(of(lambda s: s.rss_bytes / 1e6)), lost, refused]
        )  # fmt: skip
    columns = ["server", "viewers", "core %", "delay p50 ms", "p99 ms", "start p50 ms", "p99 ms", "RSS MB",
               "lost", "refused"]  # fmt: skip
    run.result.tables.append(Table("WHEP viewers, medians of the rounds", columns, rows))


def report_hls(run: Run, steps: dict[str, list[hls_step.Step]]) -> None:
    """One row per server."""
    rows: list[list[Cell]] = []
    for name, measured in steps.items():
        of = functools.partial(_over, measured)
        busy, worst = of(lambda s: s.busy * 100), of(lambda s: s.delay_p99_s * 1000)
        run.result.figure(f"p2_core_percent_{name}", busy, "percent")
        run.result.figure(f"p2_part_delay_p99_ms_{name}", worst, "ms", "no clock in the stream")
        stalls, failed = sum(s.stalls for s in measured), sum(s.failed for s in measured)
        rows.append(
            [name, measured[0].size, *map(_cell, (busy, of(lambda s: s.delay_p50_s * 1000), worst)),
             *map(_cell, (of(lambda s: s.behind_p50_s * 1000), of(lambda s: s.start_p50_s * 1000))),
             _cell(of(lambda s: s.rss_bytes / 1e6)), stalls, failed]
        )  # fmt: skip
    columns = ["server", "viewers", "core %", "delay p50 ms", "p99 ms", "behind p50 ms", "start p50 ms",
               "RSS MB", "stalls", "failed"]  # fmt: skip
    run.result.tables.append(Table("LL-HLS viewers, medians of the rounds", columns, rows))


def _over(measured: Sequence[S], value: Callable[[S], float]) -> Spread | None:
    """A value over the rounds, None when no round has it."""
    found = [value(step) for step in measured if not math.isnan(value(step))]
    return spread(found) if found else None


def _cell(found: Spread | None) -> float | None:
    return found.median if found else None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--servers", default=",".join(WHEP_SERVERS), help="comma-separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--viewers", type=int, default=60, help="of each protocol")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured")
    parser.add_argument("--settle", type=float, default=4.0, help="seconds from the last join to measuring")
    parser.add_argument("--join-rate", type=float, default=20.0, help="viewers that join per second")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of the camera, bits per second")
    parser.add_argument("--gop", type=float, default=2.0, help="of the camera, seconds")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("peers", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
