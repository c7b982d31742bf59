"""Access logs on disk, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from camrelay.audit.file import LogFile
from camrelay.audit.record import Record, serialize
from camrelay.audit.writer import ChainWriter
from camrelay.model import AccessEvent, EventType

#: 2026-11-21 12:00:00 UTC.
NOON_US = 1_795_262_400_000_000
DAY_US = 86_400_000_000


def make_start(n: int = 1, **overrides: object) -> Record:
    """The start of viewing `v{n}`."""
    event = Record(
        type=EventType.START,
        ts_us=NOON_US + n,
        camera="door",
        outcome="allow",
        protocol="hls",
        viewing=f"v{n}",
        session=f"s{n}",
        person="anna",
    )
    return msgspec.structs.replace(event, **overrides)


def make_event(n: int = 1, **overrides: object) -> AccessEvent:
    """The same start as the gate tells it."""
    event = AccessEvent(
        type=EventType.START,
        ts_us=NOON_US + n,
        camera="door",
        outcome="allow",
        protocol="hls",
        viewing=f"v{n}",
        session=f"s{n}",
        subject="anna",
        address="203.0.113.77",
        agent="VLC",
    )
    return msgspec.structs.replace(event, **overrides)


def write_log(directory: Path, days: Sequence[Sequence[Record]], sign_every: int = 10) -> None:
    """Writes a day of events after the other, each signed at its end and every so many lines."""
    clock = [NOON_US]
    writer = ChainWriter(directory, open_file=LogFile, utc_us=lambda: clock[0])
    writer.open()
    for events in days:
        for begin in range(0, len(events), sign_every):
            writer.commit([serialize(event) for event in events[begin : begin + sign_every]])
            writer.sign()
        clock[0] += DAY_US
    writer.close()
