"""camrelay with an access record that can be turned off, to tell what it costs: nothing else can.

python -m benchmarks.record.switched serve --config FILE

SIGUSR1 turns it off, SIGUSR2 on. Turned off, it writes into SPENT, in its current directory, the CPU seconds
that its thread and its work on the event loop have taken so far, and for how many events.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import SPENT
from camrelay import wiring
from camrelay.audit.log import AccessLog
from camrelay.cli import main
from camrelay.model import AccessEvent


class SwitchedLog(AccessLog):
    """While it is off, takes every event for durable and forgets it."""

    _is_on = True
    _spent_on_loop_s = 0.0
    _events = 0

    async def start(self) -> None:
        """Listens to the signals from now on."""
        await super().start()
        (thread,) = (each.ident for each in threading.enumerate() if each.name == "camrelay-audit")
        assert thread is not None
        self._clock = time.pthread_getcpuclockid(thread)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._switch, False)
        loop.add_signal_handler(signal.SIGUSR2, self._switch, True)

    def append(self, event: AccessEvent) -> asyncio.Future[None]:
        """Done at once while it is off."""
        if self._is_on:
            self._events += 1
            began = time.thread_time()
            appended = super().append(event)
            self._spent_on_loop_s += time.thread_time() - began
            return appended
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def _settle(self, entries: Sequence[Any]) -> None:
        began = time.thread_time()
        super()._settle(entries)
        self._spent_on_loop_s += time.thread_time() - began

    def _switch(self, is_on: bool) -> None:
        self._is_on = is_on
        if not is_on:
            spent_s = time.clock_gettime(self._clock) + self._spent_on_loop_s
            Path(SPENT).write_text(f"{spent_s} {self._events}")


if __name__ == "__main__":
    vars(wiring)["AccessLog"] = SwitchedLog
    main()
