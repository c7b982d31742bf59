"""The same WHEP viewers at the same relay, with and without its access record, in turns.

What else is at work on the machine comes and goes more slowly than turns of a second, and so is in both: a
round adds many of them up. Two turns beside each other, during which a program that does nothing was late, on
either core, say nothing of the relay and are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import aiohttp

from benchmarks.command import Run
from benchmarks.feed import Feed
from benchmarks.lateness import Idle, worst_s
from benchmarks.percentile import Spread, percentile, spread
from benchmarks.record import SPENT
from benchmarks.result import Cell, Table
from benchmarks.sampling import cpu_clock_s
from benchmarks.servers.camrelay import Camrelay
from benchmarks.whep.crowd import Crowd
from camrelay.audit.people_store import DATABASE

#: Seconds for which the store stays stopped, longer than a refusal may take.
_STOPPED_S = 4.0
_ASK_EVERY_S = 0.05


#: So late nobody is whom the relay leaves the rest of the core.
_DISTURBED_S = 0.03

#: A signal and what was on its way when it came.
_SWITCH_S = 0.1


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

    async def spent(self) -> Spent:
        """What the record has taken so far, in its thread and on the event loop; turns it off."""
        await self.switch(is_on=False)
        cpu_s, events = (self.directory / SPENT).read_text().split()
        return Spent(float(cpu_s), int(events))


class Spent(NamedTuple):
    """CPU, and the events it was for."""

    cpu_s: float
    events: int


class Stopped(NamedTuple):
    """A store that was stopped under load.

    `answers` are those to new viewings, by status, each of the refusals after so long; `lost` are packets of
    running ones.
    """

    refused_after_s: list[float]
    answers: Counter[int]
    lost: int
    packets: int


@dataclass
class Side:
    """What was seen with, or without, the record in one turn or in several."""

    turns: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    packets: int = 0
    lost: int = 0
    #: From the camera's sending to the kernel's stamp at the socket of each viewer that is decrypted.
    delays_s: list[float] = field(default_factory=list)

    def add(self, turn: Side) -> None:
        """One turn more, or several."""
        self.turns += turn.turns
        self.seconds += turn.seconds
        self.cpu_s += turn.cpu_s
        self.packets += turn.packets
        self.lost += turn.lost
        self.delays_s += turn.delays_s

    @property
    def per_core(self) -> float:
        """Packets a second that the server's whole core would send."""
        return self.packets / self.cpu_s if self.cpu_s else math.nan

    @property
    def p99_s(self) -> float:
        """The delay's."""
        return percentile(self.delays_s, 99)


class Round(NamedTuple):
    """Turns with and turns without the record, those that the machine left alone.

    `spent` is what the record took itself in all turns, of the `cpu_s` that the relay had with it.
    """

    on: Side
    off: Side
    spent: Spent
    cpu_s: float


async def compare(run: Run, feed: Feed) -> tuple[list[Round], Stopped]:
    """Rounds of short turns, on and off in an order that alternates; then the record's store is stopped."""
    options, rounds = run.options, list[Round]()
    server = Switched(run.directory / "cost", run.cores.server)
    await server.start({"cam1": feed.url()})
    run.result.servers[server.name] = server.settings
    try:
        async with (
            Idle(run.cores.server, run.directory / "idle-server.log") as beside_relay,
            Idle(run.cores.load, run.directory / "idle-load.log") as beside_viewers,
            Crowd(sample_every=options.sample_every) as crowd,
        ):
            idle = beside_relay, beside_viewers
            await crowd.join(server.whep("cam1"), options.viewers, per_second=options.join_rate)
            await asyncio.sleep(options.settle)
            gc.collect()
            gc.freeze()  # Hundreds of viewers would be walked again and again.
            async with _visited(server, options.visits):
                for number in range(options.cost_rounds):
                    found = await _round(run, server, crowd, idle)
                    on, off = found.on, found.off
                    told = f"{on.per_core:,.0f} packets/s of a core with, {off.per_core:,.0f} without"
                    run.say(f"round {number + 1}: {told if on.turns else 'disturbed all the time'}")
                    rounds.append(found)
            await server.switch(is_on=True)
            return rounds, await stop_store(server, crowd)
    finally:
        await server.stop()


async def _round(run: Run, server: Switched, crowd: Crowd, idle: Sequence[Idle]) -> Round:
    options, cpu_s = run.options, 0.0
    kept = {True: Side(), False: Side()}
    before = await server.spent()
    for number in range(options.turns):
        began, turns = time.monotonic(), dict[bool, Side]()
        for is_on in (True, False)[:: 1 if number % 2 == 0 else -1]:
            await server.switch(is_on=is_on)
            turns[is_on] = await _watch(server, crowd, options.seconds)
        cpu_s += turns[True].cpu_s
        if worst_s(span for each in idle for span in each.spans if span.last > began) <= _DISTURBED_S:
            for is_on, turn in turns.items():
                kept[is_on].add(turn)
    after = await server.spent()
    spent = Spent(after.cpu_s - before.cpu_s, after.events - before.events)
    return Round(kept[True], kept[False], spent, cpu_s)


async def _watch(server: Camrelay, crowd: Crowd, seconds: float) -> Side:
    """One turn."""
    for sample in crowd.samples():
        sample.delays_s.clear()
    before, cpu_before = crowd.totals(), cpu_clock_s(server.pid)
    await asyncio.sleep(seconds)
    after, cpu_after = crowd.totals(), cpu_clock_s(server.pid)
    return Side(
        turns=1,
        seconds=after.at - before.at,
        cpu_s=cpu_after - cpu_before,
        packets=after.packets - before.packets,
        lost=after.missing - before.missing - (after.dropped - before.dropped),
        delays_s=[delay_s for sample in crowd.samples() for delay_s in sample.delays_s],
    )


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


def undisturbed(rounds: Sequence[Round]) -> list[Round]:
    """Those of which something was kept."""
    return [each for each in rounds if each.on.turns]


def deltas(rounds: Sequence[Round]) -> tuple[Spread, Spread]:
    """Percent that the record takes of what a core sends, and adds to p99 of the delay."""
    throughput = [100 * (1 - each.on.per_core / each.off.per_core) for each in rounds]
    p99 = [100 * (each.on.p99_s / each.off.p99_s - 1) for each in rounds]
    return spread(throughput), spread(p99)


def own_share(rounds: Sequence[Round]) -> Spread:
    """Percent of the relay's CPU that goes into the record itself, while it is on.

    What it keeps others waiting, and the caches it takes from them, are not in it.
    """
    return spread([100 * each.spent.cpu_s / each.cpu_s for each in rounds])


def us_per_event(rounds: Sequence[Round]) -> float | None:
    """What one event takes of a core, itself; None when there was none."""
    events = sum(each.spent.events for each in rounds)
    return 1e6 * sum(each.spent.cpu_s for each in rounds) / events if events else None


def delivered_delta(rounds: Sequence[Round]) -> float:
    """Percent of packets a second that viewers get less with the record than without."""
    return 100 * (1 - _rate([each.on for each in rounds]) / _rate([each.off for each in rounds]))


def _rate(sides: Sequence[Side]) -> float:
    return sum(side.packets for side in sides) / sum(side.seconds for side in sides)


def noise(of: Spread, rounds: int) -> float:
    """Half the range of the rounds over the root of their number: what their median may be wrong by."""
    return (of.high - of.low) / 2 / math.sqrt(rounds)


def table(rounds: Sequence[Round]) -> Table:
    """Both, round by round."""
    rows: list[list[Cell]] = []
    for number, both in enumerate(rounds, 1):
        for label, side in (("with", both.on), ("without", both.off)):
            rows.append(
                [
                    number,
                    label,
                    side.turns,
                    round(side.packets / side.seconds),
                    round(side.cpu_s / side.seconds * 100, 1),
                    round(side.per_core),
                    round(percentile(side.delays_s, 50) * 1000, 2),
                    round(side.p99_s * 1000, 2),
                    side.lost,
                ]
            )
    columns = [
        "round", "record", "turns kept", "packets/s", "core busy, %", "packets/s of a core", "p50 ms",
        "p99 ms", "packets lost",
    ]  # fmt: skip
    return Table("The same viewers with and without the access record", columns, rows)
