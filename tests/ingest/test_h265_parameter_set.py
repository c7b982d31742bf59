"""Tests of camrelay.ingest.h265_parameter_set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import H265_PPS, H265_SPS, H265_VPS
from camrelay.errors import BadParameterSet
from camrelay.ingest.h265_parameter_set import H265ParameterSets, parse_sps, rfc6381
from camrelay.ingest.parameter_set import MAX_PARAMETER_SET_BYTES
from camrelay.model import Codec

#: Main, level 3.1, progressive, frames only: as most cameras begin.
GENERAL = bytes.fromhex("01600000009000000000005d")


class Writer:
    """Writes an SPS bit by bit: what the parser reads, from the other side (§7.3.2.2.1)."""

    def __init__(self) -> None:
        self.bits = ""

    def u(self, value: int, bits: int) -> Writer:
        self.bits += f"{value:0{bits}b}"
        return self

    def ue(self, *values: int) -> Writer:
        for value in values:
            code = f"{value + 1:b}"
            self.bits += "0" * (len(code) - 1) + code
        return self

    def nal_unit(self) -> bytes:
        bits = self.bits + "1"
        bits += "0" * (-len(bits) % 8)
        rbsp = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
        escaped = bytearray((33 << 1, 1))
        for byte in rbsp:
            if escaped.endswith(b"\0\0") and byte < 4:
                escaped.append(3)
            escaped.append(byte)
        return bytes(escaped)


def sps(
    *,
    sub_layers: int = 0,
    id: int = 0,
    chroma: int = 1,
    width: int = 640,
    height: int = 368,
    crop: tuple[int, int, int, int] | None = (0, 0, 0, 4),
    depths: tuple[int, int] = (0, 0),
    reorder: tuple[int, ...] = (0,),
) -> bytes:
    made = Writer().u(0, 4).u(sub_layers, 3).u(1, 1)
    for byte in GENERAL:
        made.u(byte, 8)
    if sub_layers:
        # The first has a profile and a level, the others have nothing.
        for i in range(sub_layers):
            made.u(3 if i == 0 else 0, 2)
        made.u(0, 2 * (8 - sub_layers)).u(1, 96)
    made.ue(id, chroma)
    if chroma == 3:
        made.u(0, 1)
    made.ue(width, height).u(crop is not None, 1)
    made.ue(*(crop or ()))
    made.ue(*depths, 4).u(len(reorder) > 1, 1)
    for depth in reorder:
        made.ue(4, depth, 0)
    return made.nal_unit()


class TestSps:
    def test_of_an_encoder(self) -> None:
        """libx265's, as the simulated camera sends it."""
        found = parse_sps(H265_SPS)
        assert (found.id, found.width, found.height, found.reorder_depth) == (0, 320, 180, 0)
        assert found.configuration.hex() == "0101600000009000000000003cf000fcfdf8f800000f"

    def test_conformance_window(self) -> None:
        """It counts chroma samples (table 6-1); some streams have none."""
        assert parse_sps(sps())[1:3] == (640, 360)
        assert parse_sps(sps(crop=None))[1:3] == (640, 368)
        assert parse_sps(sps(chroma=3, crop=(1, 1, 0, 8)))[1:3] == (638, 360)
        assert parse_sps(sps(chroma=2, crop=(1, 1, 0, 8)))[1:3] == (636, 360)

    def test_sub_layers(self) -> None:
        """Their profiles are passed over, and the highest one's reordering counts."""
        found = parse_sps(sps(sub_layers=2, reorder=(0, 1, 3)))
        assert (found.width, found.height, found.reorder_depth) == (640, 360, 3)
        assert found.configuration[-1] == 3 << 3 | 1 << 2 | 3
        assert parse_sps(sps(sub_layers=2, reorder=(2,))).reorder_depth == 2

    def test_format_of_the_samples(self) -> None:
        """Ten bits of Main 10 stand in the configuration."""
        assert parse_sps(sps(depths=(2, 2))).configuration[16:19] == bytes((0xFD, 0xFA, 0xFA))

    @pytest.mark.parametrize(
        "bad",
        [
            b"",
            H265_SPS[:10],
            H265_SPS[:18],
            H265_PPS * 4,
            H265_SPS + bytes(MAX_PARAMETER_SET_BYTES),
            sps(id=16),
            sps(chroma=4),
            sps(depths=(9, 0)),
            sps(reorder=(17,)),
            sps(width=20_000),
            sps(height=0, crop=None),
        ],
    )
    def test_refuses_what_no_decoder_accepts(self, bad: bytes) -> None:
        """Cut short, another NAL unit, too long, or with values that do not exist."""
        with pytest.raises(BadParameterSet):
            parse_sps(bad)

    @given(st.binary(max_size=60))
    def test_is_safe_with_anything(self, data: bytes) -> None:
        """One kind of error, and no other."""
        try:
            parse_sps(H265_SPS[:2] + data)
        except BadParameterSet:
            return


@pytest.mark.parametrize(
    ("general", "text"),
    [
        (GENERAL, "hvc1.1.6.L93.90"),
        (bytes((0x22, 0x20, 0, 0, 0)) + bytes(6) + bytes((153,)), "hvc1.2.4.H153"),
        (bytes((0x41, 0x60, 0, 0, 0, 0xB0, 0, 0x80, 0, 0, 0, 30)), "hvc1.A1.6.L30.B0.0.80"),
    ],
)
def test_codec_strings(general: bytes, text: str) -> None:
    """ISO/IEC 14496-15 §E.3: compatibility flags back to front, zero bytes at the end left out."""
    assert rfc6381(general) == text


class TestParameterSets:
    def test_are_complete_with_all_three(self) -> None:
        """However they come."""
        sets = H265ParameterSets()
        assert not sets.update((H265_SPS,), (H265_PPS,))
        assert sets.params is None
        assert sets.update((), (), (H265_VPS,))

        params = sets.params
        assert params is not None
        assert params.codec is Codec.H265
        assert (params.vps, params.sps, params.pps) == ((H265_VPS,), (H265_SPS,), (H265_PPS,))
        assert (params.width, params.height, params.rfc6381) == (320, 180, "hvc1.1.6.L60.90")
        assert params.config == parse_sps(H265_SPS).configuration
        assert not sets.update((H265_SPS,), (H265_PPS,), (H265_VPS,))

    @pytest.mark.parametrize(
        ("sps", "pps", "vps"),
        [
            ((), (H265_PPS[:2],), ()),
            ((), (bytes((34 << 1, 1)) + bytes((0x01, 0x04)),), ()),
            ((), (), (H265_VPS[:2],)),
            ((), (), (H265_PPS,)),
            ((H265_VPS,), (), ()),
            ((), (), (H265_VPS,) * 40),
        ],
    )
    def test_what_is_none_changes_nothing(
        self, sps: tuple[bytes, ...], pps: tuple[bytes, ...], vps: tuple[bytes, ...]
    ) -> None:
        """Cut short, of another kind, too many, or with an id that does not exist."""
        sets = H265ParameterSets()
        sets.update((H265_SPS,), (H265_PPS,), (H265_VPS,))
        before = sets.params
        with pytest.raises(BadParameterSet):
            sets.update(sps, pps, vps)
        assert sets.params is before
