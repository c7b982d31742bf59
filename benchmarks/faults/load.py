"""Whose fault a late part is: how busy relay, cameras, viewers and everybody else were."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from benchmarks import exposition
from benchmarks.command import Run
from benchmarks.exposition import Page
from benchmarks.faults.relay import Relay
from benchmarks.sampling import core_s, usage


class _Spent(NamedTuple):
    """Seconds of CPU up to a moment: of the relay, of it with its workers, of this process, of all we run."""

    at: float
    relay: float
    server: float
    viewers: float
    ours: float
    cores: float


class Load:
    """The use of both cores from here to `report`."""

    def __init__(self, run: Run, relay: Relay, page: Page) -> None:
        self._run = run
        self._relay = relay
        self._page = page
        self._before = self._read()

    def _read(self) -> _Spent:
        ended = os.times()
        return _Spent(
            at=time.monotonic(),
            relay=usage(self._relay.pid, alone=True).cpu_s,
            server=usage(self._relay.pid).cpu_s,
            viewers=usage(os.getpid(), alone=True).cpu_s,
            # Cameras that went away in between count too.
            ours=usage(os.getpid()).cpu_s + ended.children_user + ended.children_system,
            cores=sum(core_s(core) for core in set(self._run.cores)),
        )

    def relay_late_s(self, page: Page) -> float | None:
        """How late the relay's event loop was (p99.9); None when nobody knows."""
        return exposition.quantile(self._page, page, exposition.EVENT_LOOP_LAG, 0.999)

    def report(self) -> str:
        """One line: shares of a core by program, and what both cores did for others."""
        now, before = self._read(), self._before
        seconds = now.at - before.at
        spent = _Spent(*((after - first) / seconds for after, first in zip(now, before, strict=True)))
        return (
            f"the relay had {spent.relay:.0%} of its core and its workers {spent.server - spent.relay:.0%}, "
            f"viewers {spent.viewers:.0%} and cameras {spent.ours - spent.server - spent.viewers:.0%} "
            f"of the other, programs beside them {max(0.0, spent.cores - spent.ours):.0%} of both"
        )
