"""Tests of camrelay.fanout.hls.peak."""

from __future__ import annotations

import pytest

from camrelay.fanout.hls.peak import Peak

#: TARGETDURATION is 2 s; (seconds, bytes) of segments -> bits per second.
SETS = [
    ([(2.0, 1000), (2.0, 3000), (2.0, 2000)], 12_000),  # the largest, not the newest
    ([(0.5, 5000)], 0),  # a key frame and little else
    ([(1.0, 5000)], 40_000),
    ([(0.5, 5000), (0.5, 1000)], 48_000),  # together they last long enough
    ([(0.5, 5000), (2.0, 1000), (0.5, 5000)], 8 * 11_000 / 3),
    ([(3.0, 3000)], 8000),
    ([(3.5, 9000), (0.5, 100)], 0),  # longer than any set may be
    ([(0.4, 100)] * 20, 2000),
]


@pytest.mark.parametrize(("segments", "bps"), SETS)
def test_the_peak_is_that_of_half_to_one_and_a_half_targetdurations(
    segments: list[tuple[float, int]], bps: float
) -> None:
    """Of every contiguous set that lasts so long [4.4.6.2]."""
    peak = Peak(2.0)
    for seconds, size_bytes in segments:
        peak.add(seconds, size_bytes)
    assert peak.bps == pytest.approx(bps)


def test_a_set_has_no_hole() -> None:
    """What comes after missing media is a set of its own; what was seen before stays seen."""
    peak = Peak(2.0)
    peak.add(0.5, 5000)
    peak.interrupt()
    peak.add(0.5, 5000)
    assert peak.bps == 0
    peak.add(0.5, 1000)
    assert peak.bps == 48_000
    peak.interrupt()
    assert peak.bps == 48_000
