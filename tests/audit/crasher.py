"""Writes access records until it is killed, and prints each that it was told is durable.

python crasher.py DIRECTORY FIRST
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from camrelay.audit.log import AccessLog
from camrelay.config import Audit
from camrelay.model import AccessEvent, EventType


async def write(log: AccessLog, n: int) -> None:
    event = AccessEvent(
        type=EventType.START, ts_us=n, camera="door", outcome="allow", protocol="hls", viewing=f"v{n}"
    )
    await log.append(event)
    print(n, flush=True)


async def main() -> None:
    log = AccessLog(Path(sys.argv[1]), Audit())
    await log.start()
    n = int(sys.argv[2])
    while True:
        await asyncio.gather(*(write(log, n + i) for i in range(20)))
        n += 20


asyncio.run(main())
