"""Viewings: the starts and stops of the record, joined again into who watched from when to when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from camrelay.audit.record import Record
from camrelay.model import EventType


class Viewing(msgspec.Struct, frozen=True):
    """One viewing; `stop` is None while it runs."""

    start: Record
    stop: Record | None


def pair(starts: Sequence[Record], records: Iterable[Record]) -> list[Viewing]:
    """The viewings that began so, in the same order.

    Args:
        records: the log from the first of them on; no more of it is taken than finding every stop takes.
    """
    open_ids = {start.viewing for start in starts}
    stops: dict[str, Record] = {}
    for record in records if open_ids else ():
        if record.type is EventType.STOP and record.viewing in open_ids:
            stops[record.viewing] = record
            open_ids.remove(record.viewing)
            if not open_ids:
                break
    return [Viewing(start, stops.get(start.viewing)) for start in starts]
