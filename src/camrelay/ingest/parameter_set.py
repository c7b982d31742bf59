"""H.264 parameter sets: what an SPS says, and which sets a stream is using now.

They come from a camera's SDP or from inside its stream and are not trusted: all is bounded, and what cannot
be used raises BadParameterSet and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from camrelay.errors import BadParameterSet
from camrelay.ingest.h264 import NalType, unescape
from camrelay.model import Codec, VideoParams

#: The longest SPS with scaling lists and full VUI is below 1 KB.
MAX_PARAMETER_SET_BYTES = 4_096
#: An avcC box holds at most 31 SPS (ISO 14496-15 §5.3.3.1); cameras send one.
MAX_PARAMETER_SETS = 31
MAX_DIMENSION = 16_384

#: What to expect of a stream with B slices whose SPS does not say: most encoders do no more.
_GUESSED_REORDER_DEPTH = 2

#: profile_idc values whose SPS says chroma format and scaling lists (§7.3.2.1.1).
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_EXTENDED_SAR = 255


class Sps(NamedTuple):
    """What an SPS says (§7.3.2.1.1), as far as anybody here needs it.

    `frame_rate` and `reorder_depth` are None when the VUI is absent, silent or broken.
    """

    id: int
    profile_idc: int
    constraint_flags: int
    level_idc: int
    width: int
    height: int
    frame_rate: float | None
    reorder_depth: int | None


class Bits:
    """Reads an RBSP bit by bit (§7.2, §9.1).

    Raises:
        BadParameterSet: from any method, when the RBSP ends early.
    """

    def __init__(self, rbsp: bytes) -> None:
        self._value = int.from_bytes(rbsp, "big")
        self._left = len(rbsp) * 8

    def u(self, bits: int) -> int:
        """An unsigned number of that many bits."""
        self._left -= bits
        if self._left < 0:
            raise BadParameterSet("parameter set ends early")
        return (self._value >> self._left) & ((1 << bits) - 1)

    def ue(self) -> int:
        """An unsigned number in Exp-Golomb code."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 31:
                raise BadParameterSet("Exp-Golomb code of more than 63 bits")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed one."""
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def parse_sps(nal_unit: bytes) -> Sps:
    """Reads a sequence parameter set.

    Raises:
        BadParameterSet: too long, cut short, or values no decoder accepts.
    """
    if not 4 <= len(nal_unit) <= MAX_PARAMETER_SET_BYTES or nal_unit[0] & 0x1F != NalType.SPS:
        raise BadParameterSet("not an SPS, or of impossible length")
    bits = Bits(unescape(nal_unit[1:]))
    profile_idc, constraint_flags, level_idc = bits.u(8), bits.u(8), bits.u(8)
    sps_id = bits.ue()
    chroma_format_idc = 1
    if profile_idc in _HIGH_PROFILES:
        chroma_format_idc = bits.ue()
        if chroma_format_idc == 3:
            bits.u(1)  # separate_colour_plane_flag
        bits.ue(), bits.ue(), bits.u(1)  # bit depths, qpprime_y_zero_transform_bypass_flag
        if bits.u(1):
            for i in range(12 if chroma_format_idc == 3 else 8):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if i < 6 else 64)
    bits.ue()  # log2_max_frame_num_minus4
    pic_order_cnt_type = bits.ue()
    if pic_order_cnt_type == 0:
        bits.ue()
    elif pic_order_cnt_type == 1:
        bits.u(1), bits.se(), bits.se()
        for _ in range(min(bits.ue(), 255)):
            bits.se()
    bits.ue(), bits.u(1)  # max_num_ref_frames, gaps_in_frame_num_value_allowed_flag
    width_mbs, height_units = bits.ue() + 1, bits.ue() + 1
    frame_mbs_only = bits.u(1)
    if not frame_mbs_only:
        bits.u(1)  # mb_adaptive_frame_field_flag
    bits.u(1)  # direct_8x8_inference_flag
    width, height = width_mbs * 16, height_units * 16 * (2 - frame_mbs_only)
    if bits.u(1):
        # Table 6-1 and equations 7-19 to 7-22: cropping counts chroma samples.
        unit_x = 2 if chroma_format_idc in (1, 2) else 1
        unit_y = (2 if chroma_format_idc == 1 else 1) * (2 - frame_mbs_only)
        width -= (bits.ue() + bits.ue()) * unit_x
        height -= (bits.ue() + bits.ue()) * unit_y
    if sps_id > 31 or not (0 < width <= MAX_DIMENSION and 0 < height <= MAX_DIMENSION):
        raise BadParameterSet(f"SPS {sps_id} of {width} x {height}")
    try:
        frame_rate, reorder_depth = _parse_vui(bits) if bits.u(1) else (None, None)
    except BadParameterSet:
        # Cheap cameras cut their VUI short. Decoders do without it, and so do we.
        frame_rate = reorder_depth = None
    # Baseline has no B slices, and pic_order_cnt_type 2 makes output order decoding order (§8.2.1.3).
    if reorder_depth is None and (profile_idc == 66 or pic_order_cnt_type == 2):
        reorder_depth = 0
    return Sps(sps_id, profile_idc, constraint_flags, level_idc, width, height, frame_rate, reorder_depth)


def _skip_scaling_list(bits: Bits, size: int) -> None:
    """§7.3.2.1.1.1."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _parse_vui(bits: Bits) -> tuple[float | None, int | None]:
    """Frame rate and reorder depth, where the VUI says them (§E.1.1)."""
    if bits.u(1) and bits.u(8) == _EXTENDED_SAR:
        bits.u(32)
    if bits.u(1):
        bits.u(1)  # overscan_appropriate_flag
    if bits.u(1):
        bits.u(4)  # video_format, video_full_range_flag
        if bits.u(1):
            bits.u(24)  # colour description
    if bits.u(1):
        bits.ue(), bits.ue()  # chroma sample location
    frame_rate = None
    if bits.u(1):
        num_units_in_tick, time_scale, _ = bits.u(32), bits.u(32), bits.u(1)
        # §E.2.1: a frame is two ticks. Beyond these rates the encoder filled in something else.
        if num_units_in_tick and 0.1 <= time_scale / (2 * num_units_in_tick) <= 300:
            frame_rate = time_scale / (2 * num_units_in_tick)
    nal_hrd = bits.u(1)
    if nal_hrd:
        _skip_hrd(bits)
    vcl_hrd = bits.u(1)
    if vcl_hrd:
        _skip_hrd(bits)
    if nal_hrd or vcl_hrd:
        bits.u(1)  # low_delay_hrd_flag
    bits.u(1)  # pic_struct_present_flag
    if not bits.u(1):
        return frame_rate, None
    bits.u(1), bits.ue(), bits.ue(), bits.ue(), bits.ue()
    return frame_rate, min(bits.ue(), 16)


def _skip_hrd(bits: Bits) -> None:
    """§E.1.2."""
    count = min(bits.ue(), 31) + 1
    bits.u(8)
    for _ in range(count):
        bits.ue(), bits.ue(), bits.u(1)
    bits.u(20)


class ParameterSets:
    """The parameter sets a stream is using now, by id.

    Cameras send them in the SDP, in band, or both; together or apart; some never repeat them (fault F8).
    """

    def __init__(self) -> None:
        #: None until there is an SPS and a PPS.
        self.params: VideoParams | None = None
        self._sps: dict[int, bytes] = {}
        self._pps: dict[int, bytes] = {}
        self._vps: dict[int, bytes] = {}
        self._latest: tuple[Sequence[bytes], ...] = ((), (), ())
        self._has_b_slices = False

    def update(self, sps: Sequence[bytes], pps: Sequence[bytes], vps: Sequence[bytes] = ()) -> bool:
        """Takes in what an access unit or an SDP carried.

        SPS and PPS together replace all before them: after a change of resolution (fault F7) old ones would
        only lie. One kind alone goes beside what is known.

        Returns:
            True when `params` changed.

        Raises:
            BadParameterSet: nothing is changed then.
        """
        latest = (sps, pps, vps)
        if latest == self._latest:
            return False
        if max(map(len, latest)) > MAX_PARAMETER_SETS:
            raise BadParameterSet("too many parameter sets in one access unit")
        new_sps = {self._sps_id(nal_unit): nal_unit for nal_unit in sps}
        new_pps = {self._pps_id(nal_unit): nal_unit for nal_unit in pps}
        self._vps = self._vps | {self._vps_id(nal_unit): nal_unit for nal_unit in vps}
        if sps and pps:
            self._sps, self._pps = new_sps, new_pps
        else:
            self._sps, self._pps = self._sps | new_sps, self._pps | new_pps
        self._latest = latest
        return self._refresh()

    def note_b_slices(self) -> bool:
        """Remembers that the stream has B slices, which an SPS need not say (fault F14).

        Returns:
            True when `params` changed.
        """
        if self._has_b_slices:
            return False
        self._has_b_slices = True
        return self._refresh()

    def _refresh(self) -> bool:
        if not self._is_complete():
            return False
        before, self.params = self.params, self._describe()
        return self.params != before

    # What differs between codecs.

    def _sps_id(self, nal_unit: bytes) -> int:
        return parse_sps(nal_unit).id

    def _pps_id(self, nal_unit: bytes) -> int:
        return pps_id(nal_unit)

    def _vps_id(self, nal_unit: bytes) -> int:
        raise BadParameterSet("H.264 has no VPS")

    def _is_complete(self) -> bool:
        return bool(self._sps and self._pps)

    def _describe(self) -> VideoParams:
        first, *_ = sps = tuple(nal_unit for _, nal_unit in sorted(self._sps.items()))
        parsed = parse_sps(first)
        reorder_depth = parsed.reorder_depth
        if reorder_depth is None:
            reorder_depth = _GUESSED_REORDER_DEPTH if self._has_b_slices else 0
        return VideoParams(
            codec=Codec.H264,
            sps=sps,
            pps=tuple(nal_unit for _, nal_unit in sorted(self._pps.items())),
            width=parsed.width,
            height=parsed.height,
            # RFC 6381 §3.3: profile_idc, constraint flags, level_idc in hexadecimal.
            rfc6381=f"avc1.{first[1:4].hex()}",
            frame_rate=parsed.frame_rate,
            reorder_depth=reorder_depth,
        )


def pps_id(nal_unit: bytes) -> int:
    """pic_parameter_set_id of a PPS (§7.3.2.2).

    Raises:
        BadParameterSet: not a PPS, too long, or an id no decoder accepts.
    """
    if not 2 <= len(nal_unit) <= MAX_PARAMETER_SET_BYTES or nal_unit[0] & 0x1F != NalType.PPS:
        raise BadParameterSet("not a PPS, or of impossible length")
    id = Bits(unescape(nal_unit[1:8])).ue()
    if id > 255:
        raise BadParameterSet(f"PPS id {id}")
    return id
