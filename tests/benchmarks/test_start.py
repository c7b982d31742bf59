"""How far behind live a picture on screen is."""

from __future__ import annotations

import pytest

from benchmarks.start import lateness
from benchmarks.visitor import Shown


def test_a_picture_is_as_late_as_its_sending_is_long_ago() -> None:
    """By the clock of the picture with the same RTP timestamp; the first moments do not count."""
    began_ms = 1_700_000_000_000.0
    pictures = [(80.0 + 40 * i, 3600 * i) for i in range(20)]
    clocks = {3600 * i: round((began_ms + 55.0 + 40 * i) * 1000) for i in range(20)}

    late = lateness(Shown(began_ms, 10.0, 15.0, 20.0, 25.0, pictures), clocks)

    assert late == pytest.approx([25.0] * len(late))
    assert len(late) == sum(at > 80.0 + 500 for at, _ in pictures)


def test_pictures_that_nobody_timed_are_left_out() -> None:
    """The GOP so far comes with timestamps of its own."""
    pictures = [(80.0 + 40 * i, 3600 * i + 1) for i in range(20)]
    assert lateness(Shown(0.0, 10.0, 15.0, 20.0, 25.0, pictures), {3600 * i: 0 for i in range(20)}) == []
