"""What camera faults cost viewers: fault by protocol, with fifteen cameras beside that nothing happens to.

Every fault has a camera of its own, watched by LL-HLS, HLS and WHEP viewers, and all faults strike at
once in one relay; one that takes a whole worker along has a relay to itself. A viewer is lost when the server
ended it or when it gets nothing any more. The time to resume runs from the first key frame that the camera
sends after the fault to the first media at the slowest viewer. Fifteen bystanders, read by another worker,
are watched by LL-HLS; their worst part tells what the faults cost others. Faults strike when every viewer
plays, however long a busy machine takes to seat them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple, Protocol

from benchmarks import exposition
from benchmarks.command import Run, execute
from benchmarks.faults.liar import Liar
from benchmarks.faults.lies import FAULTS, PLAIN, Fault, Scene
from benchmarks.feed import Feed
from benchmarks.llhls import crowd as hls
from benchmarks.result import Cell as Value
from benchmarks.result import Table
from benchmarks.servers.camrelay import Camrelay
from benchmarks.whep import crowd as whep
from camrelay.config import Ingest
from camrelay.simulate.options import Picture

OWED = {
    "faults_viewers_lost": "viewers",
    "faults_worst_resume_s": "s",
    "faults_worst_resume_whep_s": "s",
    "faults_worst_resume_llhls_s": "s",
    "faults_bystander_delay_s": "s",
}

QUICK = ["--faults", "F15,F6a", "--bystanders", "2", "--viewers", "1", "--runs", "1"]

PROTOCOLS = ("LL-HLS", "HLS", "WHEP")

#: To seat the viewers of one camera, and to have all of them play.
_SEATING_S = 60.0
#: A viewer that got media this recently plays: parts come every 0.2 s, classic segments every 2 s.
_PLAYING_S = {"LL-HLS": 1.0, "HLS": 6.0, "WHEP": 1.0}

#: For the machine to come to rest after that, and what is rest: a part arrives before the next one is whole.
_CALM_S, _IN_TIME_S = 30.0, 0.2

#: Resumed viewers must still be getting media this long after.
_PROOF_S = 3.0

#: Classic viewers learn of new segments late: a segment, a reload and a half.
_PATIENCE_S = {"LL-HLS": 10.0, "HLS": 20.0, "WHEP": 10.0}

#: Cameras of one worker; the first of them are read by the first.
_PER_WORKER = Ingest().cameras_per_worker


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


async def seat(join: Callable[[int], Awaitable[Sequence[Watcher]]], viewers: int) -> list[Watcher]:
    """Lets that many viewers in; on a busy machine, one that did not get in tries again."""
    seated: list[Watcher] = []
    deadline = time.monotonic() + _SEATING_S
    while len(seated) < viewers and time.monotonic() < deadline:
        joined = await join(viewers - len(seated))
        seated += [watcher for watcher in joined if not getattr(watcher, "failure", "")]
    return seated


async def all_playing(run: Run, seen: dict[str, Sequence[Watcher]], camera: str) -> None:
    """Returns when every viewer of a camera gets media; one that does not is said, and will count as lost."""
    deadline = time.monotonic() + _SEATING_S
    while waiting := [
        protocol
        for protocol, watchers in seen.items()
        for watcher in watchers
        if time.monotonic() - watcher.last_media_at > _PLAYING_S[protocol]
    ]:
        if time.monotonic() > deadline:
            run.say(f"{camera}: {', '.join(waiting)} do not play before the fault")
            return
        await asyncio.sleep(0.05)


async def audience(
    run: Run, server: Camrelay, fault: Fault, stack: contextlib.AsyncExitStack
) -> dict[str, Sequence[Watcher]]:
    """The viewers of one fault's camera, all playing."""
    camera, viewers = fault.number.lower(), run.options.viewers
    crowds = {
        "LL-HLS": await stack.enter_async_context(hls.Crowd()),
        "HLS": await stack.enter_async_context(hls.Crowd(low_latency=False)),
    }
    seen: dict[str, Sequence[Watcher]] = {
        protocol: await seat(functools.partial(crowd.join, server.hls(camera), per_second=50), viewers)
        for protocol, crowd in crowds.items()
    }
    if fault.is_for_webrtc:
        peers = await stack.enter_async_context(whep.Crowd())
        seen["WHEP"] = await seat(functools.partial(peers.join, server.whep(camera), per_second=50), viewers)
    else:
        await refusal(server, camera, run)
    await all_playing(run, seen, camera)
    return seen


async def calm(run: Run, bystanders: Collection[hls.Crowd]) -> None:
    """Returns when parts come in time again: seating viewers has made them late, and that is no fault."""
    viewers = [viewer for crowd in bystanders for viewer in crowd.viewers]
    deadline = time.monotonic() + _CALM_S
    while any(not viewer.delays_s or viewer.delays_s[-1] > _IN_TIME_S for viewer in viewers):
        if time.monotonic() > deadline:
            run.say("parts are late before anything strikes: this machine is too busy for the last figure")
            break
        await asyncio.sleep(0.05)
    for crowd in bystanders:
        crowd.forget_delays()


class Lateness:
    """How late the viewers' own event loop runs at worst: what it is late, every viewer here is."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    def __enter__(self) -> None:
        self._task = asyncio.ensure_future(self._watch())

    def __exit__(self, *_: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.05)
            self.worst_s = max(self.worst_s, time.monotonic() - began - 0.05)


async def act(run: Run, faults: Sequence[Fault]) -> tuple[list[Cell], float]:
    """Some faults in one relay: the cells, and the bystanders' worst part delay in seconds."""
    options = run.options
    fillers = max(0, _PER_WORKER - len(faults)) if any(fault.kills for fault in faults) else 0
    async with contextlib.AsyncExitStack() as stack:
        pictures: dict[Picture, Feed] = {}
        others = {fault.other_picture for fault in faults} - {None}
        for picture in {PLAIN, *(fault.picture for fault in faults), *others}:
            assert picture is not None
            count = max(options.bystanders + fillers, 1) if picture == PLAIN else 1
            feed = Feed(run.directory, run.cores.load, cameras=count, picture=picture)
            pictures[picture] = await stack.enter_async_context(feed)
        liars = [await stack.enter_async_context(Liar(pictures[f.picture].url())) for f in faults]
        for fault, liar in zip(faults, liars, strict=True):
            fault.begin(liar)
        plain = map(pictures[PLAIN].url, itertools.count(1))
        cameras = {fault.number.lower(): liar.url for fault, liar in zip(faults, liars, strict=True)}
        cameras |= {f"filler{i}": next(plain) for i in range(fillers)}
        beside = {f"beside{i}": next(plain) for i in range(options.bystanders)}
        server = Camrelay(run.directory, run.cores.server)
        await server.start(cameras | beside)
        stack.push_async_callback(server.stop)
        run.result.servers["camrelay"] = server.settings

        # A crowd for each: viewers of one crowd read the clock of a piece once, by its name.
        bystanders = {name: await stack.enter_async_context(hls.Crowd()) for name in beside}
        await asyncio.gather(
            *(crowd.join(server.hls(name), 1, per_second=20) for name, crowd in bystanders.items())
        )
        seen = await asyncio.gather(*(audience(run, server, fault, stack) for fault in faults))
        await calm(run, bystanders.values())
        lateness = Lateness()
        stack.enter_context(lateness)
        before = await server.metrics()
        run.say(f"{', '.join(fault.number for fault in faults)}: now")
        scenes = [
            Scene(server.pid, pictures[fault.other_picture].url() if fault.other_picture else "")
            for fault in faults
        ]
        found = await asyncio.gather(
            *(strike(run, *each) for each in zip(faults, liars, scenes, seen, strict=True))
        )
        beheld = [viewer for crowd in bystanders.values() for viewer in crowd.viewers]
        worst = max((delay for viewer in beheld for delay in viewer.delays_s), default=0.0)
        lag = exposition.quantile(before, await server.metrics(), exposition.EVENT_LOOP_LAG, 0.999)
        run.say(
            f"worst part of a bystander {worst:.2f} s; the relay was {lag or 0:.2f} s late (p99.9), "
            f"the viewers' own process up to {lateness.worst_s:.2f} s"
        )
        return [cell for cells in found for cell in cells], worst


async def strike(
    run: Run, fault: Fault, liar: Liar, scene: Scene, seen: dict[str, Sequence[Watcher]]
) -> list[Cell]:
    """One fault and what its viewers see of it."""
    key_at = await fault.strike(liar, scene)
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
        together = [fault for fault in faults if not fault.kills]
        acts = [together, *([fault] for fault in faults if fault.kills)]
        results = [await act(run, each) for each in acts if each]
        rounds.append([cell for cells, _ in results for cell in cells])
        delays += [delay for _, delay in results]
        summarize(run, rounds, delays)


def summarize(run: Run, rounds: Sequence[Sequence[Cell]], delays: Sequence[float]) -> None:
    """Figures and table of what there is so far."""
    cells = [cell for found in rounds for cell in found]
    run.result.figure("faults_viewers_lost", sum(cell.lost for cell in cells), "viewers")
    for suffix, protocols in (("", PROTOCOLS[::2]), ("_whep", PROTOCOLS[2:]), ("_llhls", PROTOCOLS[:1])):
        resumed = [c.resume_s for c in cells if c.resume_s is not None and c.protocol in protocols]
        figure = f"faults_worst_resume{suffix}_s"
        run.result.figure(figure, max(resumed, default=None), "s", "nobody resumed")
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
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--viewers", type=int, default=2, help="of each protocol in front of each fault")
    parser.add_argument("--bystanders", type=int, default=15, help="cameras that nothing happens to")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("faults", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
