"""What camera faults cost viewers: fault by protocol, with fifteen cameras beside that nothing happens to.

Every fault has a camera of its own, watched by LL-HLS, HLS and WHEP viewers, and all faults strike at
once in one relay. A viewer is lost when the server ended it or when it gets nothing any more. The time to
resume runs from the first key frame that the camera sends after the fault to the first media at the slowest
viewer. Fifteen bystanders are watched by LL-HLS; their worst part tells what the faults cost others.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from benchmarks.command import Run, execute
from benchmarks.faults.liar import Liar
from benchmarks.faults.lies import FAULTS, PLAIN, Fault
from benchmarks.feed import Feed
from benchmarks.llhls import crowd as hls
from benchmarks.result import Cell as Value
from benchmarks.result import Table
from benchmarks.servers.camrelay import Camrelay
from benchmarks.whep import crowd as whep
from camrelay.simulate.options import Picture

OWED = {
    "faults_viewers_lost": "viewers",
    "faults_worst_resume_s": "s",
    "faults_bystander_delay_s": "s",
}

QUICK = ["--faults", "F15,F6a", "--bystanders", "2", "--viewers", "1", "--settle", "1"]

PROTOCOLS = ("LL-HLS", "HLS", "WHEP")

#: Resumed viewers must still be getting media this long after.
_PROOF_S = 3.0

#: Classic viewers learn of new segments late: a segment, a reload and a half.
_PATIENCE_S = {"LL-HLS": 10.0, "HLS": 20.0, "WHEP": 10.0}


class Watcher(Protocol):
    """What the viewers of every protocol have in common."""

    @property
    def last_media_at(self) -> float: ...


class Cell(NamedTuple):
    """One fault in front of one protocol's viewers; `resume_s` is None when one is lost."""

    fault: str
    protocol: str
    viewers: int
    lost: int
    resume_s: float | None


async def observe(run: Run, fault: Fault, protocol: str, watchers: Sequence[Watcher], key_at: float) -> Cell:
    """Waits until every viewer has media again, and goes on having it; one that never joined is lost too."""
    deadline = key_at + _PATIENCE_S[protocol]
    resumed: dict[int, float] = {}
    while len(resumed) < len(watchers) and time.monotonic() < deadline:
        for index, watcher in enumerate(watchers):
            if watcher.last_media_at > key_at:
                resumed.setdefault(index, watcher.last_media_at)
        await asyncio.sleep(0.005)
    await asyncio.sleep(_PROOF_S)
    alive_after = time.monotonic() - (_PATIENCE_S[protocol] if protocol == "HLS" else _PROOF_S)
    kept = [i for i in resumed if watchers[i].last_media_at > alive_after]
    viewers = run.options.viewers
    lost = viewers - len(kept)
    if lost:
        reasons = {getattr(watcher, "failure", "") for watcher in watchers} - {""}
        run.say(f"{fault.number} {protocol}: {lost} lost {reasons or ''}")
    resume_s = max((resumed[i] - key_at for i in kept), default=0.0)
    return Cell(fault.number, protocol, viewers, lost, None if lost else resume_s)


async def refusal(server: Camrelay, camera: str, run: Run) -> None:
    """WHEP must refuse what browsers cannot play, rather than show a broken picture."""
    async with whep.Crowd() as viewers:
        joined = await viewers.join(server.whep(camera), 1, per_second=10)
        if joined:
            run.say(f"{camera}: WHEP did not refuse B-frames")


async def round_of(run: Run, faults: Sequence[Fault]) -> tuple[list[Cell], float]:
    """One run of everything: the cells, and the bystanders' worst part delay in seconds."""
    options = run.options
    async with contextlib.AsyncExitStack() as stack:
        pictures: dict[Picture, Feed] = {}
        for picture in {PLAIN, *(fault.picture for fault in faults)}:
            count = max(options.bystanders, 1) if picture == PLAIN else 1
            feed = Feed(run.directory, run.cores.load, cameras=count, picture=picture)
            pictures[picture] = await stack.enter_async_context(feed)
        liars = [await stack.enter_async_context(Liar(pictures[f.picture].url())) for f in faults]
        for fault, liar in zip(faults, liars, strict=True):
            fault.begin(liar)
        beside = [f"beside{i}" for i in range(options.bystanders)]
        cameras = {fault.number.lower(): liar.url for fault, liar in zip(faults, liars, strict=True)}
        cameras |= {name: pictures[PLAIN].url(i + 1) for i, name in enumerate(beside)}
        server = Camrelay(run.directory, run.cores.server)
        await server.start(cameras)
        stack.push_async_callback(server.stop)
        run.result.servers["camrelay"] = server.settings

        bystanders = await stack.enter_async_context(hls.Crowd())
        for name in beside:
            await bystanders.join(server.hls(name), 1, per_second=20)
        scenes = []
        for fault, liar in zip(faults, liars, strict=True):
            camera = fault.number.lower()
            watchers = {
                "LL-HLS": await stack.enter_async_context(hls.Crowd()),
                "HLS": await stack.enter_async_context(hls.Crowd(low_latency=False)),
            }
            seen: dict[str, Sequence[Watcher]] = {
                protocol: await crowd.join(server.hls(camera), options.viewers, per_second=50)
                for protocol, crowd in watchers.items()
            }
            if fault.is_for_webrtc:
                peers = await stack.enter_async_context(whep.Crowd())
                seen["WHEP"] = await peers.join(server.whep(camera), options.viewers, per_second=50)
            else:
                await refusal(server, camera, run)
            scenes.append((fault, liar, seen))
        await asyncio.sleep(options.settle)
        bystanders.forget_delays()
        run.say(f"{len(faults)} faults strike")
        found = await asyncio.gather(*(scene(run, *each) for each in scenes))
        worst = max((delay for viewer in bystanders.viewers for delay in viewer.delays_s), default=0.0)
        return [cell for cells in found for cell in cells], worst


async def scene(run: Run, fault: Fault, liar: Liar, seen: dict[str, Sequence[Watcher]]) -> list[Cell]:
    """One fault and what its viewers see of it."""
    key_at = await fault.strike(liar)
    return list(
        await asyncio.gather(*(observe(run, fault, protocol, seen[protocol], key_at) for protocol in seen))
    )


async def body(run: Run) -> None:
    """Every run, then the table."""
    wanted = run.options.faults.split(",") if run.options.faults else [f.number for f in FAULTS]
    rounds: list[list[Cell]] = []
    delays: list[float] = []
    for number in range(run.options.runs):
        faults = [kind() for kind in FAULTS if kind.number in wanted]
        run.say(f"run {number + 1} of {run.options.runs}")
        cells, delay = await round_of(run, faults)
        rounds.append(cells)
        delays.append(delay)
        summarize(run, rounds, delays)


def summarize(run: Run, rounds: Sequence[Sequence[Cell]], delays: Sequence[float]) -> None:
    """Figures and table of what there is so far."""
    cells = [cell for found in rounds for cell in found]
    resumed = [cell.resume_s for cell in cells if cell.resume_s is not None and cell.protocol != "HLS"]
    run.result.figure("faults_viewers_lost", sum(cell.lost for cell in cells), "viewers")
    run.result.figure("faults_worst_resume_s", max(resumed, default=None), "s", "nobody resumed")
    run.result.figure("faults_bystander_delay_s", max(delays), "s")
    rows: list[list[Value]] = []
    for kind in FAULTS:
        mine = [cell for cell in cells if cell.fault == kind.number]
        if mine:
            about = (kind.__doc__ or "").removesuffix(".")
            rows.append([kind.number, about, *(_shown(mine, protocol) for protocol in PROTOCOLS)])
    title = f"Viewers lost, and worst seconds to resume; {len(rounds)} runs"
    run.result.tables = [Table(title, ["fault", "what the camera does", *PROTOCOLS], rows)]


def _shown(cells: Sequence[Cell], protocol: str) -> str:
    mine = [cell for cell in cells if cell.protocol == protocol]
    if not mine:
        return "refused, as it must be"
    lost, viewers = sum(cell.lost for cell in mine), sum(cell.viewers for cell in mine)
    worst = max((cell.resume_s for cell in mine if cell.resume_s is not None), default=None)
    return f"{lost} of {viewers} lost, " + ("-" if worst is None else f"{worst:.2f} s")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--faults", default="", help="numbers such as F1,F6a; all of them by default")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--viewers", type=int, default=2, help="of each protocol in front of each fault")
    parser.add_argument("--bystanders", type=int, default=15, help="cameras that nothing happens to")
    parser.add_argument("--settle", type=float, default=4.0, help="seconds from the last join to the strike")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("faults", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
