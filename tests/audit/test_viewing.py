"""Starts and stops, joined again."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from audit_builders import NOON_US, make_start
from camrelay.audit.record import Record
from camrelay.audit.viewing import Viewing, pair
from camrelay.model import EventType


def make_stop(n: int, at: int) -> Record:
    stop = make_start(n, type=EventType.STOP, ts_us=NOON_US + at)
    return msgspec.structs.replace(stop, reason="client_closed", duration_ms=at - n)


def test_each_start_finds_its_stop() -> None:
    """In the order of the starts; what runs has none; other records say nothing about viewings."""
    deny = make_start(9, type=EventType.DENY, outcome="deny")
    starts = [make_start(1), make_start(2), make_start(3)]
    records = [make_start(1), make_start(2), deny, make_stop(2, 5), make_start(3), make_stop(1, 7)]
    assert pair(starts, records) == [
        Viewing(starts[0], make_stop(1, 7)),
        Viewing(starts[1], make_stop(2, 5)),
        Viewing(starts[2], None),
    ]


def test_no_more_is_read_than_it_takes() -> None:
    """A day of long ago does not cost the whole log."""

    def records() -> Iterator[Record]:
        yield from (make_start(1), make_start(2), make_stop(1, 8), make_stop(2, 9))
        raise AssertionError("read too far")

    assert all(viewing.stop for viewing in pair([make_start(1), make_start(2)], records()))
    assert pair([], records()) == []
