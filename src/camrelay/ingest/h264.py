"""H.264 access units: NAL units in both framings, and what one coded picture holds.

A NAL unit here is bytes without start code or length (H.264 §7.3.1). Input comes from cameras and is not
trusted: everything is bounded, and what cannot be used raises BadNalUnit, nothing else.
Whoever joined the bytes may have put a start code inside what it called one NAL unit; a NAL unit can not
contain one (§7.4.1), so splitting the whole access unit at every start code is always right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from camrelay.errors import BadNalUnit

#: 4K key frames at 50 Mb/s stay below 5 MB; go2rtc drops at 5 MB and has users whose cameras need more.
MAX_ACCESS_UNIT_BYTES = 10_000_000
#: Level 6.2 allows a few hundred slices; a hostile stream of start codes would otherwise cost seconds.
MAX_NAL_UNITS = 1_000
#: SEI beyond this is somebody's payload; a recovery point stands before it.
MAX_SEI_BYTES = 4_096


class NalType(IntEnum):
    """nal_unit_type, H.264 table 7-1."""

    SLICE = 1
    PARTITION_A = 2
    PARTITION_B = 3
    PARTITION_C = 4
    IDR = 5
    SEI = 6
    SPS = 7
    PPS = 8
    AUD = 9
    FILLER = 12
    AUXILIARY_SLICE = 19


#: What a decoder of one view and one layer needs in an access unit; the rest is signalling or padding.
_KEPT = frozenset({1, 2, 3, 4, 5, 6, 19})
#: Slices, and the partition with a slice's header: an access unit has one of these at least.
CODED = frozenset({1, 2, 5})

# Looking an enumeration's member up takes longer than comparing with it.
_IDR, _SEI, _SPS, _PPS = map(int, (NalType.IDR, NalType.SEI, NalType.SPS, NalType.PPS))

_SEI_RECOVERY_POINT = 6

_START_CODE = b"\x00\x00\x01"
#: Half the time of `in`, and every byte of every camera passes here.
_find_start_code = re.compile(_START_CODE).search


class Picture(NamedTuple):
    """An access unit taken apart.

    `data` is AVCC with SEI and slices only, b"" when there is no coded picture inside. `has_recovery_point`
    is True when decoding may start here although it is no IDR picture (gradual refresh, §D.2.8).
    """

    data: bytes
    is_idr: bool
    has_recovery_point: bool
    has_b_slices: bool
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    vps: tuple[bytes, ...] = ()


def annexb_nal_units(data: bytes) -> list[bytes]:
    """Splits a byte stream at its start codes (Annex B); bytes before the first one are not part of it.

    Raises:
        BadNalUnit: over the limits.
    """
    if len(data) > MAX_ACCESS_UNIT_BYTES:
        raise BadNalUnit(f"access unit of {len(data)} bytes")
    nal_units: list[bytes] = []
    start = data.find(_START_CODE)
    for _ in range(MAX_NAL_UNITS):
        if start < 0:
            return nal_units
        begin = start + 3
        start = data.find(_START_CODE, begin)
        # The last byte of a NAL unit is never 0 (§7.4.1): what is, belongs to the next start code.
        nal_unit = (data[begin:] if start < 0 else data[begin:start]).rstrip(b"\x00")
        if nal_unit:
            nal_units.append(nal_unit)
    raise BadNalUnit(f"{MAX_NAL_UNITS} NAL units or more in an access unit")


def separated(nal_units: Sequence[bytes]) -> Sequence[bytes]:
    """All NAL units in what somebody called NAL units, which mostly are just that.

    Raises:
        BadNalUnit: over the limits.
    """
    for nal_unit in nal_units:
        if not nal_unit or not nal_unit[-1] or _find_start_code(nal_unit):
            return [part for each in nal_units for part in annexb_nal_units(_START_CODE + each)]
    return nal_units


def avcc_nal_units(data: bytes) -> Iterator[bytes]:
    """Yields the NAL units behind 4-byte lengths (ISO 14496-15 §5.3.2).

    Raises:
        BadNalUnit: a length is 0 or reaches past the end.
    """
    offset = 0
    while offset < len(data):
        begin = offset + 4
        offset = begin + int.from_bytes(data[offset:begin], "big")
        if begin >= offset or offset > len(data):
            raise BadNalUnit("NAL unit length is 0 or past the end")
        yield data[begin:offset]


def to_avcc(nal_units: Sequence[bytes]) -> bytes:
    """Puts a 4-byte big-endian length before each NAL unit."""
    parts = []
    for nal_unit in nal_units:
        parts.append(len(nal_unit).to_bytes(4, "big"))
        parts.append(nal_unit)
    return b"".join(parts)


def parse_access_unit(data: bytes) -> Picture:
    """An Annex B access unit, taken apart as by `parse_nal_units`."""
    return parse_nal_units(annexb_nal_units(data))


def parse_nal_units(nal_units: Sequence[bytes]) -> Picture:
    """Takes an access unit apart: slices and SEI to AVCC, parameter sets aside, the rest dropped.

    Raises:
        BadNalUnit: over the limits, or a NAL unit says it is corrupt.
    """
    nal_units = separated(nal_units)
    if len(nal_units) > MAX_NAL_UNITS or sum(map(len, nal_units)) > MAX_ACCESS_UNIT_BYTES:
        raise BadNalUnit("access unit over the limits")
    kept: list[bytes] = []
    sps: list[bytes] = []
    pps: list[bytes] = []
    is_coded = is_idr = has_recovery_point = has_b_slices = False
    for nal_unit in nal_units:
        head = nal_unit[0]
        if head & 0x80:
            raise BadNalUnit("forbidden_zero_bit is set")
        kind = head & 0x1F
        if kind in _KEPT:
            kept.append(nal_unit)
            if kind in CODED:
                is_coded = True
                is_idr = is_idr or kind == _IDR
                has_b_slices = has_b_slices or is_b_slice(nal_unit)
            elif kind == _SEI:
                has_recovery_point = has_recovery_point or is_recovery_point(nal_unit)
        elif kind == _SPS:
            sps.append(nal_unit)
        elif kind == _PPS:
            pps.append(nal_unit)
    avcc = to_avcc(kept) if is_coded else b""
    return Picture(avcc, is_idr, is_coded and has_recovery_point, has_b_slices, tuple(sps), tuple(pps))


def is_b_slice(slice_: bytes) -> bool:
    """Tells whether a slice that begins at macroblock 0 is of type B.

    Its header begins with first_mb_in_slice 0 and slice_type 1 or 6 in Exp-Golomb code (§7.3.3): bits
    1 010 or 1 00111. A picture's other slices are not looked at: the first one has the same type.
    """
    head = slice_[1] if len(slice_) > 1 else 0
    return head & 0xF0 == 0xA0 or head & 0xFC == 0x9C


def is_recovery_point(sei: bytes) -> bool:
    """Tells whether one of an SEI NAL unit's messages is a recovery point (§7.3.2.3.1, §D.1.8)."""
    payload = unescape(sei[1:MAX_SEI_BYTES])
    if _SEI_RECOVERY_POINT not in payload:
        # Cameras put their clock into the SEI of every picture.
        return False
    offset = 0
    while offset < len(payload):
        kind, offset = _sei_number(payload, offset)
        if kind == _SEI_RECOVERY_POINT:
            return True
        size, offset = _sei_number(payload, offset)
        offset += size
    return False


def _sei_number(payload: bytes, offset: int) -> tuple[int, int]:
    """A payload type or size, 255 for each byte 0xFF before the last one, and the offset behind it."""
    value = 0
    while offset < len(payload) and payload[offset] == 0xFF:
        value += 255
        offset += 1
    return value + (payload[offset] if offset < len(payload) else 0), offset + 1


def unescape(nal_unit: bytes) -> bytes:
    """Takes the emulation prevention bytes out: NAL unit payload to RBSP (§7.3.1)."""
    return nal_unit.replace(b"\x00\x00\x03", b"\x00\x00")
