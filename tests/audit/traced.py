"""Writes access records over two lives and two days, and prints each that it was told is durable.

python traced.py DIRECTORY
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from camrelay.audit.log import AccessLog
from camrelay.config import Audit
from camrelay.model import AccessEvent, EventType

NOON_US = 1_795_262_400_000_000
DAY_US = 86_400_000_000


async def write(log: AccessLog, n: int, now_us: int) -> None:
    event = AccessEvent(
        type=EventType.START,
        ts_us=now_us,
        camera="door",
        outcome="allow",
        protocol="hls",
        viewing=f"v{n}",
        subject=f"person{n % 3}",
        address=f"203.0.113.{n}",
    )
    await log.append(event)
    os.write(1, b"%d\n" % n)


async def main() -> None:
    clock, n = [NOON_US], 0
    for _ in range(2):
        log = AccessLog(Path(sys.argv[1]), Audit(), utc_us=lambda: clock[0])
        await log.start()
        for _ in range(2):
            await asyncio.gather(*(write(log, n + i, clock[0]) for i in range(4)))
            n += 4
            clock[0] += DAY_US // 2
        await log.stop()


asyncio.run(main())
