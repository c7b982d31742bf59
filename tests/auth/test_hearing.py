"""What it means to hear nothing of other relays."""

from __future__ import annotations

import math

import pytest

from camrelay.auth.hearing import Hearing, hearing
from camrelay.config import Auth


@pytest.mark.parametrize(
    ("end_s", "silent_s", "expected"),
    [
        (30, 0, Hearing.FED),
        (30, 5, Hearing.FED),
        (30, 5.1, Hearing.LOST),
        (30, 30, Hearing.LOST),
        (30, 30.1, Hearing.ENDED),
        (30, math.inf, Hearing.ENDED),
        (0, math.inf, Hearing.LOST),
    ],
)
def test_first_nobody_begins_then_nobody_goes_on(end_s: float, silent_s: float, expected: Hearing) -> None:
    """Unless the operator lets them go on."""
    assert hearing(Auth(lost_feed_refuse_s=5, lost_feed_end_s=end_s), 100.0, 100.0 + silent_s) is expected
