"""RTSP messages: cut from a stream however it arrives, refused when they break the rules."""

from __future__ import annotations

import pytest

from camrelay.errors import BadRtspMessage
from camrelay.simulate.rtsp import (
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    Interleaved,
    Reader,
    Request,
    Transport,
    parse_transport,
    response,
)

URL = "rtsp://127.0.0.1:8554/cam1"

#: (wire, messages)
CASES = [
    (
        f"OPTIONS {URL} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode(),
        [Request("OPTIONS", URL, "RTSP/1.0", {"cseq": "1"})],
    ),
    (
        f"\r\n\r\nPLAY {URL} RTSP/1.0\r\ncseq:2\r\nUser-Agent:  a: b \r\nX:\r\n\r\n".encode(),
        [Request("PLAY", URL, "RTSP/1.0", {"cseq": "2", "user-agent": "a: b", "x": ""})],
    ),
    (
        f"SET_PARAMETER {URL} RTSP/2.0\r\nContent-Length: 4\r\n\r\na: b".encode(),
        [Request("SET_PARAMETER", URL, "RTSP/2.0", {"content-length": "4"}, b"a: b")],
    ),
    (b"$\x01\x00\x03abc", [Interleaved(1, b"abc")]),
    (b"$\x00\x00\x00", [Interleaved(0, b"")]),
    (
        b"$\x01\x00\x02\r\nOPTIONS * RTSP/1.0\r\n\r\n$\x03\x00\x01$",
        [Interleaved(1, b"\r\n"), Request("OPTIONS", "*", "RTSP/1.0", {}), Interleaved(3, b"$")],
    ),
]


@pytest.mark.parametrize(("wire", "messages"), CASES)
def test_messages_arrive_whole(wire: bytes, messages: list[object]) -> None:
    """In one piece."""
    assert messages == Reader().feed(wire)


@pytest.mark.parametrize(("wire", "messages"), CASES)
def test_messages_arrive_byte_by_byte(wire: bytes, messages: list[object]) -> None:
    """Nothing comes out before its last byte is in."""
    reader = Reader()

    assert messages == [m for at in range(len(wire)) for m in reader.feed(wire[at : at + 1])]


@pytest.mark.parametrize(("wire", "messages"), CASES)
def test_what_follows_waits_for_its_rest(wire: bytes, messages: list[object]) -> None:
    """The begin of a next message neither disturbs nor is lost."""
    reader = Reader()

    assert messages == reader.feed(wire + b"OPTIONS * RT")
    assert [Request("OPTIONS", "*", "RTSP/1.0", {})] == reader.feed(b"SP/1.0\r\n\r\n")


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\r\n\r\n",
        b"hello\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"options * RTSP/1.0\r\n\r\n",
        b"OPTIONS  RTSP/1.0\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nno colon\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\n: no name\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nA: 1\r\n folded\r\n\r\n",
        b"OPTIONS " + b"a" * 3000 + b" RTSP/1.0\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nContent-Length: -1\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nContent-Length: x\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1),
        b"A" * MAX_HEAD_BYTES,
        b"OPTIONS * RTSP/1.0\r\nA: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n",
    ],
)
def test_what_is_no_rtsp_is_refused(wire: bytes) -> None:
    """Also what has no end within the limits."""
    with pytest.raises(BadRtspMessage):
        Reader().feed(wire)


def test_a_long_head_within_the_limit_is_accepted() -> None:
    """The limit is on the whole head, not on one line."""
    head = b"OPTIONS * RTSP/1.0\r\nA: " + b"a" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n"

    assert len(Reader().feed(head)) == 1


def test_responses() -> None:
    """Status line, headers, and Content-Length only in front of a body."""
    assert response(404, [("CSeq", "3")]) == b"RTSP/1.0 404 Not Found\r\nCSeq: 3\r\n\r\n"
    assert response(200, [], b"hi") == b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    ("header", "transport"),
    [
        ("RTP/AVP/TCP;unicast;interleaved=0-1", Transport("tcp", 0, 1)),
        ("RTP/AVP/TCP; unicast; interleaved=4-5 ;mode=play", Transport("tcp", 4, 5)),
        ("RTP/AVP/TCP;unicast", Transport("tcp", 0, 1)),
        ("RTP/AVP/TCP;interleaved=6", Transport("tcp", 6, 7)),
        ("RTP/AVP;unicast;client_port=5000-5001", Transport("udp", 5000, 5001)),
        ("RTP/AVP/UDP;unicast;client_port=5000;destination=192.0.2.1", Transport("udp", 5000, 5001)),
        ("RTP/SAVP;client_port=1-2,RTP/AVP;multicast,RTP/AVP/TCP;interleaved=2-3", Transport("tcp", 2, 3)),
        ("RTP/AVP;unicast;client_port=7000-7001,RTP/AVP/TCP;interleaved=0-1", Transport("udp", 7000, 7001)),
        ("", None),
        ("RTP/AVP;unicast", None),
        ("RTP/AVP;multicast;client_port=5000-5001", None),
        ("RTP/AVP;unicast;client_port=0-1", None),
        ("RTP/AVP;unicast;client_port=65535", None),
        ("RTP/AVP;unicast;client_port=99999-5", None),
        ("RTP/AVP;unicast;client_port=5-5", None),
        ("RTP/AVP;unicast;client_port=a-b", None),
        ("RTP/AVP/TCP;interleaved=255", None),
        ("RTP/AVP/TCP;interleaved=0-256", None),
        ("RAW/RAW/UDP;unicast;client_port=1-2", None),
    ],
)
def test_the_first_transport_we_can_serve_is_taken(header: str, transport: Transport | None) -> None:
    """Multicast and secure profiles are not ours; ports and channels have their ranges."""
    assert transport == parse_transport(header)
