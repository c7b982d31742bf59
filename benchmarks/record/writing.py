"""A program that appends starts to a new access log as fast as it takes them, and says how fast that was.

python -m benchmarks.record.writing DIRECTORY EVENTS KIND

KIND is "starts", each with somebody to be kept beside the log, or "pairs" of a start and its stop.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from benchmarks.record.events import start, stop
from benchmarks.record.options import audit
from camrelay.audit.log import AccessLog
from camrelay.model import AccessEvent

#: Appended and not yet durable, at most; a full queue would refuse.
_UNDER_WAY = 4096

#: Nobody gives up: what is measured is how many get through, not who would rather not have waited.
_PATIENCE_S = 60.0


class Written(msgspec.Struct):
    """What the program says on its last line. `emit_us` is the mean of all calls of `append`."""

    events_per_s: float
    emit_us: float
    failed: int


async def write(directory: Path, events: list[AccessEvent]) -> Written:
    """Appends all events; from the first until the last is durable."""
    log = AccessLog(directory, audit(_PATIENCE_S))
    await log.start()
    under_way = failed = 0
    emit_s = 0.0
    room = asyncio.Event()

    def done(future: asyncio.Future[None]) -> None:
        nonlocal under_way, failed
        under_way -= 1
        failed += future.exception() is not None
        if under_way <= _UNDER_WAY // 2:
            room.set()

    began = time.perf_counter()
    for event in events:
        if under_way == _UNDER_WAY:
            room.clear()
            await room.wait()
        called = time.perf_counter()
        future = log.append(event)
        emit_s += time.perf_counter() - called
        under_way += 1
        future.add_done_callback(done)
    while under_way:
        room.clear()
        await room.wait()
    elapsed = time.perf_counter() - began
    await log.stop()
    return Written((len(events) - failed) / elapsed, emit_s / len(events) * 1e6, failed)


def main() -> None:
    """The program."""
    directory, count, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    # A benchmark gives each of its programs one core; the writer's thread is there to use another.
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    now_us = time.time_ns() // 1000
    events = [
        stop(n - 1, now_us + n) if kind == "pairs" and n % 2 else start(n, now_us + n) for n in range(count)
    ]
    print(msgspec.json.encode(uvloop.run(write(directory, events))).decode())


if __name__ == "__main__":
    main()
