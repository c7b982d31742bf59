"""Whose fault a late part is: how busy relay, cameras, viewers and everybody else were."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence

from benchmarks import exposition
from benchmarks.command import Run
from benchmarks.exposition import Page
from benchmarks.faults.relay import Relay
from benchmarks.feed import Feed
from benchmarks.sampling import Usage, core_s, cpu_share, usage


class Lateness:
    """How late an event loop runs at worst: what that of the viewers is late, every viewer here is."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    def __enter__(self) -> Lateness:
        self._task = asyncio.ensure_future(self._watch())
        return self

    def __exit__(self, *_: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.05)
            self.worst_s = max(self.worst_s, time.monotonic() - began - 0.05)


class Load:
    """The use of both cores from here to `report`."""

    def __init__(self, run: Run, relay: Relay, feeds: Sequence[Feed], page: Page) -> None:
        self._run = run
        self._relay = relay
        self._feeds = feeds
        self._page = page
        self._before = self._read()
        self._cores_before = self._cores()

    def _read(self) -> dict[str, Usage]:
        return {
            "relay": usage(self._relay.pid, alone=True),
            "relay and workers": usage(self._relay.pid),
            "viewers": usage(os.getpid(), alone=True),
            **{f"cameras {number}": usage(feed.pid) for number, feed in enumerate(self._feeds, 1)},
        }

    def _cores(self) -> tuple[float, float]:
        return core_s(self._run.cores.server), core_s(self._run.cores.load)

    def report(self, page: Page) -> str:
        """One line: shares of a core by program, what both cores did for others, and the relay's lag."""
        after = self._read()
        shares = {name: cpu_share(before, after[name]) for name, before in self._before.items()}
        seconds = after["viewers"].at - self._before["viewers"].at
        server, load = (
            (now - before) / seconds for now, before in zip(self._cores(), self._cores_before, strict=True)
        )
        cameras = sum(share for name, share in shares.items() if name.startswith("cameras"))
        others = server - shares["relay and workers"] + load - shares["viewers"] - cameras
        lag = exposition.quantile(self._page, page, exposition.EVENT_LOOP_LAG, 0.999)
        return (
            f"the relay had {shares['relay']:.0%} of its core and its workers "
            f"{shares['relay and workers'] - shares['relay']:.0%}, cameras {cameras:.0%} and viewers "
            f"{shares['viewers']:.0%} of the other, programs beside them {max(0.0, others):.0%} of both; "
            f"the relay was {lag or 0:.2f} s late (p99.9)"
        )
