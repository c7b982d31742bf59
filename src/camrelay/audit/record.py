"""Access events as lines of the log: one event, one line, one spelling.

The registry is closed: a line whose type, fields or spelling it does not know is no record. Lines are ASCII
JSON, fields in the order of AccessEvent, defaults left out; every character that could act on a terminal or
end a line is escaped, so nothing a viewer sends can look like a second record.
"""

from __future__ import annotations

import enum
import re

import msgspec

from camrelay.errors import BadRecord
from camrelay.model import AccessEvent, EventType


class Durability(enum.StrEnum):
    """What a record is worth when the log is in trouble. The values are metric labels."""

    #: Durable before what it tells takes effect.
    BEFORE_EFFECT = "A"
    #: Written as soon as possible; waits out any trouble in the queue.
    SOON = "B"
    #: Given up first when the queue grows.
    DROPPABLE = "C"


class Rule(msgspec.Struct, frozen=True):
    """What a type of event may say beside its type, time, camera and outcome."""

    durability: Durability
    fields: frozenset[str]


_VIEWING = frozenset({"protocol", "viewing", "session", "subject"})
_CLIENT = frozenset({"ip_prefix", "agent"})
_ALWAYS = frozenset({"type", "ts_us", "camera", "outcome"})

REGISTRY = {
    EventType.START: Rule(Durability.BEFORE_EFFECT, _VIEWING | _CLIENT),
    EventType.STOP: Rule(Durability.SOON, _VIEWING | {"reason", "bytes_sent", "duration_ms"}),
    EventType.DENY: Rule(
        Durability.DROPPABLE, _CLIENT | {"protocol", "session", "subject", "reason", "count"}
    ),
    EventType.NODE_START: Rule(Durability.SOON, frozenset()),
    EventType.NODE_STOP: Rule(Durability.SOON, frozenset()),
}

OUTCOMES = frozenset({"allow", "deny", "error", "info"})

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(AccessEvent)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def serialize(event: AccessEvent) -> bytes:
    """The line of an event, its newline included."""
    assert _is_registered(event), f"{event.type} does not say that"
    try:
        return _encode(event)
    except UnicodeEncodeError:
        # A lone surrogate, from a header or path that was no UTF-8.
        return _encode(_without_surrogates(event))


def parse(line: bytes) -> AccessEvent:
    """The event of a line; BadRecord unless `serialize` would write exactly that line for it."""
    try:
        event = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadRecord("not an access record") from None
    if not _is_registered(event) or _encode(event) != line:
        raise BadRecord("not an access record in its canonical form")
    return event


def durability(event: AccessEvent) -> Durability:
    """What the event is worth when the log is in trouble."""
    return REGISTRY[event.type].durability


def _encode(event: AccessEvent) -> bytes:
    line = _ENCODER.encode(event)
    if not line.isascii() or b"\x7f" in line:
        line = _UNPRINTABLE.sub(_escape, line.decode()).encode()
    return line + b"\n"


def _is_registered(event: AccessEvent) -> bool:
    if event.outcome not in OUTCOMES:
        return False
    return not any(getattr(event, name) != default for name, default in _FOREIGN[event.type])


def _escape(match: re.Match[str]) -> str:
    utf16 = match[0].encode("utf-16-be")
    return "".join(f"\\u{utf16[i]:02x}{utf16[i + 1]:02x}" for i in range(0, len(utf16), 2))


def _without_surrogates(event: AccessEvent) -> AccessEvent:
    texts = {
        name: value.encode(errors="replace").decode()
        for name in event.__struct_fields__
        if type(value := getattr(event, name)) is str
    }
    return msgspec.structs.replace(event, **texts)


#: Per type, the fields it may not set, each with the value that means unset.
_FOREIGN = {
    type: tuple(
        (field.name, field.default)
        for field in msgspec.structs.fields(AccessEvent)
        if field.name not in rule.fields | _ALWAYS
    )
    for type, rule in REGISTRY.items()
}
