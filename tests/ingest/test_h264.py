from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay.errors import BadNalUnit
from camrelay.ingest.h264 import (
    MAX_ACCESS_UNIT_BYTES,
    MAX_NAL_UNITS,
    annexb_nal_units,
    avcc_nal_units,
    is_b_slice,
    is_recovery_point,
    parse_access_unit,
    parse_nal_units,
    to_avcc,
    unescape,
)
from ingest.encoder import encode

SPS = bytes.fromhex("6764001eacb201405ff2c2000003000200000300651e2c5c90")
PPS = bytes.fromhex("68ebc3cb22c0")
AUD = bytes.fromhex("0910")
FILLER = bytes.fromhex("0cffff80")
SEI = bytes.fromhex("0605040102030480")
RECOVERY_POINT = bytes.fromhex("0606018480")
IDR = bytes.fromhex("65888040ff")
SLICE = bytes.fromhex("419a2040ff")
B_SLICE = bytes.fromhex("019e2040ff")


def annexb(*nal_units: bytes, start_code: bytes = b"\x00\x00\x00\x01") -> bytes:
    return b"".join(start_code + nal_unit for nal_unit in nal_units)


def escaped(rbsp: bytes) -> bytes:
    """What an encoder writes for these bytes (§7.4.1)."""
    out = bytearray()
    zeros = 0
    for byte in rbsp:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


class TestAnnexB:
    @pytest.mark.parametrize(
        "start_code", [b"\x00\x00\x01", b"\x00\x00\x00\x01", b"\x00\x00\x00\x00\x00\x01"]
    )
    def test_splits_at_start_codes_of_any_length(self, start_code: bytes) -> None:
        """Zeros before a start code belong to it, not to the NAL unit."""
        assert annexb_nal_units(annexb(SPS, PPS, IDR, start_code=start_code)) == [SPS, PPS, IDR]

    def test_ignores_what_stands_before_the_first_start_code_and_empty_nal_units(self) -> None:
        """Such bytes are no NAL unit."""
        assert annexb_nal_units(b"junk" + annexb(b"", IDR, b"")) == [IDR]

    def test_finds_nothing_where_no_start_code_is(self) -> None:
        """Bytes without a start code hold no NAL unit."""
        assert annexb_nal_units(b"\x65" * 100) == []

    def test_refuses_an_access_unit_over_the_limit(self) -> None:
        """Ten megabytes are the limit, whoever says otherwise."""
        data = annexb(IDR) + b"\xff" * MAX_ACCESS_UNIT_BYTES

        with pytest.raises(BadNalUnit, match="bytes"):
            annexb_nal_units(data)

    @pytest.mark.parametrize("nal_unit", [b"", b"\x65"])
    def test_refuses_a_storm_of_start_codes(self, nal_unit: bytes) -> None:
        """Even empty NAL units cost time, so they count."""
        with pytest.raises(BadNalUnit, match="NAL units"):
            annexb_nal_units(annexb(nal_unit) * MAX_NAL_UNITS)

    @given(st.lists(st.binary(min_size=1, max_size=60), max_size=8))
    def test_whatever_an_encoder_joins_is_split_again(self, payloads: list[bytes]) -> None:
        """Escaped NAL units come back as they were, in order."""
        nal_units = [b"\x41" + escaped(payload) + b"\x80" for payload in payloads]

        assert nal_units == annexb_nal_units(annexb(*nal_units))

    @given(st.binary(max_size=400))
    def test_any_bytes_give_nal_units_without_start_code_or_trailing_zero(self, data: bytes) -> None:
        """No input raises, and no output could be split again."""
        for nal_unit in annexb_nal_units(data):
            assert nal_unit
            assert b"\x00\x00\x01" not in nal_unit
            assert nal_unit[-1] != 0


class TestAvcc:
    def test_is_the_inverse_of_joining(self) -> None:
        """Lengths in, lengths out."""
        assert list(avcc_nal_units(to_avcc([SEI, IDR]))) == [SEI, IDR]

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"\x00\x00\x00\x00", id="length 0"),
            pytest.param(b"\x00\x00\x00\x05\x65", id="past the end"),
            pytest.param(b"\x00\x00\x05", id="cut length"),
            pytest.param(to_avcc([IDR]) + b"\x00", id="trailing byte"),
        ],
    )
    def test_refuses_lengths_that_do_not_fit(self, data: bytes) -> None:
        """A wrong length is corruption: nothing behind it can be found."""
        with pytest.raises(BadNalUnit, match="length"):
            list(avcc_nal_units(data))

    @given(st.lists(st.binary(min_size=1, max_size=60), max_size=8))
    def test_any_nal_units_come_back(self, nal_units: list[bytes]) -> None:
        """The framing is transparent."""
        assert nal_units == list(avcc_nal_units(to_avcc(nal_units)))


class TestAccessUnit:
    def test_keeps_slices_and_sei_and_takes_parameter_sets_out(self) -> None:
        """AUD, filler, SPS and PPS are not part of AVCC data; SEI is."""
        picture = parse_access_unit(annexb(AUD, SPS, PPS, SEI, IDR, FILLER))

        assert to_avcc([SEI, IDR]) == picture.data
        assert picture.is_idr
        assert (picture.sps, picture.pps) == ((SPS,), (PPS,))

    def test_one_nal_unit_that_hides_three_is_three(self) -> None:
        """Cameras join SPS, PPS and IDR in one RTP payload with start codes between them."""
        picture = parse_access_unit(b"\x00\x00\x00\x01" + SPS + b"\x00\x00\x01" + PPS + b"\x00\x00\x01" + IDR)

        assert (to_avcc([IDR]), (SPS,), (PPS,)) == (picture.data, picture.sps, picture.pps)

    def test_what_one_rtp_payload_hides_is_split(self) -> None:
        """The same camera, read without an Annex B start code before the first."""
        joined = SPS + b"\x00\x00\x01" + PPS + b"\x00\x00\x01" + IDR

        assert parse_nal_units([joined]) == parse_nal_units([SPS, PPS, IDR])

    def test_zeros_behind_a_nal_unit_are_not_part_of_it(self) -> None:
        """Its last byte is never 0 (§7.4.1); what is nothing but zeros is no NAL unit."""
        assert parse_nal_units([SEI + b"\x00\x00", b"", b"\x00", IDR]) == parse_nal_units([SEI, IDR])

    @pytest.mark.parametrize(
        "nal_units",
        [
            pytest.param([SLICE] * (MAX_NAL_UNITS + 1), id="NAL units"),
            pytest.param([SLICE + b"\xff" * MAX_ACCESS_UNIT_BYTES], id="bytes"),
        ],
    )
    def test_refuses_more_than_the_limits(self, nal_units: list[bytes]) -> None:
        """However they came, a picture has no more of them."""
        with pytest.raises(BadNalUnit, match="limits"):
            parse_nal_units(nal_units)

    def test_parameter_sets_alone_are_no_picture(self) -> None:
        """Cameras that mark SPS and PPS as an access unit of their own do not get an empty picture."""
        picture = parse_access_unit(annexb(SPS, PPS, SEI, RECOVERY_POINT))

        assert picture.data == b""
        assert not picture.is_idr
        assert not picture.has_recovery_point
        assert picture.sps == (SPS,)

    def test_a_slice_of_any_picture_but_idr_is_not_a_key(self) -> None:
        """Only an IDR picture is one by itself."""
        picture = parse_access_unit(annexb(AUD, SLICE, SLICE))

        assert to_avcc([SLICE, SLICE]) == picture.data
        assert not picture.is_idr
        assert not picture.has_recovery_point
        assert not picture.has_b_slices

    def test_gradual_refresh_is_seen(self) -> None:
        """A recovery point says where decoding may start without an IDR picture."""
        assert parse_access_unit(annexb(RECOVERY_POINT, SLICE)).has_recovery_point

    def test_b_slices_are_seen(self) -> None:
        """An SPS need not tell that there are any."""
        assert parse_access_unit(annexb(B_SLICE)).has_b_slices

    def test_a_corrupt_nal_unit_spoils_the_access_unit(self) -> None:
        """forbidden_zero_bit is how the network says a NAL unit is damaged (RFC 6184 §1.3)."""
        with pytest.raises(BadNalUnit, match="forbidden"):
            parse_access_unit(annexb(bytes([0x80 | IDR[0]]) + IDR[1:]))

    @given(st.binary(max_size=300))
    def test_any_bytes_are_parsed_or_refused(self, data: bytes) -> None:
        """Nothing but BadNalUnit leaves, and what comes out is sound AVCC."""
        try:
            picture = parse_access_unit(annexb(data))
        except BadNalUnit:
            return
        assert picture.data == to_avcc(list(avcc_nal_units(picture.data)))

    @pytest.mark.parametrize("b_frames", [0, 2])
    def test_agrees_with_an_encoder(self, b_frames: int) -> None:
        """Key frames and B slices are found where libx264 says it put them."""
        packets = encode(f"keyint=10:bframes={b_frames}:aud=1:slices=2")

        pictures = [parse_access_unit(bytes(packet)) for packet in packets]

        assert [packet.is_keyframe for packet in packets] == [picture.is_idr for picture in pictures]
        assert bool(b_frames) == any(picture.has_b_slices for picture in pictures)
        assert all(picture.data for picture in pictures)

    def test_agrees_with_an_encoder_about_gradual_refresh(self) -> None:
        """libx264 with intra-refresh writes one IDR picture, then recovery points."""
        packets = encode("keyint=10:intra-refresh=1:bframes=0")

        pictures = [parse_access_unit(bytes(packet)) for packet in packets]

        assert [i for i, picture in enumerate(pictures) if picture.is_idr] == [0]
        assert len([picture for picture in pictures if picture.has_recovery_point]) >= 2


class TestSlices:
    @pytest.mark.parametrize(
        ("slice_type_bits", "is_b"),
        [
            ("1", False),  # 0, P
            ("010", True),  # 1, B
            ("011", False),  # 2, I
            ("00100", False),  # 3, SP
            ("00101", False),  # 4, SI
            ("00110", False),  # 5, P only
            ("00111", True),  # 6, B only
            ("0001000", False),  # 7, I only
        ],
    )
    @pytest.mark.parametrize("rest", ["0", "1"])
    def test_slice_type_is_read(self, slice_type_bits: str, is_b: bool, rest: str) -> None:
        """Types 1 and 6 are B, whatever bits follow."""
        head = int(("1" + slice_type_bits).ljust(8, rest), 2)

        assert is_b == is_b_slice(bytes([0x01, head]))

    def test_a_slice_that_begins_later_or_is_cut_is_not_looked_at(self) -> None:
        """first_mb_in_slice other than 0 moves the type; the picture's first slice tells anyway."""
        assert not is_b_slice(b"\x01\x4a")
        assert not is_b_slice(b"\x01")


class TestSei:
    def test_finds_a_recovery_point_behind_other_messages(self) -> None:
        """Payload types and sizes above 254 take several bytes."""
        user_data = b"\x05\xff\x05" + b"\xaa" * 260

        assert is_recovery_point(b"\x06" + user_data + b"\x06\x01\x84\x80")
        assert not is_recovery_point(b"\x06" + user_data + b"\x80")
        assert not is_recovery_point(b"\x06\xff\x06\x01\x84\x80")

    def test_sizes_count_without_emulation_prevention(self) -> None:
        """Two zeros and a 3 are two bytes of payload (§7.3.1)."""
        assert is_recovery_point(b"\x06\x05\x03\x00\x00\x03\x01\x06\x01\x84\x80")

    @given(st.binary(max_size=100))
    def test_any_bytes_have_an_answer(self, payload: bytes) -> None:
        """Cut and nonsensical messages end the search."""
        assert is_recovery_point(b"\x06" + payload) in (True, False)


@given(st.binary(max_size=200))
def test_unescape_undoes_what_an_encoder_does(rbsp: bytes) -> None:
    """Emulation prevention is transparent (§7.4.1)."""
    assert rbsp == unescape(escaped(rbsp))
