"""What a crash left in the access log: half a line at the end, and viewings that began and never ended.

The half line is cut off: nobody was told that it was durable. The viewings are closed by a stop of their own,
with reason server_crash and the time up to the last thing the log heard before the crash.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from camrelay.audit.archive import is_header, log_files
from camrelay.audit.record import Record, parse
from camrelay.errors import BadRecord
from camrelay.model import EndReason, EventType

logger = logging.getLogger("camrelay.audit")

#: Longer than any record: its strings are bounded where they are made.
_LINE_LIMIT = 65_536
#: Every start of the server writes this line first, after closing what was open: nothing older can be open.
_NODE_START = b'{"type":"node.start"'


def read(path: Path) -> Iterator[Record]:
    """The events of a file. Lines that are no records are counted in the operators' log and passed over."""
    strange = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file):
            if number == 0 and is_header(line):
                continue
            try:
                yield parse(line)
            except BadRecord:
                # Blank lines are left by a probe of a full disk that was interrupted.
                strange += line != b"\n"
    if strange:
        logger.error("%d lines of %s are no access records", strange, path.name)


def recover(directory: Path, now_us: int) -> list[Record]:
    """Repairs the newest file and returns the stops of viewings that are open. Blocks.

    Args:
        now_us: microseconds of UTC, the time of those stops.
    """
    files = log_files(directory)
    if files:
        _cut_torn_end(files[-1])
        files = log_files(directory)
    running: dict[str, Record] = {}
    last_us = 0
    for path in _since_last_start(files):
        for event in read(path):
            last_us = max(last_us, event.ts_us)
            if event.type is EventType.START:
                running[event.viewing] = event
            elif event.type is EventType.STOP:
                running.pop(event.viewing, None)
    return [_stop(start, last_us, now_us) for start in running.values()]


def _since_last_start(files: list[Path]) -> list[Path]:
    for index in range(len(files) - 1, -1, -1):
        with open(files[index], "rb") as file:
            if any(line.startswith(_NODE_START) for line in file):
                return files[index:]
    return files


def _cut_torn_end(path: Path) -> None:
    """Removes what follows the last whole record: half a line, or blocks that a power cut left empty.

    A file without even its header goes altogether: that day has not begun.
    """
    size = good = path.stat().st_size
    with open(path, "rb") as file:
        while good > 0:
            start = max(0, good - _LINE_LIMIT)
            file.seek(start)
            window = file.read(good - start)
            line_start = window.rfind(b"\n", 0, -1) + 1
            if _is_record(window[line_start:]):
                break
            good = start + line_start
    if good < size:
        logger.warning("%d bytes at the end of %s were never complete: removed", size - good, path.name)
        os.truncate(path, good)
    if good == 0:
        path.unlink()


def _is_record(line: bytes) -> bool:
    if is_header(line):
        return True
    try:
        parse(line)
    except BadRecord:
        return False
    return True


def _stop(start: Record, last_us: int, now_us: int) -> Record:
    return msgspec.structs.replace(
        start,
        type=EventType.STOP,
        ts_us=now_us,
        reason=EndReason.SERVER_CRASH,
        duration_ms=max(0, last_us - start.ts_us) // 1000,
        id="",
        commitment="",
    )
