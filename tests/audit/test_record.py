"""Lines of the access log."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay.audit.record import OUTCOMES, REGISTRY, Durability, Record, durability, parse, serialize
from camrelay.errors import BadRecord
from camrelay.model import EventType

START = Record(
    type=EventType.START,
    ts_us=1_795_262_400_000_000,
    camera="door",
    outcome="allow",
    protocol="hls",
    viewing="v1",
    session="s1",
    person="a1",
    id="e1",
    commitment="c1",
)
START_LINE = (
    b'{"type":"stream.start","ts_us":1795262400000000,"camera":"door","outcome":"allow","protocol":"hls",'
    b'"viewing":"v1","session":"s1","person":"a1","id":"e1","commitment":"c1"}\n'
)
STOP_LINE = (
    b'{"type":"stream.stop","ts_us":1795262402500000,"camera":"door","outcome":"allow","protocol":"hls",'
    b'"viewing":"v1","session":"s1","person":"a1","reason":"client_closed","bytes_sent":123456,'
    b'"duration_ms":2500}\n'
)
DENY_LINE = b'{"type":"stream.deny","ts_us":1,"camera":"*","outcome":"deny","reason":"no_token","count":9}\n'
NODE_LINE = b'{"type":"node.start","ts_us":1,"camera":"","outcome":"info"}\n'


@pytest.mark.parametrize("line", [START_LINE, STOP_LINE, DENY_LINE, NODE_LINE])
def test_a_line_is_what_it_is(line: bytes) -> None:
    """The format on disk, byte for byte, in both directions."""
    assert serialize(parse(line)) == line
    assert parse(START_LINE) == START


VALUES: dict[str, Any] = {
    "type": st.sampled_from(list(EventType)),
    "outcome": st.sampled_from(sorted(OUTCOMES)),
    "ts_us": st.integers(0, 2**53),
    "bytes_sent": st.integers(0, 2**60),
    "duration_ms": st.integers(0, 2**40),
    "count": st.integers(1, 10**9),
}


@st.composite
def events(draw: st.DrawFn) -> Record:
    type = draw(VALUES["type"])
    names = {"ts_us", "camera", "outcome", *REGISTRY[type].fields}
    return Record(type=type, **{name: draw(VALUES.get(name, st.text())) for name in sorted(names)})


@given(events())
def test_every_event_is_one_printable_line_and_comes_back(event: Record) -> None:
    """Case 60: newlines, escapes, bidirectional marks and quotes in any field stay inside their string."""
    line = serialize(event)
    assert line.endswith(b"\n")
    assert all(0x20 <= byte <= 0x7E for byte in line[:-1])
    assert json.loads(line)["camera"] == event.camera
    assert parse(line) == event


@pytest.mark.parametrize(
    "text",
    [
        'a\n{"type":"stream.stop"}',
        "\x1b[2J\x1b]0;x\x07",
        "\x9b31m",
        "\x7f",
        "\u2028",
        "\u202e",
        "Дверь",
        "🎥",
    ],
)
def test_what_a_viewer_sends_cannot_act(text: str) -> None:
    """Case 60: every one of these is plain ASCII on disk and itself again when read."""
    line = serialize(msgspec.structs.replace(START, camera=text))
    assert line.count(b"\n") == 1
    assert parse(line).camera == text


def test_a_lone_surrogate_is_replaced() -> None:
    """What was no text in the request is a question mark on record, not an exception in the writer."""
    event = parse(serialize(msgspec.structs.replace(START, camera="a\udcffb\n")))
    assert event.camera == "a?b\n"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"\0" * 100,
        b"null\n",
        b"[]\n",
        START_LINE[:-1],
        START_LINE[:-2],
        START_LINE + b"\n",
        START_LINE + START_LINE,
        b" " + START_LINE,
        START_LINE.replace(b'"camera":"door"', b'"camera": "door"'),
        START_LINE.replace(b'"camera":"door"', b'"camera":"d\\u006for"'),
        START_LINE.replace(b'"camera":"door"', b'"camera":"d\xc3\xb6r"'),
        START_LINE.replace(b'"camera":"door"', b'"camera":"d\xffr"'),
        START_LINE.replace(b'"camera":"door"', b'"camera":"door","camera":"door"'),
        START_LINE.replace(b'"camera":"door",', b""),
        START_LINE.replace(b'"camera":"door"', b'"camera":"door","extra":1'),
        START_LINE.replace(b'"camera":"door","outcome":"allow"', b'"outcome":"allow","camera":"door"'),
        START_LINE.replace(b"stream.start", b"stream.beat"),
        START_LINE.replace(b'"allow"', b'"maybe"'),
        START_LINE.replace(b'"id":"e1"', b'"count":1,"id":"e1"'),
        START_LINE.replace(b'"id":"e1"', b'"reason":"expired","id":"e1"'),
        NODE_LINE.replace(b'"info"', b'"info","person":"a1"'),
    ],
)
def test_one_event_has_one_spelling(line: bytes) -> None:
    """Whatever `serialize` would not write is no record: other order, spacing, escapes or fields."""
    with pytest.raises(BadRecord):
        parse(line)


def test_an_event_says_what_its_type_may_say() -> None:
    """A programming mistake is caught before it is on disk."""
    with pytest.raises(AssertionError):
        serialize(msgspec.structs.replace(START, bytes_sent=1))
    with pytest.raises(AssertionError):
        serialize(msgspec.structs.replace(START, outcome="perhaps"))


def test_every_type_has_its_rule() -> None:
    """A start is waited for, a stop is not lost, a denial may be."""
    assert set(REGISTRY) == set(EventType)
    assert durability(EventType.START) is Durability.BEFORE_EFFECT
    assert durability(EventType.STOP) is Durability.SOON
    assert durability(EventType.DENY) is Durability.DROPPABLE
