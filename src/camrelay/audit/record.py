"""Records: the lines of the log. One event, one line, one spelling, and nobody's name.

The registry is closed: a line whose type, fields or spelling it does not know is no record. Lines are ASCII
JSON, fields in the order of Record, defaults left out; every character that could act on a terminal or
end a line is escaped, so nothing a viewer sends can look like a second record.
"""

from __future__ import annotations

import enum
import re
from operator import attrgetter

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


class Retention(enum.StrEnum):
    """How long a record is kept: its option in the configuration is this with `_days` behind it."""

    #: Who watched what.
    VIEWINGS = "viewings"
    #: What was done with the record itself, and with the right to watch.
    ACTS = "acts"


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a line says of an event.

    `person` is a pseudonym of the month, "" for a visitor without a name; `about` is one of whom the event
    concerns. `commitment`, in hexadecimal, is to what is kept of the person beside the log under `id`.
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
    about: str = ""
    target: str = ""


class Rule(msgspec.Struct, frozen=True):
    """What a type of event may say beside its type, time, camera and outcome."""

    durability: Durability
    retention: Retention
    fields: frozenset[str]


_VIEWING = frozenset({"protocol", "viewing", "session", "person"})
_SIDECAR = frozenset({"id", "commitment"})
_ACT = frozenset({"person", "target"}) | _SIDECAR
_ALWAYS = frozenset({"type", "ts_us", "camera", "outcome"})

REGISTRY = {
    EventType.START: Rule(Durability.BEFORE_EFFECT, Retention.VIEWINGS, _VIEWING | _SIDECAR),
    EventType.STOP: Rule(
        Durability.SOON, Retention.VIEWINGS, _VIEWING | {"reason", "bytes_sent", "duration_ms"}
    ),
    EventType.DENY: Rule(
        Durability.DROPPABLE,
        Retention.VIEWINGS,
        _SIDECAR | {"protocol", "session", "person", "reason", "count"},
    ),
    EventType.NODE_START: Rule(Durability.SOON, Retention.VIEWINGS, frozenset()),
    EventType.NODE_STOP: Rule(Durability.SOON, Retention.VIEWINGS, frozenset()),
    EventType.READ: Rule(Durability.BEFORE_EFFECT, Retention.ACTS, _ACT | {"about", "count"}),
    EventType.ERASE: Rule(Durability.BEFORE_EFFECT, Retention.ACTS, _ACT | {"count"}),
    EventType.RESTRICT: Rule(Durability.BEFORE_EFFECT, Retention.ACTS, _ACT | {"about", "reason"}),
    EventType.HOLD_ADD: Rule(Durability.BEFORE_EFFECT, Retention.ACTS, _ACT | {"about"}),
    EventType.HOLD_REMOVE: Rule(Durability.BEFORE_EFFECT, Retention.ACTS, _ACT | {"about", "reason"}),
    EventType.PURGE: Rule(Durability.BEFORE_EFFECT, Retention.ACTS, _ACT | {"count"}),
    EventType.GAP: Rule(Durability.SOON, Retention.VIEWINGS, frozenset({"reason", "count"})),
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
    read, unset = _FOREIGN[record.type]
    return read(record) == unset


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


def _foreign(rule: Rule) -> tuple[attrgetter[tuple[object, ...]], tuple[object, ...]]:
    """What reads the fields that a type may not set, and what it reads when none is."""
    fields = [field for field in msgspec.structs.fields(Record) if field.name not in rule.fields | _ALWAYS]
    return attrgetter(*(field.name for field in fields)), tuple(field.default for field in fields)


_FOREIGN = {type: _foreign(rule) for type, rule in REGISTRY.items()}
