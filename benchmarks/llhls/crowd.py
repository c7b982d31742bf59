"""Hundreds of HLS viewers in one process on one core."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.llhls.viewer import Shared, Viewer

#: A server that has no first segment after this long shows it in the figures.
_START_TIMEOUT_S = 10.0


class Totals(NamedTuple):
    """The account of the whole crowd at one moment."""

    at: float
    viewers: int
    playing: int
    requests: int
    bytes: int
    pieces: int
    stalls: int
    failed: int


class Crowd:
    """Viewers that join, are counted, and leave."""

    def __init__(self, *, low_latency: bool = True) -> None:
        self._low_latency = low_latency
        self._shared = Shared()
        self._tasks: list[asyncio.Task[None]] = []
        self.viewers: list[Viewer] = []

    async def __aenter__(self) -> Crowd:
        # A fifth of this process's time otherwise, while what viewers leave behind is freed by counting.
        gc.disable()
        return self

    async def __aexit__(self, *_: object) -> None:
        gc.enable()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def join(
        self, url: str, count: int, *, per_second: float, headers: Mapping[str, str] | None = None
    ) -> list[Viewer]:
        """Lets `count` viewers begin, evenly spread in time; waits until all have media, or should have."""
        joined = []
        began = time.monotonic()
        for index in range(count):
            await asyncio.sleep(max(0.0, began + index / per_second - time.monotonic()))
            viewer = Viewer(self._shared, url, low_latency=self._low_latency, headers=headers)
            self._tasks.append(asyncio.create_task(viewer.watch()))
            joined.append(viewer)
        self.viewers += joined
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_TIMEOUT_S):
                await asyncio.gather(*(viewer.started.wait() for viewer in joined))
        return joined

    def totals(self) -> Totals:
        """The account now."""
        viewers = self.viewers
        return Totals(
            at=time.monotonic(),
            viewers=len(viewers),
            playing=sum(v.pieces > 0 and not v.failure for v in viewers),
            requests=sum(v.requests for v in viewers),
            bytes=sum(v.bytes for v in viewers),
            pieces=sum(v.pieces for v in viewers),
            stalls=sum(v.stalls for v in viewers),
            failed=sum(bool(v.failure) for v in viewers),
        )

    def failures(self) -> dict[str, int]:
        """How many viewers gave up, by reason."""
        found: dict[str, int] = {}
        for viewer in self.viewers:
            if viewer.failure:
                found[viewer.failure] = found.get(viewer.failure, 0) + 1
        return found

    def forget_delays(self) -> None:
        """Empties what was collected so far: a measurement begins."""
        for viewer in self.viewers:
            viewer.delays_s.clear()
            viewer.arrived_at.clear()
            viewer.behind_s.clear()
