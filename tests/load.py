"""For tests of load clients, which tell nobody when something has arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from processes import until


async def until_true(condition: Callable[[], object], limit_s: float = 30.0) -> None:
    """Waits until the condition holds."""

    async def attempt() -> bool:
        await asyncio.sleep(0)
        return bool(condition())

    await until(attempt, "the load client's account", limit_s)
