"""The send time in an access unit can be written, overwritten and found."""

from __future__ import annotations

from camrelay.simulate import clock

SENT_US = 1_790_000_000_123_456
SLICE = b"\x65\x88\x84\x00\x00\x03\x00\x21"


def test_it_is_found_in_annex_b_and_in_avcc() -> None:
    """Start codes or lengths around the NAL unit make no difference."""
    sei = clock.sei_nal_unit(SENT_US)
    annex_b = b"\x00\x00\x00\x01\x09\xf0\x00\x00\x00\x01" + sei + b"\x00\x00\x01" + SLICE
    avcc = len(sei).to_bytes(4, "big") + sei + len(SLICE).to_bytes(4, "big") + SLICE

    assert SENT_US == clock.sent_us(annex_b) == clock.sent_us(avcc)


def test_access_units_of_other_cameras_have_none() -> None:
    """Neither a picture without SEI, nor another's SEI, nor a damaged one of ours gives a time."""
    sei = clock.sei_nal_unit(SENT_US)

    assert clock.sent_us(SLICE) is None
    assert clock.sent_us(sei.replace(clock.UUID, bytes(range(1, 17)))) is None
    assert clock.sent_us(sei.replace(clock.digits(SENT_US), b"_" * clock.DIGITS)) is None
    assert clock.sent_us(sei[:-1]) is None


def test_digits_are_overwritten_in_place() -> None:
    """DIGITS_AT says where; the NAL unit keeps its size and never needs emulation prevention."""
    unit = bytearray(clock.sei_nal_unit(0))
    at = len(clock.H264_HEADER) + clock.DIGITS_AT
    unit[at : at + clock.DIGITS] = clock.digits(SENT_US)

    assert clock.sei_nal_unit(SENT_US) == unit
    assert 0 not in unit


def test_h265_has_another_header() -> None:
    """And the same message."""
    sei = clock.sei_nal_unit(SENT_US, clock.H265_HEADER)
    assert sei[0] >> 1 == 39
    assert clock.sent_us(sei) == SENT_US
