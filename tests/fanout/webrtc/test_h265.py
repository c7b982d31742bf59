"""Tests of camrelay.fanout.webrtc.h265."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import H265_PARAMS, H265_PPS, H265_SPS
from camrelay.fanout.webrtc import h265

IDR = bytes((19 << 1, 1)) + bytes(range(200))
CHROMIUM = "profile-id=1;tier-flag=0;level-id=93;tx-mode=SRST"


def test_small_ones_go_together() -> None:
    """RFC 7798 §4.4.2: each behind its size."""
    size = len(H265_SPS).to_bytes(2)
    assert h265.aggregate([H265_SPS, H265_PPS]) == b"\x60\x01" + size + H265_SPS + b"\0\6" + H265_PPS


def test_an_aggregate_is_as_low_as_its_lowest() -> None:
    """Layer and temporal layer; and damaged if one is."""
    assert h265.aggregate([b"\x02\x03x", b"\x82\x01x"])[:2] == bytes((0x80 | 48 << 1, 1))
    high = bytes((1 << 1 | 1, 1 << 3 | 5))
    assert h265.aggregate([high, high])[:2] == bytes((48 << 1 | 1, 1 << 3 | 5))


@given(st.integers(4, 300))
def test_fragments_are_the_whole(payload_bytes: int) -> None:
    """RFC 7798 §4.4.3: start and end are marked, all are of one size but the last."""
    found = list(h265.fragments(IDR, payload_bytes))

    assert b"".join(fragment[3:] for fragment in found) == IDR[2:]
    assert all(fragment[:2] == bytes((49 << 1, 1)) for fragment in found)
    assert {fragment[2] & 0x3F for fragment in found} == {19}
    assert [bool(fragment[2] & 0x80) for fragment in found] == [i == 0 for i in range(len(found))]
    assert [bool(fragment[2] & 0x40) for fragment in found] == [
        i == len(found) - 1 for i in range(len(found))
    ]
    assert all(len(fragment) == payload_bytes for fragment in found[:-1])


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        ({}, CHROMIUM),
        ({"profile-id": "1", "tier-flag": "0", "level-id": "93", "tx-mode": "SRST"}, CHROMIUM),
        ({"profile-id": 2, "level-id": 180}, "profile-id=2;tier-flag=0;level-id=180;tx-mode=SRST"),
        ({"tx-mode": "MRST"}, ""),
        ({"profile-id": "1\r\na=x"}, ""),
        ({"level-id": "12345"}, ""),
        ({"tier-flag": "\u0661"}, ""),
    ],
)
def test_answers_what_was_offered(offered: dict[str, Any], answer: str) -> None:
    """What is left out has its default (RFC 7798 §7.1); nobody writes lines of his own into an answer."""
    assert h265.parameters(offered) == answer


@pytest.mark.parametrize(
    ("offered", "is_good"), [({}, True), ({"profile-id": 2}, False), ({"tier-flag": 1}, False)]
)
def test_profile_and_tier_must_fit(offered: dict[str, Any], is_good: bool) -> None:
    """A decoder of Main 10 need not take Main from a camera; levels are not compared."""
    assert h265.accepts(h265.parameters(offered), H265_PARAMS.config) == is_good
