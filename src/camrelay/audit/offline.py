"""Events put on record by a command, while no relay writes the log. Everything here blocks."""

from __future__ import annotations

import time
from pathlib import Path

from camrelay.audit.file import LogFile
from camrelay.audit.people import opened
from camrelay.audit.record import serialize
from camrelay.audit.writer import ChainWriter
from camrelay.model import AccessEvent


def tell(directory: Path, event: AccessEvent, url: str = "") -> None:
    """Writes an event, durable and signed on return.

    Args:
        url: where people are, as `opened` has it.

    Raises:
        BlockingIOError: a relay writes there: ask it instead.
        OSError: the disk failed.
        ChainBroken: the log is not the one that was signed.
    """
    writer = ChainWriter(directory, open_file=LogFile, utc_us=lambda: time.time_ns() // 1000)
    try:
        closing = writer.open()
        with opened(directory, url) as people:
            records = people.separate([event], time.time_ns() // 1000)
        writer.commit([serialize(record) for record in (*closing, *records)])
        writer.sign()
    finally:
        writer.close()
