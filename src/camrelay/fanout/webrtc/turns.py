"""Turns: how cameras and joining viewers share the event loop while packets are sent.

Sending to two thousand viewers takes longer than anything else on the loop may wait. So it is done in slices,
each of which takes a turn first: turns are first come, first served across all cameras, and after a few
milliseconds of them the loop runs everything else before the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

#: Packets per iteration of the event loop: 3 ms at 2 us each, 7 ms through libsrtp; lag must stay below 20.
PACKETS_PER_ITERATION = 1500

#: Packets that a caller should send in one turn at most, so that turns of several callers fit an iteration.
PACKETS_PER_TURN = 500


class Turns:
    """The sending allowance of one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._spent = 0

    async def take(self, packets: int) -> None:
        """Waits for a turn to send `packets` packets; the caller sends them before it next waits."""
        if self._waiting or self._spent >= PACKETS_PER_ITERATION:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((turn, packets))
            await turn
        else:
            self._spend(packets)

    def _spend(self, packets: int) -> None:
        if self._spent == 0:
            # Runs in the next iteration, before anything that this one schedules later.
            asyncio.get_running_loop().call_soon(self._renew)
        self._spent += packets

    def _renew(self) -> None:
        self._spent = 0
        while self._waiting and self._spent < PACKETS_PER_ITERATION:
            turn, packets = self._waiting.popleft()
            if not turn.done():
                self._spend(packets)
                turn.set_result(None)


def batches(groups: Iterable[Iterable[T]], size: int) -> list[list[Sequence[T]]]:
    """Members of groups, in order, `size` to a batch: a large group takes several, small ones share one."""
    found: list[list[Sequence[T]]] = []
    room = 0
    for group in map(tuple, groups):
        at = 0
        while at < len(group):
            if not room:
                found.append([])
                room = size
            some = group[at : at + room]
            found[-1].append(some)
            at += len(some)
            room -= len(some)
    return found
