"""How late the event loop runs its timers: what every viewer waits when something hogs it."""

from __future__ import annotations

import asyncio

from camrelay import metrics

#: Often enough to meet a 20 ms stall in the middle of a second, rare enough to cost nothing.
INTERVAL_S = 0.02


async def watch() -> None:
    """Observes the lag until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL_S
        await asyncio.sleep(INTERVAL_S)
        metrics.event_loop_lag.observe(max(0.0, loop.time() - due))
