"""Who watches cameras that fail: viewers of every protocol, and what they see of it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple, Protocol

from benchmarks.command import Run
from benchmarks.faults.fault import Fault
from benchmarks.faults.relay import Relay
from benchmarks.lateness import Span, within_s
from benchmarks.llhls import crowd as hls
from benchmarks.whep import crowd as whep

PROTOCOLS = ("LL-HLS", "HLS", "WHEP")

#: To seat the viewers of one camera, and to have all of them play.
_SEATING_S = 60.0
#: A viewer that got media this recently plays: parts come every 0.2 s, classic segments every 2 s.
_PLAYING_S = {"LL-HLS": 1.0, "HLS": 6.0, "WHEP": 1.0}

#: For the machine to come to rest after that, and what is rest: a part arrives before the next one is whole.
_CALM_S, _IN_TIME_S = 30.0, 0.2

#: Resumed viewers must get more of it, this long after and later.
_PROOF_S = 3.0

#: Classic viewers learn of new segments late: a segment, a reload and a half.
_PATIENCE_S = {"LL-HLS": 10.0, "HLS": 20.0, "WHEP": 10.0}


class Watcher(Protocol):
    """What the viewers of every protocol have in common."""

    @property
    def last_media_at(self) -> float: ...


Seen = dict[str, Sequence[Watcher]]


class Cell(NamedTuple):
    """One fault in front of one protocol's viewers; `resume_s` is None when one is lost."""

    fault: str
    protocol: str
    viewers: int
    lost: int
    resume_s: float | None


async def observe(run: Run, fault: Fault, protocol: str, watchers: Sequence[Watcher], key_at: float) -> Cell:
    """Waits until every viewer has media again, and goes on having it; one that never joined is lost too."""
    patience_s = _PATIENCE_S[protocol]
    resumed = await _next_media(watchers, key_at, patience_s)
    await asyncio.sleep(_PROOF_S)
    going_on = await _next_media(watchers, time.monotonic(), patience_s)
    kept = [came_at for index, came_at in resumed.items() if index in going_on]
    viewers = run.options.viewers
    lost = viewers - len(kept)
    if lost:
        reasons = {getattr(watcher, "failure", "") for watcher in watchers} - {""}
        run.say(f"{fault.number} {protocol}: {lost} lost {reasons or ''}")
    return Cell(fault.number, protocol, viewers, lost, None if lost else max(kept, default=key_at) - key_at)


async def _next_media(watchers: Sequence[Watcher], since: float, patience_s: float) -> dict[int, float]:
    """Which viewers got media after `since`, and when; those that got none within that time are missing."""
    came_at: dict[int, float] = {}
    while len(came_at) < len(watchers) and time.monotonic() < since + patience_s:
        for index, watcher in enumerate(watchers):
            if watcher.last_media_at > since:
                came_at.setdefault(index, watcher.last_media_at)
        await asyncio.sleep(0.005)
    return came_at


async def seat(join: Callable[[int], Awaitable[Sequence[Watcher]]], viewers: int) -> list[Watcher]:
    """Lets that many viewers in; on a busy machine, one that did not get in tries again."""
    seated: list[Watcher] = []
    deadline = time.monotonic() + _SEATING_S
    while len(seated) < viewers and time.monotonic() < deadline:
        joined = await join(viewers - len(seated))
        seated += [watcher for watcher in joined if not getattr(watcher, "failure", "")]
    return seated


async def gather(
    run: Run, server: Relay, fault: Fault, peers: whep.Crowd, stack: contextlib.AsyncExitStack
) -> Seen:
    """The viewers of one fault's camera, all playing.

    Args:
        peers: where WHEP viewers of all cameras are.
    """
    camera, viewers = fault.number.lower(), run.options.viewers
    # A crowd for each: viewers of one crowd read the clock of a piece once, by its name.
    crowds = {
        "LL-HLS": await stack.enter_async_context(hls.Crowd()),
        "HLS": await stack.enter_async_context(hls.Crowd(low_latency=False)),
    }
    seats = {
        protocol: seat(functools.partial(crowd.join, server.hls(camera), per_second=50), viewers)
        for protocol, crowd in crowds.items()
    }
    if fault.is_for_webrtc:
        seats["WHEP"] = seat(functools.partial(peers.join, server.whep(camera), per_second=50), viewers)
    elif await peers.join(server.whep(camera), 1, per_second=10):
        run.say(f"{camera}: WHEP did not refuse what browsers cannot play")
    seen: Seen = dict(zip(seats, await asyncio.gather(*seats.values()), strict=True))
    await _all_playing(run, seen, camera)
    return seen


async def _all_playing(run: Run, seen: Seen, camera: str) -> None:
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


def worst_parts_s(bystanders: Collection[hls.Crowd], spans: Sequence[Span]) -> tuple[float, float]:
    """The worst part's delay as it was seen, and less what lies within the spans."""
    seen, own = [0.0], [0.0]
    for viewer in (viewer for crowd in bystanders for viewer in crowd.viewers):
        for delay_s, at in zip(viewer.delays_s, viewer.arrived_at, strict=True):
            seen.append(delay_s)
            own.append(delay_s - within_s(spans, at - delay_s, at))
    return max(seen), max(own)
