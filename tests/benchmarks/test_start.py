"""How far behind live a picture on screen is."""

from __future__ import annotations

import time

import pytest

from benchmarks.lateness import Span
from benchmarks.start import lateness, undisturbed
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


def test_a_start_during_which_the_machine_stood_still_is_told_apart() -> None:
    """Whichever core it was; what happened before the navigation or after the picture does not count."""
    now_s, now_ms = time.monotonic(), time.time() * 1000
    starts = [Shown(now_ms + 1000 * i, 10.0, 15.0, 20.0, 25.0, [(150.0 + i, 1)]) for i in range(4)]
    one = [Span(now_s + 1.1, now_s + 1.14)]
    other = [Span(now_s + 0.2, now_s + 0.9), Span(now_s + 2.02, now_s + 2.03), Span(now_s + 2.9, now_s + 3.1)]

    assert undisturbed(starts, one, other) == [150.0, 152.0]
    assert undisturbed(starts, [], []) == [150.0, 151.0, 152.0, 153.0]
