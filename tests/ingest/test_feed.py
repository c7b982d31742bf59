from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import PARAMS
from camrelay import errors
from camrelay.errors import BadFeedMessage
from camrelay.ingest.feed import (
    END_REASONS,
    MAX_MESSAGE_BYTES,
    Decoder,
    Dropped,
    Ended,
    Message,
    Opened,
    Params,
    Sound,
    Start,
    Stop,
    Unit,
    encode,
)
from camrelay.ingest.target import Target

MESSAGES: tuple[Message, ...] = (
    Start(1, "10.0.0.1", 554, "cam.lan:554", "/?token=secret", False, "user", "secret", "tcp"),
    Opened(1),
    Params(1, PARAMS),
    Unit(1, True, 2**40, 1_700_000_000_000_000, b"\x00\x00\x00\x01\x65"),
    Unit(1, False, None, 1_700_000_000_040_000, b""),
    Unit(2**32 - 1, False, -3600, 0, bytes(100_000)),
    Sound(1, 2**32 - 1, 5, 1024, b"sound"),
    Sound(1, 7, None, 160, b""),
    Dropped(1, 7, "backlog"),
    Stop(1),
    Ended(1, "interrupted"),
)
BYTES = b"".join(encode(message) for message in MESSAGES)


def test_whole() -> None:
    """Everything that went in comes out, in order."""
    assert list(MESSAGES) == Decoder().feed(BYTES)


def test_byte_by_byte() -> None:
    """A message comes out with its last byte, and not before."""
    decoder = Decoder()
    data = encode(MESSAGES[2]) + encode(MESSAGES[3])
    found = [decoder.feed(data[i : i + 1]) for i in range(len(data))]

    assert [MESSAGES[2]] == found[len(encode(MESSAGES[2])) - 1]
    assert [MESSAGES[3]] == found[-1]
    assert sum(len(messages) for messages in found) == 2


@pytest.mark.parametrize("size", [1, 3, 17, 4096, 65_536])
def test_in_pieces(size: int) -> None:
    """Pieces of any size, with the beginning of the next message trailing."""
    decoder = Decoder()
    data = BYTES + BYTES[:10]

    found = [m for i in range(0, len(data), size) for m in decoder.feed(data[i : i + size])]

    assert list(MESSAGES) == found


@given(st.lists(st.integers(1, 2000), max_size=20))
def test_any_pieces(sizes: list[int]) -> None:
    """Where the stream is cut makes no difference."""
    decoder = Decoder()
    data, found = BYTES, []
    for size in sizes:
        found += decoder.feed(data[:size])
        data = data[size:]

    assert list(MESSAGES) == found + decoder.feed(data)


def test_an_empty_piece_changes_nothing() -> None:
    """Nothing in, nothing out."""
    decoder = Decoder()

    assert decoder.feed(b"") == []
    assert [MESSAGES[0]] == decoder.feed(encode(MESSAGES[0]))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(struct.pack(">IB", MAX_MESSAGE_BYTES + 1, 1), id="over the limit"),
        pytest.param(struct.pack(">IB", 1, 2) + b"x", id="sound without a whole head"),
        pytest.param(struct.pack(">IB", 1, 3) + b"x", id="unknown kind"),
        pytest.param(struct.pack(">IB", 20, 1) + bytes(20), id="unit without a whole head"),
        pytest.param(struct.pack(">IB", 3, 0) + b"\xc1\xc1\xc1", id="no MessagePack"),
        pytest.param(
            struct.pack(">IB", 9, 0) + msgspec.msgpack.encode(["nonsens", 1])[:9], id="unknown message"
        ),
        pytest.param(struct.pack(">IB", 5001, 0) + b"\x91" * 5000 + b"\xc0", id="nested too deep"),
        pytest.param(struct.pack(">IB", 4, 0) + b"\x92\xa2\x80\x80", id="no UTF-8"),
        pytest.param(encode(Ended(1, "my own words")), id="reason that is no code"),
        pytest.param(encode(Dropped(1, 0, "backlog")), id="value out of range"),
        pytest.param(encode(Opened(2**32)), id="attempt out of range"),
    ],
)
def test_refuses_what_is_no_feed(data: bytes) -> None:
    """The error is BadFeedMessage, whatever is wrong."""
    with pytest.raises(BadFeedMessage):
        Decoder().feed(data)


def test_refuses_to_send_what_would_be_refused() -> None:
    """The limit holds on both ends."""
    with pytest.raises(BadFeedMessage, match="bytes"):
        encode(Unit(1, True, 0, 0, bytes(MAX_MESSAGE_BYTES)))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing but BadFeedMessage leaves."""
    try:
        Decoder().feed(struct.pack(">IB", len(data), 0) + data)
        Decoder().feed(data)
    except BadFeedMessage:
        pass


def test_a_start_does_not_show_what_it_holds() -> None:
    """It may end up in tracebacks and logs, and its password must not."""
    assert repr(MESSAGES[0]) == "Start(1)"


def test_a_start_names_whom_to_dial() -> None:
    """All that the client of a worker needs to know."""
    start = Start(1, "10.0.0.1", 322, "cam.lan:322", "/live", True, "user", "secret", "tcp", "0a" * 32)

    assert start.camera == Target(
        "10.0.0.1", 322, "cam.lan:322", "/live", "user", "secret", is_tls=True, tls_fingerprint="0a" * 32
    )


def test_end_reasons_are_the_codes_of_what_can_happen_to_a_camera() -> None:
    """What the page, the metrics and the log show is one closed list."""
    assert {"source_failed", "unreachable", "interrupted", "worker_lost", "egress_denied"} <= END_REASONS
    assert errors.AccessDenied.code not in END_REASONS
