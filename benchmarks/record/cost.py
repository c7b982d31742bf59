"""The same WHEP viewers at a relay with and at one without the access record."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp

from benchmarks.command import Run
from benchmarks.feed import Feed
from benchmarks.percentile import Spread, spread
from benchmarks.result import Cell, Table
from benchmarks.servers.camrelay import Camrelay
from benchmarks.whep.crowd import Crowd
from benchmarks.whep.step import Step, measure
from camrelay.audit.people_store import DATABASE

#: A delay that a stopped record has nothing to do with.
_NO_LIMIT_S = 10.0

#: Seconds for which the store stays stopped, longer than a refusal may take.
_STOPPED_S = 4.0
_ASK_EVERY_S = 0.05


class Unrecorded(Camrelay):
    """camrelay without its record."""

    name = "camrelay-unrecorded"

    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        command = super().configure(cameras)
        self.settings["access record"] = "off"
        return [sys.executable, "-m", "benchmarks.record.unrecorded", *command[command.index("serve") :]]


class Stopped(NamedTuple):
    """A store that was stopped under load.

    `answers` are those to new viewings, by status, each of the refusals after so long; `lost` are packets of
    running ones.
    """

    refused_after_s: list[float]
    answers: Counter[int]
    lost: int
    packets: int


class Round(NamedTuple):
    """With and without the record."""

    on: Step
    off: Step


async def compare(run: Run, feed: Feed, number: int) -> tuple[Round, Stopped | None]:
    """Both relays, in an order that changes with the round; in the first round the store is stopped, too."""
    steps: dict[str, Step] = {}
    stopped = None
    kinds: Sequence[type[Camrelay]] = (Camrelay, Unrecorded)
    for kind in kinds[:: 1 if number % 2 == 0 else -1]:
        server = kind(run.directory / f"round{number}", run.cores.server)
        async with _watched(run, server, feed) as (crowd, step):
            steps[kind.name] = step
            if kind is Camrelay and number == 0:
                stopped = await stop_store(server, crowd)
    on, off = steps[Camrelay.name], steps[Unrecorded.name]
    run.say(f"round {number + 1}: {on.busy:.1%} of a core with the record, {off.busy:.1%} without")
    return Round(on, off), stopped


@asynccontextmanager
async def _watched(run: Run, server: Camrelay, feed: Feed) -> AsyncIterator[tuple[Crowd, Step]]:
    """A relay with its viewers, measured while visitors come and are recorded."""
    options = run.options
    await server.start({"cam1": feed.url()})
    run.result.servers[server.name] = server.settings
    try:
        async with Crowd(sample_every=options.sample_every) as crowd:
            joined = await crowd.join(server.whep("cam1"), options.viewers, per_second=options.join_rate)
            await asyncio.sleep(options.settle)
            visits = asyncio.create_task(_visit(server, options.visits))
            try:
                step = await measure(
                    server,
                    crowd,
                    joined=joined,
                    refused=crowd.failures.total(),
                    seconds=options.seconds,
                    delay_limit_s=_NO_LIMIT_S,
                )
            finally:
                visits.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await visits
            yield crowd, step
    finally:
        await server.stop()


async def _visit(server: Camrelay, per_second: float) -> None:
    """Lets HLS viewings begin, each of them a record, without watching."""
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.get(server.hls("cam1")) as response:
                await response.read()
            await asyncio.sleep(1 / per_second)


async def stop_store(server: Camrelay, crowd: Crowd) -> Stopped:
    """Locks the database of people as a backup that hangs would, and asks for new viewings meanwhile."""
    before = crowd.totals()
    stopped = Stopped([], Counter(), 0, 0)
    holder = sqlite3.connect(server.store / DATABASE, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        ends_at = time.monotonic() + _STOPPED_S
        async with aiohttp.ClientSession() as http:
            while time.monotonic() < ends_at:
                asked = time.monotonic()
                async with http.get(server.hls("cam1")) as response:
                    await response.read()
                stopped.answers[response.status] += 1
                if response.status >= 400:
                    stopped.refused_after_s.append(time.monotonic() - asked)
                await asyncio.sleep(_ASK_EVERY_S)
    finally:
        holder.close()
    after = crowd.totals()
    lost = after.missing - before.missing - (after.dropped - before.dropped)
    return stopped._replace(lost=lost, packets=after.packets - before.packets)


def deltas(rounds: Sequence[Round]) -> tuple[Spread, Spread]:
    """Percent that the record takes of what a core sends, and adds to p99 of the delay."""
    throughput = [100 * (1 - _per_core(each.on) / _per_core(each.off)) for each in rounds]
    p99 = [100 * (each.on.delay_p99_s / each.off.delay_p99_s - 1) for each in rounds]
    return spread(throughput), spread(p99)


def table(rounds: Sequence[Round]) -> Table:
    """Both relays, round by round."""
    rows: list[list[Cell]] = []
    for number, both in enumerate(rounds, 1):
        for label, step in (("with", both.on), ("without", both.off)):
            rows.append(
                [
                    number,
                    label,
                    step.size,
                    round(step.packets_per_s),
                    round(step.busy * 100, 1),
                    round(step.delay_p50_s * 1000, 2),
                    round(step.delay_p99_s * 1000, 2),
                    step.lost,
                ]
            )
    columns = ["round", "record", "viewers", "packets/s", "core busy, %", "p50 ms", "p99 ms", "packets lost"]
    return Table("The same viewers with and without the access record", columns, rows)


def _per_core(step: Step) -> float:
    """Packets a second that the server's whole core would send."""
    return step.packets_per_s / step.busy
