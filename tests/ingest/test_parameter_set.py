from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import PPS, SPS_360P, SPS_720P
from camrelay.errors import BadParameterSet
from camrelay.ingest.h264 import parse_access_unit
from camrelay.ingest.parameter_set import (
    MAX_PARAMETER_SET_BYTES,
    MAX_PARAMETER_SETS,
    ParameterSets,
    parse_sps,
    pps_id,
)
from camrelay.model import Codec
from ingest.encoder import encode


def test_h264_has_no_vps() -> None:
    """What is none of the three kinds changes nothing."""
    with pytest.raises(BadParameterSet):
        ParameterSets().update((), (), (b"\x40\x01\x0c",))


class Bits:
    """Writes a parameter set bit by bit: what the parser reads, from the other side."""

    def __init__(self, head: str = "") -> None:
        self._bits = head

    def u(self, value: int, bits: int) -> Bits:
        self._bits += f"{value:0{bits}b}" if bits else ""
        return self

    def ue(self, *values: int) -> Bits:
        for value in values:
            code = f"{value + 1:b}"
            self._bits += "0" * (len(code) - 1) + code
        return self

    def nal_unit(self) -> bytes:
        bits = self._bits + "1"
        bits += "0" * (-len(bits) % 8)
        return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def sps_head(profile_idc: int = 66, *, sps_id: int = 0) -> Bits:
    return Bits().u(0x67, 8).u(profile_idc, 8).u(0, 8).u(30, 8).ue(sps_id)


def sps_size(bits: Bits, width_mbs: int = 20, height_mbs: int = 15) -> Bits:
    """Frame numbers of 4 bits, output order type 2, frames only, no cropping."""
    return bits.ue(0, 2, 1).u(0, 1).ue(width_mbs - 1, height_mbs - 1).u(0b110, 3)


class TestSps:
    @pytest.mark.parametrize(
        ("width", "height", "pix_fmt", "params"),
        [
            (640, 360, "yuv420p", ""),
            (1920, 1080, "yuv420p", ""),
            (1920, 1080, "yuv420p", "interlaced=1"),
            (66, 50, "yuv420p", ""),
            (66, 50, "yuv422p", ""),
            (65, 51, "yuv444p", ""),
            (128, 96, "gray", ""),
            (128, 96, "yuv420p", "cqm=jvt"),
            (128, 96, "yuv420p", "nal-hrd=vbr:vbv-maxrate=500:vbv-bufsize=500:bitrate=400"),
            (128, 96, "yuv420p", "colorprim=bt709:transfer=bt709:colormatrix=bt709:sar=4/3:overscan=show"),
            (128, 96, "yuv420p", "sar=1234/1233:chromaloc=1"),
        ],
    )
    def test_agrees_with_an_encoder(self, width: int, height: int, pix_fmt: str, params: str) -> None:
        """Size after cropping, frame rate and profile are what libx264 was told."""
        packet, *_ = encode(params, width=width, height=height, pix_fmt=pix_fmt, pictures=2, fps=15)

        sps = parse_sps(parse_access_unit(bytes(packet)).sps[0])

        assert (width, height) == (sps.width, sps.height)
        assert sps.frame_rate == 15.0

    @pytest.mark.parametrize(
        ("params", "depth"), [("bframes=0", 0), ("bframes=2:b-pyramid=0", 1), ("bframes=3", 2)]
    )
    def test_reads_the_reorder_depth(self, params: str, depth: int) -> None:
        """max_num_reorder_frames is how many pictures may be shown late (§E.2.1)."""
        packet, *_ = encode(params, profile="high")

        assert depth == parse_sps(parse_access_unit(bytes(packet)).sps[0]).reorder_depth

    @pytest.mark.parametrize("profile", ["baseline", "main", "high", "high422"])
    def test_reads_every_profile(self, profile: str) -> None:
        """High profiles have chroma format and scaling lists, the others do not."""
        pix_fmt = "yuv422p" if profile == "high422" else "yuv420p"
        packet, *_ = encode(profile=profile, pix_fmt=pix_fmt, pictures=1)

        sps = parse_sps(parse_access_unit(bytes(packet)).sps[0])

        assert {"baseline": 66, "main": 77, "high": 100, "high422": 122}[profile] == sps.profile_idc
        assert (sps.width, sps.height) == (64, 64)

    def test_without_vui_the_profile_may_still_exclude_reordering(self) -> None:
        """Baseline has no B slices; output order type 2 is decoding order; else nobody knows."""
        baseline = sps_size(sps_head(66)).u(0, 1).nal_unit()
        main_type_2 = sps_size(sps_head(77)).u(0, 1).nal_unit()
        main_type_0 = sps_head(77).ue(0, 0, 0, 1).u(0, 1).ue(19, 14).u(0b1100, 4).nal_unit()

        assert parse_sps(baseline)[-2:] == (None, 0)
        assert parse_sps(main_type_2)[-2:] == (None, 0)
        assert parse_sps(main_type_0)[-2:] == (None, None)

    def test_reads_output_order_type_1(self) -> None:
        """Offsets for non-reference pictures stand between (§7.3.2.1.1)."""
        sps = sps_head(77).ue(0, 1).u(0, 1).ue(2, 4, 2, 1, 3, 1).u(0, 1).ue(19, 14).u(0b1100, 4)

        assert parse_sps(sps.nal_unit())[4:6] == (320, 240)

    def test_reads_4_4_4_with_separate_planes_and_scaling_lists(self) -> None:
        """Chroma format 3 has one flag and four lists more."""
        bits = sps_head(244).ue(3).u(1, 1).ue(0, 0).u(0, 1)
        # A flat list by one delta of -8 (next scale 0), a list with a delta each, ten that are absent.
        bits.u(1, 1).u(1, 1).ue(16).u(1, 1).ue(*[1] * 16).u(0, 10)

        assert parse_sps(sps_size(bits).u(0, 1).nal_unit())[4:6] == (320, 240)

    @pytest.mark.parametrize("left", range(1, 12))
    def test_a_vui_cut_short_is_left_out(self, left: int) -> None:
        """Cheap cameras end their SPS inside the VUI; decoders play them."""
        whole = sps_size(sps_head(66)).u(0b1, 1).u(0b0000100, 7).u(1, 32)
        cut = whole.nal_unit()[:-left]

        try:
            sps = parse_sps(cut)
        except BadParameterSet:
            return
        assert sps.frame_rate is None
        assert (sps.width, sps.height) == (320, 240)

    def test_a_video_format_may_come_without_colours(self) -> None:
        """The colour description is left out, the frame rate behind it still read."""
        vui = (
            sps_size(sps_head(66)).u(1, 1).u(0b001, 3).u(0, 4).u(0b001, 3).u(1, 32).u(50, 32).u(0, 1).u(0, 4)
        )

        assert parse_sps(vui.nal_unit()).frame_rate == 25

    @pytest.mark.parametrize(("num_units", "time_scale"), [(0, 50), (1, 2_000_000), (4_000_000, 50)])
    def test_an_impossible_frame_rate_is_none(self, num_units: int, time_scale: int) -> None:
        """Encoders that do not know it write zeros or millions."""
        vui = sps_size(sps_head(66)).u(1, 1).u(0b00001, 5).u(num_units, 32).u(time_scale, 32).u(0, 1).u(0, 4)

        assert parse_sps(vui.nal_unit()).frame_rate is None

    @pytest.mark.parametrize(
        "nal_unit",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(PPS, id="a PPS"),
            pytest.param(SPS_360P[:8], id="cut"),
            pytest.param(SPS_360P + b"\xff" * MAX_PARAMETER_SET_BYTES, id="longer than any"),
            pytest.param(Bits().u(0x67, 8).u(66, 8).u(0, 8).u(30, 8).u(0, 64).nal_unit(), id="endless code"),
            pytest.param(sps_size(sps_head(sps_id=32)).u(0, 1).nal_unit(), id="id 32"),
            pytest.param(sps_size(sps_head(), 1025).u(0, 1).nal_unit(), id="wider than any"),
            pytest.param(
                sps_head().ue(0, 2, 1).u(0, 1).ue(0, 0).u(0b111, 3).ue(4, 4, 0, 0).u(0, 1).nal_unit(),
                id="cropped to nothing",
            ),
        ],
    )
    def test_refuses_what_no_decoder_accepts(self, nal_unit: bytes) -> None:
        """The error is BadParameterSet, whatever is wrong."""
        with pytest.raises(BadParameterSet):
            parse_sps(nal_unit)

    @given(st.binary(max_size=80))
    def test_any_bytes_are_read_or_refused(self, rest: bytes) -> None:
        """Nothing but BadParameterSet leaves, and sizes are sane."""
        try:
            sps = parse_sps(b"\x67" + rest)
        except BadParameterSet:
            return
        assert 0 < sps.width <= 16_384
        assert 0 < sps.height <= 16_384

    @given(st.integers(0, len(SPS_720P) - 1), st.integers(0, 7))
    def test_any_flipped_bit_is_read_or_refused(self, byte: int, bit: int) -> None:
        """Damage close to a sound SPS reaches deeper than noise."""
        damaged = bytearray(SPS_720P)
        damaged[byte] ^= 1 << bit
        try:
            sps = parse_sps(bytes(damaged))
        except BadParameterSet:
            return
        assert 0 < sps.width <= 16_384


class TestPps:
    def test_id_is_read(self) -> None:
        """It says which PPS a later one replaces."""
        assert pps_id(PPS) == 0
        assert pps_id(Bits().u(0x68, 8).ue(5, 0).nal_unit()) == 5

    @pytest.mark.parametrize(
        "nal_unit", [b"\x68", SPS_360P, Bits().u(0x68, 8).ue(256).nal_unit(), PPS + b"\xff" * 5000]
    )
    def test_refuses_what_is_none(self, nal_unit: bytes) -> None:
        """The error is BadParameterSet, whatever is wrong."""
        with pytest.raises(BadParameterSet):
            pps_id(nal_unit)


class TestParameterSets:
    def test_describes_the_stream(self) -> None:
        """Everything a decoder must know, in one value."""
        sets = ParameterSets()

        assert sets.update((SPS_720P,), (PPS,))

        assert sets.params is not None
        assert sets.params.codec == Codec.H264
        assert (sets.params.width, sets.params.height) == (1280, 720)
        assert sets.params.rfc6381 == "avc1.64001f"
        assert sets.params.frame_rate == 25.0
        assert sets.params.reorder_depth == 0

    def test_waits_for_both_kinds(self) -> None:
        """SPS and PPS in packets of their own count when both are there."""
        sets = ParameterSets()

        assert not sets.update((SPS_360P,), ())
        assert sets.params is None
        assert sets.update((), (PPS,))
        assert sets.params is not None

    def test_what_is_repeated_changes_nothing(self) -> None:
        """Cameras send them before each key frame."""
        sets = ParameterSets()
        sets.update((SPS_360P,), (PPS,))
        before = sets.params

        assert not sets.update((SPS_360P,), (PPS,))
        assert not sets.update((), (PPS,))
        assert not sets.update((SPS_360P,), ())
        assert before == sets.params

    def test_a_new_pair_replaces_all(self) -> None:
        """After a change of resolution the old sets would lie (fault F7)."""
        sets = ParameterSets()
        other_pps = Bits().u(0x68, 8).ue(1, 0).nal_unit()
        sets.update((SPS_360P,), (PPS, other_pps))

        assert sets.update((SPS_720P,), (PPS,))

        assert sets.params is not None
        assert (sets.params.sps, sets.params.pps) == ((SPS_720P,), (PPS,))
        assert (sets.params.width, sets.params.height) == (1280, 720)

    def test_a_pps_alone_stands_beside_the_known_ones(self) -> None:
        """Its id tells which one it replaces; the order is by id."""
        sets = ParameterSets()
        other_pps = Bits().u(0x68, 8).ue(1, 0).nal_unit()
        sets.update((SPS_360P,), (other_pps,))

        assert sets.update((), (PPS,))

        assert sets.params is not None
        assert (PPS, other_pps) == sets.params.pps

    def test_a_bad_set_changes_nothing(self) -> None:
        """The sets before it still stand."""
        sets = ParameterSets()
        sets.update((SPS_360P,), (PPS,))
        before = sets.params

        with pytest.raises(BadParameterSet):
            sets.update((SPS_720P[:6],), (PPS,))
        with pytest.raises(BadParameterSet, match="too many"):
            sets.update((SPS_720P,) * (MAX_PARAMETER_SETS + 1), ())

        assert before == sets.params
        assert not sets.update((SPS_360P,), (PPS,))

    def test_b_slices_count_when_the_sps_is_silent(self) -> None:
        """Without a word from the VUI, a stream reorders as soon as it shows B slices (fault F14)."""
        sets = ParameterSets()
        silent = sps_head(77).ue(0, 0, 0, 1).u(0, 1).ue(19, 14).u(0b1100, 4).nal_unit()
        sets.update((silent,), (PPS,))
        assert sets.params is not None
        assert sets.params.reorder_depth == 0

        assert sets.note_b_slices()
        assert not sets.note_b_slices()

        assert sets.params.reorder_depth == 2

    def test_b_slices_before_the_sps_are_remembered(self) -> None:
        """Whoever speaks first, the answer is the same."""
        sets = ParameterSets()

        assert not sets.note_b_slices()
        sets.update((sps_head(77).ue(0, 0, 0, 1).u(0, 1).ue(19, 14).u(0b1100, 4).nal_unit(),), (PPS,))

        assert sets.params is not None
        assert sets.params.reorder_depth == 2
