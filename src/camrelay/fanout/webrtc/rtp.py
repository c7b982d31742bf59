"""Access units as RTP packets: RFC 6184 packetization mode 1, or RFC 7798, on RFC 3550 headers.

An access unit is cut once for all viewers. What is cut has no numbers yet; numbering it (`Packets`) costs
nothing, so a viewer that cannot share the camera's numbers gets its own over the same payloads.

Sequence numbers are extended here: they never wrap, the 16 bits on the wire are their tail and what is above
is the rollover counter of SRTP (RFC 3711 §3.3.1). Timestamps do not wrap either; headers take 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from struct import Struct

import msgspec

from camrelay.errors import BadNalUnit
from camrelay.fanout.webrtc import h265
from camrelay.model import AccessUnit, Codec, VideoParams

#: Every packet of a fragmented NAL unit but the last has this payload, so that one sendmsg can carry them all
#: (UDP_SEGMENT wants equal sizes). With a 20-byte RTP header, a 16-byte tag, UDP and IPv6 that is 1272 bytes,
#: which fits the smallest MTU that IPv6 allows, 1280, also that of many tunnels.
PAYLOAD_BYTES = 1188

#: Packets in a run, and in a burst: one sendmsg takes no more than 64 segments and 64 KiB (UDP_SEGMENT).
RUN_PACKETS = 53

#: No camera sends this many NAL units in one access unit; more is damage (H.264 allows one per macroblock).
MAX_NAL_UNITS = 1024

Bytes = bytes | memoryview

_STAP_A, _FU_A = 24, 28
_FU_START, _FU_END = 0x80, 0x40

_HEADER = Struct("!BBHII")
_EXTENSION = Struct("!HHI")
#: RFC 8285 §4.2: the profile word of one-byte header extensions.
_ONE_BYTE_EXTENSIONS = 0xBEDE


class Packets(msgspec.Struct, frozen=True, gc=False):
    """One access unit as RTP packets, numbered.

    `first` is the extended sequence number of the first packet and `timestamp` is in ticks of 90 kHz, both
    without wrap. `send_time` is the 24-bit abs-send-time that all of its packets carry.
    """

    first: int
    timestamp: int
    send_time: int
    payloads: tuple[bytes, ...]
    is_key: bool

    @property
    def end(self) -> int:
        """The extended sequence number after the last packet."""
        return self.first + len(self.payloads)

    def renumbered(self, first: int, timestamp: int, send_time: int) -> Packets:
        """The same payloads under other numbers."""
        return Packets(first, timestamp, send_time, self.payloads, self.is_key)


class PacketFormat(msgspec.Struct, frozen=True):
    """What the headers of a viewer's packets have in common; viewers with equal formats share them.

    `abs_send_time_id` is the negotiated id of that header extension, 0 without it.
    """

    ssrc: int
    payload_type: int
    abs_send_time_id: int = 0

    @property
    def header_bytes(self) -> int:
        return 20 if self.abs_send_time_id else 12

    def header(self, packets: Packets, index: int) -> bytes:
        """The RTP header of the packet at `index` (RFC 3550 §5.1); the last one carries the marker."""
        marker = 0x80 if index == len(packets.payloads) - 1 else 0
        return self.raw_header(packets.first + index, packets.timestamp, marker, packets.send_time)

    def raw_header(self, sequence: int, timestamp: int, marker: int, send_time: int) -> bytes:
        """A header out of its fields; `marker` is 0x80 or 0."""
        header = _HEADER.pack(
            0x90 if self.abs_send_time_id else 0x80,
            marker | self.payload_type,
            sequence & 0xFFFF,
            timestamp & 0xFFFFFFFF,
            self.ssrc,
        )
        if not self.abs_send_time_id:
            return header
        # One element of three bytes, which the low nibble states as two (RFC 8285 §4.2).
        element = (self.abs_send_time_id << 4 | 2) << 24 | send_time
        return header + _EXTENSION.pack(_ONE_BYTE_EXTENSIONS, 1, element)


def refusal(params: VideoParams) -> str:
    """Why no browser can play such a camera over WebRTC; "" when some can."""
    # libwebrtc shows pictures in the order in which they are sent.
    return "browsers cannot play this camera's B-frames over WebRTC; use HLS" if params.reorder_depth else ""


def abs_send_time(now: float) -> int:
    """Seconds as the 6.18 fixed-point value of the abs-send-time extension, which wraps every 64 s."""
    return int(now * (1 << 18)) & 0xFFFFFF


def cut(au: AccessUnit) -> tuple[bytes, ...]:
    """Cuts an access unit into RTP payloads.

    Neighbouring small NAL units are aggregated (STAP-A, RFC 6184 §5.7.1), large ones fragmented (FU-A, §5.8);
    those of H.265 as RFC 7798 has it.
    A key frame starts with its parameter sets: a decoder that joins has nothing else to learn them from.

    Raises:
        BadNalUnit: the lengths in `au.data` do not add up.
    """
    is_h265 = au.params.codec is Codec.H265
    aggregate, fragments = (h265.aggregate, _h265_fragments) if is_h265 else (_aggregate, _fragments)
    most = PAYLOAD_BYTES - (h265.HEADER_BYTES if is_h265 else 1)
    payloads: list[bytes] = []
    small: list[Bytes] = []
    room = most
    params = au.params
    in_band: tuple[Bytes, ...] = (*params.vps, *params.sps, *params.pps) if au.is_key else ()

    def flush() -> None:
        """One small NAL unit goes as it is, several as an aggregate."""
        nonlocal room
        if small:
            payloads.append(bytes(small[0]) if len(small) == 1 else aggregate(small))
        small.clear()
        room = most

    for nal_unit in chain(in_band, nal_units(au.data)):
        if len(nal_unit) > PAYLOAD_BYTES:
            flush()
            payloads += fragments(nal_unit)
            continue
        if 2 + len(nal_unit) > room:
            flush()
        small.append(nal_unit)
        room -= 2 + len(nal_unit)
    flush()
    return tuple(payloads)


def nal_units(data: bytes) -> Iterator[memoryview]:
    """The NAL units of AVCC data, empty ones left out.

    Raises:
        BadNalUnit: a length points past the end, or there are more than MAX_NAL_UNITS.
    """
    view = memoryview(data)
    at = count = 0
    while at < len(view):
        start = at + 4
        at = start + int.from_bytes(view[at:start])
        count += 1
        if at > len(view) or start > len(view) or count > MAX_NAL_UNITS:
            raise BadNalUnit("the NAL unit lengths of an access unit do not add up")
        if at > start:
            yield view[start:at]


def _aggregate(small: list[Bytes]) -> bytes:
    """A STAP-A, as important as its most important NAL unit (RFC 6184 §5.7)."""
    importance = max(nal_unit[0] & 0x60 for nal_unit in small)
    parts: list[Bytes] = [bytes((importance | _STAP_A,))]
    for nal_unit in small:
        parts += (len(nal_unit).to_bytes(2), nal_unit)
    return b"".join(parts)


def _fragments(nal_unit: Bytes) -> Iterator[bytes]:
    """Fragments of equal size but the last; the NAL unit's own header travels in the FU header."""
    indicator = nal_unit[0] & 0xE0 | _FU_A
    kind = nal_unit[0] & 0x1F
    step = PAYLOAD_BYTES - 2
    for at in range(1, len(nal_unit), step):
        flags = (_FU_START if at == 1 else 0) | (_FU_END if at + step >= len(nal_unit) else 0)
        yield bytes((indicator, flags | kind)) + nal_unit[at : at + step]


def _h265_fragments(nal_unit: Bytes) -> Iterator[bytes]:
    return h265.fragments(nal_unit, PAYLOAD_BYTES)


def runs(packets: Packets) -> list[tuple[int, int]]:
    """The [start, stop) ranges that are encrypted and sent in one go each."""
    count = len(packets.payloads)
    return [(start, min(start + RUN_PACKETS, count)) for start in range(0, count, RUN_PACKETS)]
