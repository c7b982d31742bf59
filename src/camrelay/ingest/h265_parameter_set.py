"""H.265 parameter sets: what an SPS says, and which sets a stream is using now.

As parameter_set, which remembers them: nothing is trusted, all is bounded, and what cannot be used raises
BadParameterSet and changes nothing. Numbers in brackets are sections of H.265.
"""

from __future__ import annotations

from typing import NamedTuple

from camrelay.errors import BadParameterSet
from camrelay.ingest.h264 import unescape
from camrelay.ingest.h265 import NalType, kind_of
from camrelay.ingest.parameter_set import MAX_DIMENSION, MAX_PARAMETER_SET_BYTES, Bits, ParameterSets
from camrelay.model import Codec, VideoParams

#: Header, sub-layers and profile_tier_level without sub-layers of its own [7.3.2.2.1, 7.3.3].
_LEAST_BYTES = 15
#: profile_tier_level of the whole stream, in the RBSP: general_profile_space to general_level_idc.
_GENERAL = slice(1, 13)
#: sps_max_dec_pic_buffering_minus1 is at most 15, and pictures that wait stand in that buffer [A.4.2].
_MAX_REORDER_DEPTH = 16


class Sps(NamedTuple):
    """What an SPS says [7.3.2.2], as far as anybody here needs it.

    `general` is its profile_tier_level, `configuration` the part of the decoder configuration record before
    the parameter sets (ISO/IEC 14496-15 §8.3.3.1.2).
    """

    id: int
    width: int
    height: int
    reorder_depth: int
    general: bytes
    configuration: bytes


def parse_sps(nal_unit: bytes) -> Sps:
    """Reads a sequence parameter set.

    Raises:
        BadParameterSet: too long, cut short, or values no decoder accepts.
    """
    _require(nal_unit, NalType.SPS, _LEAST_BYTES)
    rbsp = unescape(nal_unit[2:])
    bits = Bits(rbsp)
    bits.u(4)  # sps_video_parameter_set_id
    sub_layers, is_nested = bits.u(3), bits.u(1)
    bits.u(96)
    _skip_sub_layers(bits, sub_layers)
    id, chroma_format = bits.ue(), bits.ue()
    if chroma_format == 3:
        bits.u(1)  # separate_colour_plane_flag
    width, height = bits.ue(), bits.ue()
    if bits.u(1):
        # Table 6-1: the conformance window counts chroma samples.
        width -= (bits.ue() + bits.ue()) * (2 if chroma_format in (1, 2) else 1)
        height -= (bits.ue() + bits.ue()) * (2 if chroma_format == 1 else 1)
    depths = bits.ue(), bits.ue()
    bits.ue()  # log2_max_pic_order_cnt_lsb_minus4
    reorder_depth = 0
    for _ in range(1 if not bits.u(1) else sub_layers + 1):
        _, reorder_depth, _ = bits.ue(), bits.ue(), bits.ue()
    if id > 15 or chroma_format > 3 or max(depths) > 8 or reorder_depth > _MAX_REORDER_DEPTH:
        raise BadParameterSet(f"SPS {id} with values that do not exist")
    if not (0 < width <= MAX_DIMENSION and 0 < height <= MAX_DIMENSION):
        raise BadParameterSet(f"SPS {id} of {width} x {height}")
    general = rbsp[_GENERAL]
    configuration = bytes(
        (
            *(1, *general),
            # Segmentation and parallelism are not said; the rest are reserved ones around what is.
            *(0xF0, 0, 0xFC, 0xFC | chroma_format, 0xF8 | depths[0], 0xF8 | depths[1]),
            # No average rate; sub-layers, and NAL unit lengths of four bytes.
            *(0, 0, sub_layers + 1 << 3 | is_nested << 2 | 3),
        )
    )
    return Sps(id, width, height, reorder_depth, general, configuration)


def _skip_sub_layers(bits: Bits, sub_layers: int) -> None:
    """The rest of profile_tier_level [7.3.3]."""
    present = [(bits.u(1), bits.u(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.u(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        bits.u(88 * has_profile + 8 * has_level)


def rfc6381(general: bytes) -> str:
    """The codec string of a profile_tier_level (ISO/IEC 14496-15 §E.3), such as "hvc1.1.6.L93.B0"."""
    space = ("", "A", "B", "C")[general[0] >> 6]
    compatibility = int(f"{int.from_bytes(general[1:5], 'big'):032b}"[::-1], 2)
    tier = "H" if general[0] & 0x20 else "L"
    constraints = "".join(f".{byte:X}" for byte in general[5:11].rstrip(b"\0"))
    return f"hvc1.{space}{general[0] & 0x1F}.{compatibility:X}.{tier}{general[11]}{constraints}"


class H265ParameterSets(ParameterSets):
    """The parameter sets an H.265 stream is using now, by id."""

    def _sps_id(self, nal_unit: bytes) -> int:
        return parse_sps(nal_unit).id

    def _pps_id(self, nal_unit: bytes) -> int:
        _require(nal_unit, NalType.PPS, 3)
        id = Bits(unescape(nal_unit[2:9])).ue()
        if id > 63:
            raise BadParameterSet(f"PPS id {id}")
        return id

    def _vps_id(self, nal_unit: bytes) -> int:
        _require(nal_unit, NalType.VPS, 3)
        return nal_unit[2] >> 4

    def _is_complete(self) -> bool:
        return bool(self._vps and self._sps and self._pps)

    def _describe(self) -> VideoParams:
        vps, sps, pps = (
            tuple(nal_unit for _, nal_unit in sorted(sets.items()))
            for sets in (self._vps, self._sps, self._pps)
        )
        parsed = parse_sps(sps[0])
        return VideoParams(
            codec=Codec.H265,
            sps=sps,
            pps=pps,
            width=parsed.width,
            height=parsed.height,
            rfc6381=rfc6381(parsed.general),
            vps=vps,
            reorder_depth=parsed.reorder_depth,
            config=parsed.configuration,
        )


def _require(nal_unit: bytes, kind: NalType, least_bytes: int) -> None:
    """Passes a NAL unit of that type.

    Raises:
        BadParameterSet: it is another one, or of impossible length.
    """
    if not least_bytes <= len(nal_unit) <= MAX_PARAMETER_SET_BYTES or kind_of(nal_unit) != kind:
        raise BadParameterSet(f"not a {kind.name}, or of impossible length")
