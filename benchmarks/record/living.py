"""A program that appends starts until it is killed, and notes each that it was told is durable.

python -m benchmarks.record.living DIRECTORY FIRST

What it writes to its output, a number and a line feed at a time, is in the kernel's hands when it dies.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import uvloop

from benchmarks.record.events import start
from benchmarks.record.options import audit
from camrelay.audit.log import AccessLog

_UNDER_WAY = 128


async def write(log: AccessLog, first: int) -> None:
    """Every n-th start, one after the other."""
    number = first
    while True:
        await log.append(start(number, time.time_ns() // 1000))
        os.write(1, b"%d\n" % number)
        number += _UNDER_WAY


async def main() -> None:
    """The program."""
    log = AccessLog(Path(sys.argv[1]), audit())
    await log.start()
    first = int(sys.argv[2])
    await asyncio.gather(*(write(log, first + n) for n in range(_UNDER_WAY)))


if __name__ == "__main__":
    uvloop.run(main())
