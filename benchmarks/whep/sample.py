"""What a few viewers do with their packets besides counting: decrypt, put together, read the clock, decode.

The delay of an access unit is the arrival of its last packet at the socket, by the kernel's stamp, less the
send time that the simulated camera wrote into its SEI. The load client's own lateness is not in it.
"""

from __future__ import annotations

from collections import deque

import av
from av.error import FFmpegError

from benchmarks.whep.srtp import NotAuthentic, Unprotect, rtp_header_bytes
from camrelay.simulate.clock import sent_us

_START_CODE = b"\0\0\0\1"

#: RFC 6184 table 1.
_STAP_A, _FU_A = 24, 28
#: H.264 table 7-1.
_IDR = 5

#: A decoded viewer decodes this many pictures, then only reads the clock: a decoder costs more than 100
#: viewers.
_PICTURES = 50

#: Access units whose RTP timestamp and clock are remembered: 40 s of pictures.
_CLOCKS = 1000

#: Bytes of one access unit; beyond it the packets are not H.264 at all.
_ACCESS_UNIT_LIMIT = 4_000_000


class Sample:
    """One viewer's packets, opened.

    `delays_s` holds one value per access unit that carried a clock; `clocks` its RTP timestamp and when the
    camera sent it, in UTC microseconds; `decoded` and `decode_errors` count pictures.
    """

    def __init__(self, unprotect: Unprotect, *, decode: bool) -> None:
        self._unprotect = unprotect
        self._decoder = av.CodecContext.create("h264", "r") if decode else None
        self._unit = bytearray()
        self._is_key = False
        self._is_whole = True
        self._next = -1
        self._has_key_frame = False
        self.delays_s: list[float] = []
        self.clocks: deque[tuple[int, int]] = deque(maxlen=_CLOCKS)
        self.access_units = 0
        self.broken = 0
        self.not_authentic = 0
        self.decoded = 0
        self.decode_errors = 0
        self.first_key_frame_ns = 0

    def packet(self, packet: bytes, arrived_ns: int) -> None:
        """Takes one SRTP packet."""
        try:
            clear = self._unprotect.rtp(packet)
        except NotAuthentic:
            self.not_authentic += 1
            return
        number = int.from_bytes(clear[2:4])
        if self._next not in (-1, number):
            self._is_whole = False
        self._next = (number + 1) & 0xFFFF
        payload = clear[rtp_header_bytes(clear) :]
        if payload:
            self._payload(payload)
        if clear[1] & 0x80:
            self._finish(int.from_bytes(clear[4:8]), arrived_ns)

    def _payload(self, payload: bytes) -> None:
        """RFC 6184 §5.6, §5.7.1, §5.8."""
        kind = payload[0] & 31
        if kind == _STAP_A:
            position = 1
            while position + 2 < len(payload):
                length = int.from_bytes(payload[position : position + 2])
                self._nal_unit(payload[position + 2 : position + 2 + length])
                position += 2 + length
        elif kind != _FU_A:
            self._nal_unit(payload)
        elif payload[1] & 0x80:
            self._nal_unit(bytes((payload[0] & 0xE0 | payload[1] & 31,)) + payload[2:])
        else:
            self._unit += payload[2:]
        if len(self._unit) > _ACCESS_UNIT_LIMIT:
            self._unit.clear()
            self._is_whole = False

    def _nal_unit(self, nal_unit: bytes) -> None:
        self._is_key |= nal_unit[0] & 31 == _IDR
        self._unit += _START_CODE + nal_unit

    def _finish(self, timestamp: int, arrived_ns: int) -> None:
        unit, is_whole, is_key = bytes(self._unit), self._is_whole, self._is_key
        self._unit.clear()
        self._is_whole, self._is_key = True, False
        if not is_whole:
            self.broken += 1
            return
        self.access_units += 1
        if is_key and not self.first_key_frame_ns:
            self.first_key_frame_ns = arrived_ns
        sent = sent_us(unit)
        if sent is not None and arrived_ns:
            self.delays_s.append(arrived_ns / 1e9 - sent / 1e6)
            self.clocks.append((timestamp, sent))
        self._has_key_frame |= is_key
        if self._decoder is not None and self._has_key_frame and self.decoded < _PICTURES:
            self._decode(unit)

    def _decode(self, unit: bytes) -> None:
        assert isinstance(self._decoder, av.VideoCodecContext)
        try:
            self.decoded += len(self._decoder.decode(av.Packet(unit)))
        except FFmpegError:
            self.decode_errors += 1
