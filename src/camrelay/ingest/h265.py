"""H.265 access units: what one coded picture holds.

As h264, whose limits and helpers count here too: input is not trusted, and what cannot be used raises
BadNalUnit, nothing else. Numbers in brackets are sections of H.265. Layers above the base are dropped: no
camera has any, and no browser decodes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from camrelay.errors import BadNalUnit
from camrelay.ingest.h264 import (
    MAX_ACCESS_UNIT_BYTES,
    MAX_NAL_UNITS,
    Picture,
    is_recovery_point,
    separated,
    to_avcc,
)


class NalType(IntEnum):
    """nal_unit_type, H.265 table 7-1."""

    VPS = 32
    SPS = 33
    PPS = 34
    PREFIX_SEI = 39
    SUFFIX_SEI = 40


#: Slice segments; reserved types are left out.
CODED = frozenset((*range(10), *range(16, 22)))
#: BLA, IDR and CRA pictures: decoding may start at each of them [7.4.2.2].
_IRAP = frozenset(range(16, 22))
_VPS, _SPS, _PPS, _PREFIX_SEI = map(int, (NalType.VPS, NalType.SPS, NalType.PPS, NalType.PREFIX_SEI))
_KEPT = CODED | {_PREFIX_SEI, int(NalType.SUFFIX_SEI)}
#: Header, and at least a byte of payload [7.3.1.2].
_LEAST_BYTES = 3


def kind_of(nal_unit: bytes) -> int:
    """nal_unit_type of a NAL unit or of an RTP payload."""
    return nal_unit[0] >> 1 & 0x3F


def parse_nal_units(nal_units: Sequence[bytes]) -> Picture:
    """Takes an access unit apart: slices and SEI to AVCC, parameter sets aside, the rest dropped.

    Whether pictures are reordered stands in the SPS, so slices are not asked for it.

    Raises:
        BadNalUnit: over the limits, or a NAL unit says it is corrupt.
    """
    nal_units = separated(nal_units)
    if len(nal_units) > MAX_NAL_UNITS or sum(map(len, nal_units)) > MAX_ACCESS_UNIT_BYTES:
        raise BadNalUnit("access unit over the limits")
    kept: list[bytes] = []
    sets: dict[int, list[bytes]] = {_VPS: [], _SPS: [], _PPS: []}
    is_coded = is_key = has_recovery_point = False
    for nal_unit in nal_units:
        if nal_unit[0] & 0x80:
            raise BadNalUnit("forbidden_zero_bit is set")
        if len(nal_unit) < _LEAST_BYTES or nal_unit[0] & 1 or nal_unit[1] & 0xF8:
            continue
        kind = kind_of(nal_unit)
        if kind in _KEPT:
            kept.append(nal_unit)
            is_coded = is_coded or kind in CODED
            is_key = is_key or kind in _IRAP
            # The message begins behind two bytes of header, not one.
            has_recovery_point = has_recovery_point or (
                kind == _PREFIX_SEI and is_recovery_point(nal_unit[1:])
            )
        elif kind in sets:
            sets[kind].append(nal_unit)
    return Picture(
        to_avcc(kept) if is_coded else b"",
        is_key,
        is_coded and has_recovery_point,
        has_b_slices=False,
        sps=tuple(sets[_SPS]),
        pps=tuple(sets[_PPS]),
        vps=tuple(sets[_VPS]),
    )
