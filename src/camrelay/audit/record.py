"""Records: the lines of the log. One event, one line, one spelling, and nobody's name.

The registry is closed: a line whose type, fields or spelling it does not know is no record. Lines are ASCII
JSON, fields in the order of Record, defaults left out; every character that could act on a terminal or
end a line is escaped, so nothing a viewer sends can look like a second record.
"""

from __future__ import annotations

import enum
import re

import msgspec

from camrelay.errors import BadRecord
from camrelay.model import EventType


class Durability(enum.StrEnum):
    """What a record is worth when the log is in trouble. The values are metric labels."""

    #: Durable before what it tells takes effect.
    BEFORE_EFFECT = "A"
    #: Written as soon as possible; waits out any trouble in the queue.
    SOON = "B"
    #: Given up first when the queue grows.
    DROPPABLE = "C"


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a line says of an record.

    `person` is a pseudonym of the month, "" for a visitor without a name. `commitment`, in hexadecimal, is to
    what is kept of the person beside the log under `id`.
    """

    type: EventType
    ts_us: int
    camera: str
    outcome: str
    protocol: str = ""
    viewing: str = ""
    session: str = ""
    person: str = ""
    reason: str = ""
    bytes_sent: int = 0
    duration_ms: int = 0
    count: int = 1
    id: str = ""
    commitment: str = ""


class Rule(msgspec.Struct, frozen=True):
    """What a type of event may say beside its type, time, camera and outcome."""

    durability: Durability
    fields: frozenset[str]


_VIEWING = frozenset({"protocol", "viewing", "session", "person"})
_SIDECAR = frozenset({"id", "commitment"})
_ALWAYS = frozenset({"type", "ts_us", "camera", "outcome"})

REGISTRY = {
    EventType.START: Rule(Durability.BEFORE_EFFECT, _VIEWING | _SIDECAR),
    EventType.STOP: Rule(Durability.SOON, _VIEWING | {"reason", "bytes_sent", "duration_ms"}),
    EventType.DENY: Rule(
        Durability.DROPPABLE, _SIDECAR | {"protocol", "session", "person", "reason", "count"}
    ),
    EventType.NODE_START: Rule(Durability.SOON, frozenset()),
    EventType.NODE_STOP: Rule(Durability.SOON, frozenset()),
}

OUTCOMES = frozenset({"allow", "deny", "error", "info"})

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Record)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def serialize(record: Record) -> bytes:
    """The line of an event, its newline included."""
    assert _is_registered(record), f"{record.type} does not say that"
    try:
        return _encode(record)
    except UnicodeEncodeError:
        # A lone surrogate, from a header or path that was no UTF-8.
        return _encode(_without_surrogates(record))


def parse(line: bytes) -> Record:
    """The event of a line; BadRecord unless `serialize` would write exactly that line for it."""
    try:
        record = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadRecord("not an access record") from None
    if not _is_registered(record) or _encode(record) != line:
        raise BadRecord("not an access record in its canonical form")
    return record


def durability(type: EventType) -> Durability:
    """What an event of a type is worth when the log is in trouble."""
    return REGISTRY[type].durability


def _encode(record: Record) -> bytes:
    line = _ENCODER.encode(record)
    if not line.isascii() or b"\x7f" in line:
        line = _UNPRINTABLE.sub(_escape, line.decode()).encode()
    return line + b"\n"


def _is_registered(record: Record) -> bool:
    if record.outcome not in OUTCOMES:
        return False
    return not any(getattr(record, name) != default for name, default in _FOREIGN[record.type])


def _escape(match: re.Match[str]) -> str:
    utf16 = match[0].encode("utf-16-be")
    return "".join(f"\\u{utf16[i]:02x}{utf16[i + 1]:02x}" for i in range(0, len(utf16), 2))


def _without_surrogates(record: Record) -> Record:
    texts = {
        name: value.encode(errors="replace").decode()
        for name in record.__struct_fields__
        if type(value := getattr(record, name)) is str
    }
    return msgspec.structs.replace(record, **texts)


#: Per type, the fields it may not set, each with the value that means unset.
_FOREIGN = {
    type: tuple(
        (field.name, field.default)
        for field in msgspec.structs.fields(Record)
        if field.name not in rule.fields | _ALWAYS
    )
    for type, rule in REGISTRY.items()
}
