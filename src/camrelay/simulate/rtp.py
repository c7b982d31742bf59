"""An access unit as RTP packets (RFC 6184 mode 1, RFC 7798), cut once and stamped per departure.

Packets are kept one after another in the form RTSP interleaves them with its own messages (RFC 2326 §10.12):
"$", channel, length, packet. Sequence number, timestamp, SSRC and send time are overwritten in place.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from camrelay.simulate import clock

CLOCK_RATE = 90_000
PAYLOAD_TYPE = 96

#: With 12 bytes of RTP, 8 of UDP and 40 of IPv6 this stays under Ethernet's 1500.
MAX_PAYLOAD_BYTES = 1400

_FRAMING = struct.Struct(">cBH")
_HEADER = struct.Struct(">BBHII")
_STAMP = struct.Struct(">HII")

#: Bytes in front of a payload: framing, then RTP header.
_AHEAD = _FRAMING.size + _HEADER.size

_FU_A = 28
_FU = 49
_MARKER = 0x80

#: Seconds from 1900, where NTP counts from, to 1970 (RFC 5905 §6).
_NTP_OFFSET_S = 2_208_988_800


class Train(msgspec.Struct, frozen=True):
    """One access unit as packets that wait for their stamp.

    `template` is every packet interleaved on channel 0. `headers` are the offsets of the RTP headers,
    `digits_at` that of the send time, 0 without one. `delay` is how many picture intervals before its sending
    it was taken.
    """

    template: bytes
    headers: tuple[int, ...]
    digits_at: int
    is_key: bool
    delay: int

    @property
    def payload_bytes(self) -> int:
        """Bytes of all payloads, as sender reports count them."""
        return len(self.template) - _AHEAD * len(self.headers)


def cut(
    nal_units: Sequence[bytes], *, is_key: bool, delay: int, is_h265: bool = False, has_clock: bool = True
) -> Train:
    """Cuts an access unit into packets, with the SEI of the send time in front of its first slice.

    Args:
        nal_units: without start codes, at least one; parameter sets, if any, come first.
        has_clock: False leaves the SEI out.
    """
    header = clock.H265_HEADER if is_h265 else clock.H264_HEADER
    slices_at = next(at for at, unit in enumerate(nal_units) if _is_slice(unit, is_h265))
    sei = [clock.sei_nal_unit(0, header)] if has_clock else []
    units = [*nal_units[:slices_at], *sei, *nal_units[slices_at:]]
    template = bytearray()
    headers = []
    digits_at = 0
    for number, unit in enumerate(units):
        if has_clock and number == slices_at:
            digits_at = len(template) + _AHEAD + len(header) + clock.DIGITS_AT
        payloads = _h265_payloads(unit) if is_h265 else _payloads(unit)
        for index, payload in enumerate(payloads):
            is_last = number == len(units) - 1 and index == len(payloads) - 1
            template += _FRAMING.pack(b"$", 0, _HEADER.size + len(payload))
            headers.append(len(template))
            template += _HEADER.pack(0x80, PAYLOAD_TYPE | _MARKER * is_last, 0, 0, 0) + payload
    return Train(bytes(template), tuple(headers), digits_at, is_key, delay)


def _payloads(unit: bytes) -> list[bytes]:
    """The NAL unit itself, or its FU-A fragments (RFC 6184 §5.8)."""
    if len(unit) <= MAX_PAYLOAD_BYTES:
        return [unit]
    indicator, kind = unit[0] & 0xE0 | _FU_A, unit[0] & 0x1F
    size = MAX_PAYLOAD_BYTES - 2
    pieces = [unit[start : start + size] for start in range(1, len(unit), size)]
    last = len(pieces) - 1
    return [
        bytes((indicator, kind | 0x80 * (at == 0) | 0x40 * (at == last))) + piece
        for at, piece in enumerate(pieces)
    ]


def _h265_payloads(unit: bytes) -> list[bytes]:
    """The NAL unit itself, or its fragmentation units (RFC 7798 §4.4.3)."""
    if len(unit) <= MAX_PAYLOAD_BYTES:
        return [unit]
    header, kind = bytes((unit[0] & 0x81 | _FU << 1, unit[1])), unit[0] >> 1 & 0x3F
    size = MAX_PAYLOAD_BYTES - 3
    pieces = [unit[start : start + size] for start in range(2, len(unit), size)]
    last = len(pieces) - 1
    return [
        header + bytes((kind | 0x80 * (at == 0) | 0x40 * (at == last),)) + piece
        for at, piece in enumerate(pieces)
    ]


def _is_slice(unit: bytes, is_h265: bool) -> bool:
    return unit[0] >> 1 & 0x3F < 32 if is_h265 else unit[0] & 31 <= 5


def stamp(train: Train, channel: int, sequence: int, timestamp: int, ssrc: int, sent_us: int) -> bytes:
    """The packets of one departure, interleaved on `channel`.

    Args:
        sequence: of the first packet; wraps at 16 bits.
        timestamp: 32 bits.
        sent_us: UTC microseconds.
    """
    data = bytearray(train.template)
    for at in train.headers:
        _STAMP.pack_into(data, at + 2, sequence, timestamp, ssrc)
        sequence = sequence + 1 & 0xFFFF
    if channel:
        for at in train.headers:
            data[at - 3] = channel
    if train.digits_at:
        data[train.digits_at : train.digits_at + clock.DIGITS] = clock.digits(sent_us)
    return bytes(data)


def datagrams(train: Train, stamped: bytes) -> list[bytes]:
    """The same packets without interleaving, one per datagram."""
    ends = [at - _FRAMING.size for at in train.headers[1:]] + [len(stamped)]
    return [stamped[at:end] for at, end in zip(train.headers, ends, strict=True)]


def interleaved(channel: int, packet: bytes) -> bytes:
    """One packet behind its interleaving header."""
    return _FRAMING.pack(b"$", channel, len(packet)) + packet


def sender_report(ssrc: int, now_us: int, timestamp: int, packets: int, octets: int, cname: str) -> bytes:
    """Compound RTCP packet of SR and SDES (RFC 3550 §6.1, §6.4.1, §6.5).

    Args:
        now_us: UTC microseconds at which the RTP clock shows `timestamp`.
        packets, octets: sent so far; counted modulo 2**32.
        cname: at most 255 bytes.
    """
    seconds, micros = divmod(now_us, 1_000_000)
    ntp = (seconds + _NTP_OFFSET_S & 0xFFFFFFFF, (micros << 32) // 1_000_000)
    counts = (packets & 0xFFFFFFFF, octets & 0xFFFFFFFF)
    report = struct.pack(">BBHIIIIII", 0x80, 200, 6, ssrc, *ntp, timestamp, *counts)
    name = cname.encode()
    item = struct.pack(">IBB", ssrc, 1, len(name)) + name
    # An item list ends with at least one zero byte, on a 32-bit border.
    item += bytes(4 - len(item) % 4)
    return report + struct.pack(">BBH", 0x81, 202, len(item) // 4) + item
