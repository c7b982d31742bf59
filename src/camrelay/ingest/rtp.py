"""RTP packets of one track to access units (RFC 3550 §5), of H.264 (RFC 6184) where nothing else is said.

Rules:

- A marker ends an access unit, and so does another timestamp: cameras forget the one or the other.
- An access unit without a coded picture is no access unit: what cameras send apart (parameter sets, SEI)
  belongs to the picture that follows.
- Nothing incomplete comes out. Where packets are missing, an access unit without NAL units says so.
- Every packet costs a few comparisons and one slice: this runs a thousand times a second and camera.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from camrelay.errors import BadNalUnit
from camrelay.ingest.h264 import CODED, MAX_ACCESS_UNIT_BYTES, separated

_HEADER_BYTES = 12
_unpack_header = struct.Struct(">BBHII").unpack_from
#: "$" and channel, length, version and payload type, number, timestamp with SSRC, FU indicator with header.
_FRAGMENT = struct.Struct(">HHHHQH")
_unpack_fragment = _FRAGMENT.unpack_from

_STAP_A = 24
_FU_A = 28
#: The FU indicator's type, and the first bit of the FU header: not the first fragment of its NAL unit.
_FRAGMENT_MASK, _GOES_ON = 0x1F80, _FU_A << 8
#: Of a packet that holds a fragment: headers of RTP and FU-A.
_LEAST_FRAGMENT_BYTES = _HEADER_BYTES + 2
#: STAP-B, MTAP16, MTAP24 and FU-B belong to the interleaved mode, which nobody asked for.
_INTERLEAVED_MODE = frozenset({25, 26, 27, 29})


_RTCP = range(200, 208)


class RtpUnit(NamedTuple):
    """One access unit as it came: NAL units, and the camera's timestamp in ticks of 90 kHz, 32 bits.

    Without NAL units it stands for whatever was lost here.
    """

    timestamp: int
    nal_units: Sequence[bytes]


class Depacketizer:
    """Puts the packets of one track together.

    Attributes:
        finished: what is complete; whoever uses it empties it.
        ssrc: of the track, None before the first packet.
        first, expected: the first and the next sequence number, extended beyond 16 bits (RFC 3550 §6.4.1).
        lost: packets that never came.
    """

    def __init__(self, payload_type: int) -> None:
        self.finished: list[RtpUnit] = []
        self.ssrc: int | None = None
        self.first = 0
        self.expected = 0
        self.lost = 0
        self._payload_type = payload_type
        self._timestamp: int | None = None
        self._nal_units: list[bytes] = []
        #: The fragments of a NAL unit that is not complete.
        self._fragments: list[bytes] = []
        self._room = MAX_ACCESS_UNIT_BYTES
        #: The next packet counts only if a picture can begin with it.
        self._must_begin = True
        self._is_damaged = False
        self._trusts_marker = True
        self._last_timestamp: int | None = None
        self._stray: int | None = None

    def packet(self, data: bytes, begin: int, end: int) -> None:
        """Takes in the RTP packet that is data[begin:end]; what is no RTP packet is passed over."""
        at = begin + _HEADER_BYTES
        if end < at:
            return
        first, second, sequence, timestamp, ssrc = _unpack_header(data, begin)
        if first != 0x80:
            if first >> 6 != 2:
                return
            at, end = payload_range(data, begin, end)
        is_next = sequence == self.expected & 0xFFFF and ssrc == self.ssrc
        # RTCP on the wrong channel has a length where the sequence number would be.
        if not is_next and (second in _RTCP or not self._follow(sequence, ssrc)):
            return
        self.expected += 1
        marker = second ^ self._payload_type
        if marker & 0x7F or at >= end:
            return
        if timestamp != self._timestamp:
            self._turn(timestamp, self._begins_picture(data, at, end))
        if self._fragments and (fragment := self._goes_on(data, at, end)) is not None:
            # What most packets are: a fragment that goes on.
            self._fragments.append(fragment)
            self._room -= end - begin
        elif not self._is_damaged:
            self._take(data, at, end)
        if (marker and self._trusts_marker) or self._room < 0:
            self._finish()

    def fragments(self, data: bytes, at: int, head: int) -> int:
        """Takes in the interleaved packets from `at` on, as long as each is just one more fragment.

        That is what most of them are, and all that `packet` would do with them. So this does the least. The
        last fragment of a picture is the last one here.

        Args:
            head: "$" and the channel, as a number of 16 bits (RFC 2326 §10.12).

        Returns:
            Where something else begins, or something that is not all there.
        """
        fragments = self._fragments
        if not fragments:
            return at
        begin, expected, marker, size = at, self.expected, False, len(data)
        flags, origin = 0x8080 | self._payload_type, (self._timestamp or 0) << 32 | (self.ssrc or 0)
        while at + _FRAGMENT.size <= size and not marker:
            found, length, first, sequence, source, kind = _unpack_fragment(data, at)
            end = at + 4 + length
            if (
                source != origin
                or sequence != expected & 0xFFFF
                or first | 0x80 != flags
                or kind & _FRAGMENT_MASK != _GOES_ON
                or found != head
                or length < _LEAST_FRAGMENT_BYTES
                or end > size
            ):
                break
            fragments.append(data[at + 18 : end])
            expected += 1
            at = end
            marker = first == flags
        self.expected = expected
        self._room -= at - begin
        if marker and self._trusts_marker:
            self._finish()
        return at

    def _turn(self, timestamp: int, begins: bool) -> None:
        """The packets of another picture begin."""
        self._finish()
        self._timestamp = timestamp
        self._is_damaged = self._must_begin and not begins
        self._must_begin = False

    def _spend(self, payload_bytes: int) -> None:
        self._room -= payload_bytes + _HEADER_BYTES

    # What differs between codecs.

    def _goes_on(self, data: bytes, at: int, end: int) -> bytes | None:
        """What a fragment has that is not the first of its NAL unit, None of anything else."""
        if at + 1 < end and data[at] & 0x1F == _FU_A and data[at + 1] < 0x80:
            return data[at + 2 : end]
        return None

    def _begins_picture(self, data: bytes, at: int, end: int) -> bool:
        return begins_picture(data, at, end)

    def _is_coded(self, nal_unit: bytes) -> bool:
        return nal_unit[0] & 0x1F in CODED

    def _is_first_slice(self, coded: bytes) -> bool:
        return len(coded) > 1 and coded[1] >= 0x80

    def _take(self, data: bytes, at: int, end: int) -> None:
        self._spend(end - at)
        head = data[at]
        kind = head & 0x1F
        if kind == _FU_A:
            fragment = data[at + 1] if at + 1 < end else 0
            if not fragment & 0x80:
                self._lose()
                return
            self._close()
            self._fragments = [bytes((head & 0xE0 | fragment & 0x1F,)), data[at + 2 : end]]
        elif kind == _STAP_A:
            self._close()
            self._aggregate(data, at + 1, end)
        elif kind in _INTERLEAVED_MODE:
            self._lose()
        else:
            self._close()
            self._nal_units.append(data[at:end])

    def _aggregate(self, data: bytes, at: int, end: int) -> None:
        """NAL units behind 16-bit sizes (RFC 6184 §5.7.1, RFC 7798 §4.4.2)."""
        while at < end:
            begin = at + 2
            at = begin + int.from_bytes(data[at:begin], "big")
            if at > end or at == begin:
                self._lose()
                return
            self._nal_units.append(data[begin:at])

    def _close(self) -> None:
        """The next NAL unit begins, or the picture ends: whether an end bit was set does not matter."""
        if self._fragments:
            self._nal_units.append(b"".join(self._fragments))
            self._fragments = []

    def _finish(self) -> None:
        self._close()
        self._is_damaged = False
        nal_units, timestamp = self._nal_units, self._timestamp
        if self._room < 0:
            self._lose()
            return
        if not nal_units or timestamp is None:
            return
        coded = self._coded(nal_units) or self._coded(_split(nal_units))
        if coded is None:
            return
        if timestamp == self._last_timestamp and not self._is_first_slice(coded):
            # Slices of the picture before: this camera sets the marker on each of them.
            self._trusts_marker = False
            self._lose()
            return
        self._last_timestamp = timestamp
        self._begin_anew()
        self.finished.append(RtpUnit(timestamp, nal_units))

    def _coded(self, nal_units: Sequence[bytes]) -> bytes | None:
        return next(filter(self._is_coded, nal_units), None)

    def _begin_anew(self) -> None:
        self._nal_units = []
        self._fragments = []
        self._room = MAX_ACCESS_UNIT_BYTES

    def _lose(self) -> None:
        """Gives up what there is of this access unit, and what follows of it."""
        self._begin_anew()
        self._is_damaged = True
        self.finished.append(RtpUnit(self._timestamp or 0, ()))

    def _follow(self, sequence: int, ssrc: int) -> bool:
        """Decides about a packet that is not the next one; False for one that does not count."""
        if ssrc != self.ssrc:
            if self.ssrc is not None:
                self._restart()
            self.ssrc = ssrc
            self.first = self.expected = sequence
            self.lost = 0
            return True
        ahead = (sequence - self.expected) & 0xFFFF
        if ahead >= 0x8000:
            # Late, or twice. But two in a row that follow each other: the camera counts anew (RFC 3550 §A.1).
            is_new_count = sequence == self._stray
            self._stray = (sequence + 1) & 0xFFFF
            if not is_new_count:
                return False
        else:
            self.lost += ahead
        self._stray = None
        self._restart()
        self.expected += ahead
        return True

    def _restart(self) -> None:
        self._lose()
        self._timestamp = None
        self._must_begin = True


def begins_picture(data: bytes, at: int, end: int) -> bool:
    """Whether the payload data[at:end] can be the first that matters of an access unit.

    Parameter sets, SEI and delimiters stand before the slices, and the first slice begins at macroblock 0,
    which is a 1 as the first bit of its header (§7.3.3).
    """
    kind = data[at] & 0x1F
    if kind == _FU_A:
        if at + 2 >= end or not data[at + 1] & 0x80:
            return False
        at += 1
    elif kind == _STAP_A:
        at += 3
    if at + 1 >= end:
        return False
    return data[at] & 0x1F not in CODED or data[at + 1] >= 0x80


def _split(nal_units: Sequence[bytes]) -> Sequence[bytes]:
    """With a start code inside, a NAL unit that seems a parameter set may hold the picture as well."""
    try:
        return separated(nal_units)
    except BadNalUnit:
        return []


def payload_range(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Where the payload of a packet with padding, contributing sources or an extension is (RFC 3550 §5.1).

    An empty range when the packet is broken.
    """
    first = data[begin]
    at = begin + _HEADER_BYTES + 4 * (first & 0x0F)
    if first & 0x10:
        at += 4 + 4 * int.from_bytes(data[at + 2 : at + 4], "big")
    if first & 0x20:
        end -= data[end - 1]
    return (at, end) if at < end else (end, end)
