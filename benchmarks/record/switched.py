"""camrelay with an access record that can be turned off, to tell what it costs: nothing else can.

python -m benchmarks.record.switched serve --config FILE

SIGUSR1 turns it off, SIGUSR2 on.
"""

from __future__ import annotations

import asyncio
import signal

from camrelay import wiring
from camrelay.audit.log import AccessLog
from camrelay.cli import main
from camrelay.model import AccessEvent


class SwitchedLog(AccessLog):
    """While it is off, takes every event for durable and forgets it."""

    _is_on = True

    async def start(self) -> None:
        """Listens to the signals from now on."""
        await super().start()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._switch, False)
        loop.add_signal_handler(signal.SIGUSR2, self._switch, True)

    def append(self, event: AccessEvent) -> asyncio.Future[None]:
        """Done at once while it is off."""
        if self._is_on:
            return super().append(event)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def _switch(self, is_on: bool) -> None:
        self._is_on = is_on


if __name__ == "__main__":
    vars(wiring)["AccessLog"] = SwitchedLog
    main()
