"""The same WHEP viewers at the same relay, with and without its access record, in turns.

What else is at work on the machine comes and goes more slowly than the turns, and so is in both.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from statistics import median
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


#: A signal and what was on its way when it came.
_SWITCH_S = 0.3


class Switched(Camrelay):
    """camrelay whose record can be turned off."""

    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        command = super().configure(cameras)
        self.settings["access record"] = "on and off in turns"
        return [sys.executable, "-m", "benchmarks.record.switched", *command[command.index("serve") :]]

    async def switch(self, *, is_on: bool) -> None:
        """Turns the record on or off."""
        os.kill(self.pid, signal.SIGUSR2 if is_on else signal.SIGUSR1)
        await asyncio.sleep(_SWITCH_S)


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
    """One turn with and one without the record."""

    on: Step
    off: Step


async def compare(run: Run, feed: Feed) -> tuple[list[Round], Stopped]:
    """The record on and off in an order that changes with each round; then its store is stopped."""
    options, rounds = run.options, list[Round]()
    server = Switched(run.directory / "cost", run.cores.server)
    await server.start({"cam1": feed.url()})
    run.result.servers[server.name] = server.settings
    try:
        async with Crowd(sample_every=options.sample_every) as crowd:
            joined = await crowd.join(server.whep("cam1"), options.viewers, per_second=options.join_rate)
            await asyncio.sleep(options.settle)
            async with _visited(server, options.visits):
                for number in range(options.cost_rounds):
                    steps: dict[bool, Step] = {}
                    for is_on in (True, False)[:: 1 if number % 2 == 0 else -1]:
                        await server.switch(is_on=is_on)
                        steps[is_on] = await measure(
                            server,
                            crowd,
                            joined=joined,
                            refused=crowd.failures.total(),
                            seconds=options.seconds,
                            delay_limit_s=_NO_LIMIT_S,
                        )
                    both = Round(steps[True], steps[False])
                    run.say(
                        f"round {number + 1}: {both.on.busy:.1%} of a core with, {both.off.busy:.1%} without"
                    )
                    rounds.append(both)
            await server.switch(is_on=True)
            return rounds, await stop_store(server, crowd)
    finally:
        await server.stop()


@asynccontextmanager
async def _visited(server: Camrelay, per_second: float) -> AsyncIterator[None]:
    """While visitors come and are recorded."""
    visits = asyncio.create_task(_visit(server, per_second))
    try:
        yield
    finally:
        visits.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await visits


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


def noise(rounds: Sequence[Round]) -> float:
    """Percent by which what a core sends without the record differs from the middle of all rounds."""
    rates = [_per_core(each.off) for each in rounds]
    return 100 * (max(rates) - min(rates)) / 2 / median(rates)


def table(rounds: Sequence[Round]) -> Table:
    """Both, round by round."""
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
