"""Tests of camrelay.ingest.h265."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import H265_PPS, H265_SPS, H265_VPS
from camrelay.errors import BadNalUnit
from camrelay.ingest.h264 import MAX_NAL_UNITS, to_avcc
from camrelay.ingest.h265 import kind_of, parse_nal_units

IDR = bytes((19 << 1, 1)) + b"\xaf idr"
CRA = bytes((21 << 1, 1)) + b"\xaf cra"
SLICE = bytes((1 << 1, 1)) + b"\xd0 slice"
AUD = bytes((35 << 1, 1)) + b"\x50"
#: A recovery point behind two bytes of header (H.265 §D.2.8).
RECOVERY_POINT = bytes((39 << 1, 1, 6, 1, 0x84, 0x80))
SUFFIX_SEI = bytes((40 << 1, 1, 132, 1, 0, 0x80))


def test_takes_a_key_frame_apart() -> None:
    """Parameter sets aside, delimiters dropped, the rest behind lengths."""
    picture = parse_nal_units([AUD, H265_VPS, H265_SPS, H265_PPS, IDR, SUFFIX_SEI])

    assert picture.data == to_avcc([IDR, SUFFIX_SEI])
    assert (picture.vps, picture.sps, picture.pps) == ((H265_VPS,), (H265_SPS,), (H265_PPS,))
    assert picture.is_idr
    assert not picture.has_recovery_point
    assert not picture.has_b_slices


@pytest.mark.parametrize(("nal_unit", "is_key"), [(IDR, True), (CRA, True), (SLICE, False)])
def test_knows_where_decoding_may_start(nal_unit: bytes, is_key: bool) -> None:
    """At IDR pictures, and at those that cameras with open GOPs have instead."""
    assert parse_nal_units([nal_unit]).is_idr == is_key


def test_finds_recovery_points() -> None:
    """Of a camera that refreshes gradually; one without a picture is none."""
    assert parse_nal_units([RECOVERY_POINT, SLICE]).has_recovery_point
    assert not parse_nal_units([RECOVERY_POINT]).has_recovery_point
    assert parse_nal_units([RECOVERY_POINT]).data == b""


@pytest.mark.parametrize("dropped", [b"\x02\x01", bytes((19 << 1, 9)) + b"x", bytes((39, 1)) + b"x"])
def test_drops_what_no_browser_decodes(dropped: bytes) -> None:
    """What is cut short, and layers above the base."""
    assert parse_nal_units([dropped, IDR]).data == to_avcc([IDR])


def test_finds_what_stands_behind_a_hidden_start_code() -> None:
    """Whoever joined the bytes may have left one inside."""
    assert parse_nal_units([H265_PPS + b"\0\0\1" + IDR]).data == to_avcc([IDR])


@pytest.mark.parametrize(
    "nal_units", [[b"\xa6\x01x"], [SLICE] * (MAX_NAL_UNITS + 1), [bytes(10_000_000) + b"x"]]
)
def test_refuses_what_is_damaged_or_over_the_limits(nal_units: list[bytes]) -> None:
    """forbidden_zero_bit, too many, too much."""
    with pytest.raises(BadNalUnit):
        parse_nal_units(nal_units)


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=5))
def test_is_safe_with_anything(nal_units: list[bytes]) -> None:
    """One kind of error, and no other."""
    try:
        picture = parse_nal_units(nal_units)
    except BadNalUnit:
        return
    assert picture.data or not picture.is_idr


def test_types() -> None:
    """The six bits behind the first."""
    assert [kind_of(unit) for unit in (H265_VPS, H265_SPS, H265_PPS, IDR)] == [32, 33, 34, 19]
