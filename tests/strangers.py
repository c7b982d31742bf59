"""What strangers' bytes meet first, and what such bytes look like: targets of fuzzing.py."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from aioice import stun as ice

from camrelay.errors import BadRtpPacket, BadStunMessage, ViewerError
from camrelay.fanout.webrtc.answer import write_answer
from camrelay.fanout.webrtc.ice import Agent, local_ufrag
from camrelay.fanout.webrtc.rtcp import goodbye, parse, sender_report
from camrelay.fanout.webrtc.sdp import choose, parse_offer
from camrelay.ingest.rtp import Depacketizer
from offers import CHROMIUM, H264, TRACK, TRANSPORT, offer

#: What one of them may cost.
LIMIT_S = 0.01

PASSWORD = "p" * 22

#: The camera's profile and level, of its SPS.
HIGH = bytes.fromhex("64001f")


def stun(data: bytes) -> None:
    """A datagram to the one UDP port."""
    with contextlib.suppress(BadStunMessage):
        local_ufrag(data)
    with contextlib.suppress(BadStunMessage):
        Agent("ours", PASSWORD, "theirs", 0.0).receive(data, ("192.0.2.7", 5000), 0.0)


def rtcp(data: bytes) -> None:
    """What a viewer reports, decrypted."""
    with contextlib.suppress(BadRtpPacket):
        parse(data)


def sdp(data: bytes) -> None:
    """A WHEP offer."""
    with contextlib.suppress(ViewerError):
        found = parse_offer(data)
        write_answer(found, choose(found, HIGH), TRANSPORT, TRACK)


def rtp(data: bytes) -> None:
    """Packets of a camera: for each a byte of its length, and one that says what its header does."""
    track, at, sequence, timestamp = Depacketizer(96), 0, 100, 0
    while at + 2 <= len(data):
        length, header = data[at], data[at + 1]
        payload = data[at + 2 : at + 2 + length]
        at += 2 + length
        sequence += 1 + (header & 0b11 == 0b11)
        timestamp += 3600 * (header >> 2 & 1)
        first = 0x80 if header & 0b1000 else header
        head = bytes((first, 96 | header & 0x80)) + (sequence & 0xFFFF).to_bytes(2) + timestamp.to_bytes(4)
        packet = head + bytes(4) + payload
        track.packet(packet, 0, len(packet))


def _checks() -> list[bytes]:
    """Connectivity checks as browsers send them, signed and not."""
    attributes = {"USERNAME": "ours:theirs", "PRIORITY": 1, "ICE-CONTROLLING": 7, "USE-CANDIDATE": None}
    message = ice.Message(ice.Method.BINDING, ice.Class.REQUEST, attributes=attributes)
    plain = bytes(message)
    message.add_message_integrity(PASSWORD.encode())
    return [plain, bytes(message)]


#: Each with what a run begins with, so that it need not find out what a message looks like.
TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "stun": (stun, _checks()),
    "rtcp": (
        rtcp,
        [
            sender_report(9, b"cam", now_us=1, timestamp=3, packets=4, octets=5),
            goodbye(9, b"cam"),
            bytes.fromhex("81cd0003000000010000000200640003"),
            bytes.fromhex("81ce0002000000010000000281c90007000000010000000200000000000000640000000000000000"),
        ],
    ),
    "sdp": (sdp, [CHROMIUM, offer(H264)]),
    "rtp": (
        rtp,
        [
            bytes((12, 0x88)) + b"\x41\x9a" + bytes(10),
            b"".join(bytes((12, 0x08)) + b"\x7c" + kind + bytes(10) for kind in (b"\x85", b"\x05", b"\x45")),
            bytes((12, 0x88)) + b"\x18\x00\x04\x67\x42\x00\x1f\x00\x02\x68\xce\x00",
        ],
    ),
}
