"""What camera faults cost viewers: fault by protocol, with fifteen cameras beside that nothing happens to.

Every fault has a camera of its own, watched by LL-HLS, HLS and WHEP viewers. A run has a few acts; in each,
several faults strike at once in one relay: half of the usual ones, the other half, those that take a whole
worker along, and the return of 64 cameras. A viewer is lost when the server ended it or when it gets nothing
any more. The time to resume runs from the first key frame that the camera sends after the fault to the first
media at the slowest viewer. Fifteen bystanders, read by another worker, are watched by LL-HLS; their worst
part tells what the faults cost others: as it was seen, and less the time in which the viewers were late
themselves or a program that does nothing was on the relay's core. Where either was late by more than a
quarter of a part, the machine was elsewhere and the act says nothing of the relay: the worst part of the
other acts is told as well, and how many there were of each. Faults strike when every viewer plays, however
long a busy machine takes to seat them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks.command import Run, execute
from benchmarks.faults import lies, outages
from benchmarks.faults.audience import PROTOCOLS, Cell, Seen, calm, gather, observe, worst_parts_s
from benchmarks.faults.fault import PLAIN, Fault, Scene
from benchmarks.faults.liar import Liar
from benchmarks.faults.load import Load
from benchmarks.faults.relay import Relay
from benchmarks.feed import Feed
from benchmarks.lateness import Idle, OwnLoop, worst_s
from benchmarks.llhls import crowd as hls
from benchmarks.result import Cell as Value
from benchmarks.result import Table
from benchmarks.whep import crowd as whep
from camrelay.simulate.options import Picture, Sound

OWED = {
    "faults_viewers_lost": "viewers",
    "faults_worst_resume_s": "s",
    "faults_worst_resume_whep_s": "s",
    "faults_worst_resume_llhls_s": "s",
    "faults_bystander_delay_s": "s",
    "faults_bystander_relay_delay_s": "s",
    "faults_bystander_undisturbed_s": "s",
    "faults_relay_late_s": "s",
    "faults_viewers_late_s": "s",
    "faults_idle_late_s": "s",
}

QUICK = ["--faults", "F15,F6a", "--bystanders", "2", "--viewers", "1", "--runs", "1"]

FAULTS: tuple[type[Fault], ...] = (
    outages.Reboot, outages.HalfOpen, outages.MediaSilence, outages.WorkerHangs, outages.WorkerDies,
    lies.TimestampsAhead, lies.TimestampsBack, lies.TimestampsWrap, lies.Resolution, lies.SilentSdp,
    lies.SdpOnly, lies.LongGop, lies.Loss, outages.PasswordRefused, outages.NewAddress, lies.WrongClock,
    lies.BFrames, lies.Corruption, outages.OneSession, outages.SlowSetup, outages.MassReturn,
    outages.DeviceHangs, lies.SoundGoes, lies.SoundComes,
)  # fmt: skip

#: Faults in one act: more would have the viewers' process measure itself.
_TOGETHER = 11

#: A quarter of a part: the others' pace is not the relay's doing.
_DISTURBED_S = 0.05

#: Cameras of one worker; the first of them are read by the first.
_PER_WORKER = Relay.cameras_per_worker

#: Simulated cameras by what they send: one process for each kind, for all acts.
Feeds = Mapping[tuple[Picture, Sound], Feed]


class Beside(NamedTuple):
    """What an act cost others, all of it seconds at worst.

    Attributes:
        delay: of a bystander's part.
        relay_delay: less what it lost because the machine or the viewers' process was late.
        relay_late: how late the relay's event loop was (p99.9), None when nobody knows.
        viewers_late: the same of the viewers' process.
        idle_late: the same of a program that does nothing on the relay's core.
    """

    delay: float
    relay_delay: float
    relay_late: float | None
    viewers_late: float
    idle_late: float

    @property
    def is_undisturbed(self) -> bool:
        """Whether the machine left the act alone."""
        return max(self.viewers_late, self.idle_late) <= _DISTURBED_S


def acts(faults: Sequence[Fault]) -> list[Sequence[Fault]]:
    """What strikes together: nothing that takes other cameras along strikes beside what does not."""
    usual = [fault for fault in faults if not fault.fills_worker and not fault.company]
    count = -(-len(usual) // _TOGETHER)
    found: list[Sequence[Fault]] = [usual[start::count] for start in range(count)]
    found.append([fault for fault in faults if fault.fills_worker])
    found += [[fault] for fault in faults if fault.company]
    return [act for act in found if act]


async def act(run: Run, faults: Sequence[Fault], feeds: Feeds) -> tuple[list[Cell], Beside]:
    """Some faults in one relay: the cells, and what they cost others."""
    async with contextlib.AsyncExitStack() as stack:
        server = Relay(run.directory, run.cores.server)
        plain = map(feeds[PLAIN, "none"].url, itertools.count(1))
        cameras: dict[str, str] = {}
        companies: list[Feed | None] = []
        liars: list[Liar] = []
        for fault in faults:
            name = fault.number.lower()
            liar = await stack.enter_async_context(Liar(feeds[fault.picture, fault.sound].url()))
            fault.begin(liar)
            if fault.host:
                server.introduce(fault.host, liar.address)
            server.fields[name] = fault.options
            cameras[name] = liar.url_at(fault.host or liar.address)
            liars.append(liar)
            company = None
            if fault.company:
                feed = Feed(run.directory, run.cores.load, cameras=fault.company, picture=PLAIN)
                company = await stack.enter_async_context(feed)
                cameras |= {f"{name}-{i}": company.url(i) for i in range(1, fault.company + 1)}
            elif fault.fills_worker:
                cameras |= {f"{name}-{i}": next(plain) for i in range(1, _PER_WORKER)}
            companies.append(company)
        beside = {f"beside{i}": next(plain) for i in range(run.options.bystanders)}
        await server.start(cameras | beside)
        stack.push_async_callback(server.stop)
        run.result.servers["camrelay"] = server.settings

        bystanders = {name: await stack.enter_async_context(hls.Crowd()) for name in beside}
        await asyncio.gather(
            *(crowd.join(server.hls(name), 1, per_second=20) for name, crowd in bystanders.items())
        )
        # One for all cameras, and nothing is decoded: it looks at its sockets a thousand times a second.
        peers = await stack.enter_async_context(whep.Crowd(sample_every=0))
        seen = await asyncio.gather(*(gather(run, server, fault, peers, stack) for fault in faults))
        idle = await stack.enter_async_context(Idle(run.cores.server, run.directory / "idle.log"))
        await calm(run, bystanders.values())
        own = stack.enter_context(OwnLoop())
        began = time.monotonic()
        load = Load(run, server, await server.metrics())
        run.say(f"{', '.join(fault.number for fault in faults)}: now")
        workers = server.workers()
        scenes = [
            Scene(
                other=feeds[fault.other_picture, "none"].url() if fault.other_picture else "",
                worker=workers[number],
                company=company,
                hosts=server.hosts,
                probe=server.probe,
            )
            for number, fault, company in zip(worker_numbers(faults), faults, companies, strict=True)
        ]
        found = await asyncio.gather(
            *(strike(run, *each) for each in zip(faults, liars, scenes, seen, strict=True))
        )
        page = await server.metrics()
        idle_spans = [span for span in idle.spans if span.last > began]
        delay_s, relay_delay_s = worst_parts_s(bystanders.values(), [*own.spans, *idle_spans])
        cost = Beside(
            delay_s, relay_delay_s, load.relay_late_s(page), worst_s(own.spans), worst_s(idle_spans)
        )
        told = "did not say" if cost.relay_late is None else f"{cost.relay_late:.2f} s (p99.9)"
        run.say(load.report())
        run.say(
            f"worst part of a bystander {cost.delay:.2f} s, {cost.relay_delay:.2f} s without what follows: "
            f"the viewers' process was {cost.viewers_late:.2f} s late, a program that does nothing "
            f"{cost.idle_late:.2f} s; the relay {told}"
        )
        return [cell for cells in found for cell in cells], cost


def worker_numbers(faults: Sequence[Fault]) -> Iterator[int]:
    """Which worker reads each fault's camera: one that fills its worker is the first of it."""
    before = 0
    for fault in faults:
        yield before // _PER_WORKER
        before += _PER_WORKER if fault.fills_worker else 1 + fault.company


async def strike(run: Run, fault: Fault, liar: Liar, scene: Scene, seen: Seen) -> list[Cell]:
    """One fault and what its viewers see of it."""
    key_at = await fault.strike(liar, scene)
    return list(
        await asyncio.gather(*(observe(run, fault, protocol, seen[protocol], key_at) for protocol in seen))
    )


async def body(run: Run) -> None:
    """Every run, then the table."""
    wanted = run.options.faults.split(",") if run.options.faults else [kind.number for kind in FAULTS]
    kinds = [kind for kind in FAULTS if kind.number in wanted]
    if any(kind.host for kind in kinds) and not Relay.has_names():
        run.say("this machine lets nobody mount a hosts file: names stay what they are")
        kinds = [kind for kind in kinds if not kind.host]
    rounds: list[list[Cell]] = []
    costs: list[tuple[str, Beside]] = []
    async with contextlib.AsyncExitStack() as stack:
        feeds = await _start_feeds(run, kinds, stack)
        for number in range(run.options.runs):
            run.say(f"run {number + 1} of {run.options.runs}")
            played = acts([kind() for kind in kinds])
            results = [await act(run, each, feeds) for each in played]
            rounds.append([cell for cells, _ in results for cell in cells])
            names = [", ".join(fault.number for fault in faults) for faults in played]
            costs += zip(names, (cost for _, cost in results), strict=True)
            summarize(run, rounds, costs)


async def _start_feeds(run: Run, kinds: Sequence[type[Fault]], stack: contextlib.AsyncExitStack) -> Feeds:
    wanted = {(PLAIN, "none"), *((kind.picture, kind.sound) for kind in kinds)}
    wanted |= {(kind.other_picture, "none") for kind in kinds if kind.other_picture is not None}
    fillers = sum(_PER_WORKER for kind in kinds if kind.fills_worker)
    feeds: dict[tuple[Picture, Sound], Feed] = {}
    for picture, sound in sorted(wanted, key=str):
        count = run.options.bystanders + fillers + 1 if (picture, sound) == (PLAIN, "none") else 1
        feed = Feed(run.directory, run.cores.load, cameras=count, picture=picture, sound=sound)
        feeds[picture, sound] = await stack.enter_async_context(feed)
    return feeds


def summarize(run: Run, rounds: Sequence[Sequence[Cell]], told: Sequence[tuple[str, Beside]]) -> None:
    """Figures and table of what there is so far."""
    cells = [cell for found in rounds for cell in found]
    costs = [cost for _, cost in told]
    run.result.figure("faults_viewers_lost", sum(cell.lost for cell in cells), "viewers")
    for suffix, protocols in (("", PROTOCOLS[::2]), ("_whep", PROTOCOLS[2:]), ("_llhls", PROTOCOLS[:1])):
        resumed = [c.resume_s for c in cells if c.resume_s is not None and c.protocol in protocols]
        figure = f"faults_worst_resume{suffix}_s"
        run.result.figure(figure, max(resumed, default=None), "s", "nobody resumed")
    run.result.figure("faults_bystander_delay_s", max(cost.delay for cost in costs), "s")
    run.result.figure("faults_bystander_relay_delay_s", max(cost.relay_delay for cost in costs), "s")
    undisturbed = [cost.delay for cost in costs if cost.is_undisturbed]
    figure, reason = "faults_bystander_undisturbed_s", "the machine disturbed every act"
    run.result.figure(figure, max(undisturbed, default=None), "s", reason)
    relay_late = max((cost.relay_late for cost in costs if cost.relay_late is not None), default=None)
    run.result.figure("faults_relay_late_s", relay_late, "s", "no lag metric")
    run.result.figure("faults_viewers_late_s", max(cost.viewers_late for cost in costs), "s")
    run.result.figure("faults_idle_late_s", max(cost.idle_late for cost in costs), "s")
    rows: list[list[Value]] = []
    for kind in FAULTS:
        mine = [cell for cell in cells if cell.fault == kind.number]
        if mine:
            about = (kind.__doc__ or "").removesuffix(".")
            rows.append([kind.number, about, *(_shown(mine, protocol) for protocol in PROTOCOLS)])
    viewers = run.options.viewers * len(rounds)
    title = f"Worst seconds to resume, {viewers} viewers in each cell in {len(rounds)} runs"
    run.result.tables = [Table(title, ["fault", "what the camera does", *PROTOCOLS], rows), _beside(told)]


def _beside(told: Sequence[tuple[str, Beside]]) -> Table:
    """What each act cost bystanders, in all runs and in those that the machine left alone."""
    rows: list[list[Value]] = []
    for act_name in dict.fromkeys(name for name, _ in told):
        mine = [cost for name, cost in told if name == act_name]
        alone = [cost.delay for cost in mine if cost.is_undisturbed]
        rows.append(
            [act_name, len(mine), max(cost.delay for cost in mine), len(alone), max(alone, default=None)]
        )
    columns = ["act", "runs", "worst part, s", "of them undisturbed", "worst part in these, s"]
    return Table("Bystanders", columns, rows)


def _shown(cells: Sequence[Cell], protocol: str) -> str:
    mine = [cell for cell in cells if cell.protocol == protocol]
    if not mine:
        return "refused, as it must be"
    lost, viewers = sum(cell.lost for cell in mine), sum(cell.viewers for cell in mine)
    worst = max((cell.resume_s for cell in mine if cell.resume_s is not None), default=None)
    resumed = "" if worst is None else f"{worst:.2f} s"
    return f"{lost} of {viewers} lost{resumed and ', ' + resumed}" if lost else resumed


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--faults", default="", help="numbers such as F1,F6a; all of them by default")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--viewers", type=int, default=2, help="of each protocol in front of each fault")
    parser.add_argument("--bystanders", type=int, default=15, help="cameras that nothing happens to")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("faults", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
