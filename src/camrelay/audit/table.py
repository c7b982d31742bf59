"""Records as a table for people and their programs: JSON or CSV.

A cell of a CSV file that begins like a formula is one to a spreadsheet, whoever wrote it: it gets an
apostrophe in front (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterable, Mapping

import msgspec

from camrelay.audit.people import Identity
from camrelay.audit.search import Found

Row = Mapping[str, str | int]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def row(found: Found, identity: Identity) -> Row:
    """A record with its place in the log, and with whom it is about as far as that is known."""
    fields = msgspec.to_builtins(found.record) | msgspec.to_builtins(identity)
    fields.pop("commitment", None)
    return {"time": utc(fields.pop("ts_us")), **fields, "day": found.day, "position": found.position}


def to_json(rows: Iterable[Row]) -> str:
    """A list of objects, one a line."""
    lines = ",\n".join(msgspec.json.encode(row).decode() for row in rows)
    return f"[\n{lines}\n]\n"


def to_csv(rows: Iterable[Row], columns: Iterable[str]) -> str:
    """A header and a line per row (RFC 4180); what a row does not say stays empty."""
    output = io.StringIO()
    names = list(columns)
    writer = csv.writer(output)
    writer.writerow(names)
    writer.writerows([_inert(row.get(name, "")) for name in names] for row in rows)
    return output.getvalue()


def utc(ts_us: int) -> str:
    """Microseconds of UTC as ISO 8601."""
    moment = datetime.datetime.fromtimestamp(ts_us // 1_000_000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ts_us % 1_000_000:06}Z"


def _inert(cell: str | int) -> str | int:
    return "'" + cell if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
