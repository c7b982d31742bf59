"""How late everybody on a core was, whatever the relay did: what a part lost to that is not its delay.

A part passes two cores, the relay's and the viewers'. On the first, a program watches that does nothing else;
on the second, the viewers' own event loop watches itself, as what it is late, every viewer in it is.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.child import Child

#: Between two looks at the clock.
_LOOK_S = 0.01
#: Less is the kernel's usual way of sharing a core.
_LATE_S = 0.01

_IDLE = f"""
import time
print("watching", flush=True)
while True:
    due = time.monotonic() + {_LOOK_S}
    time.sleep({_LOOK_S})
    now = time.monotonic()
    if now - due > {_LATE_S}:
        print(due, now, flush=True)
"""


class Span(NamedTuple):
    """Monotonic seconds between which somebody should have run, and did not."""

    first: float
    last: float


class Idle:
    """A program that does nothing on a core."""

    def __init__(self, core: int, log: Path) -> None:
        self._core = core
        self._log = log

    async def __aenter__(self) -> Idle:
        self._child = Child([sys.executable, "-c", _IDLE], self._core, self._log)
        await self._child.until(self._is_watching, 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._child.stop()

    async def _is_watching(self) -> bool:
        return bool(self._child.output())

    @property
    def spans(self) -> list[Span]:
        """When it was late, so far."""
        lines = self._child.output().splitlines(keepends=True)[1:]
        return [Span(*map(float, line.split())) for line in lines if line.endswith("\n")]


class OwnLoop:
    """The same of the event loop that runs here."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def __enter__(self) -> OwnLoop:
        self._task = asyncio.ensure_future(self._watch())
        return self

    def __exit__(self, *_: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            due = time.monotonic() + _LOOK_S
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            if now - due > _LATE_S:
                self.spans.append(Span(due, now))


def worst_s(spans: Iterable[Span]) -> float:
    """The longest of them."""
    return max((span.last - span.first for span in spans), default=0.0)


def within_s(spans: Iterable[Span], first: float, last: float) -> float:
    """Seconds between `first` and `last` that are in any of the spans."""
    found, reached = 0.0, first
    for span in sorted(spans):
        begin, end = max(span.first, reached), min(span.last, last)
        if end > begin:
            found += end - begin
            reached = end
    return found
