"""Slopes of a soak, and the camera that reboots meanwhile."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pytest

from benchmarks.command import Run
from benchmarks.mixed import Reading, Reboots, slope
from benchmarks.result import Result
from load import until_true


def reading(hours: float, memory_mb: float, lag_p99_ms: float = 1.0) -> Reading:
    return Reading(hours, 0.1, memory_mb, 40, 9, lag_p99_ms)


def test_the_slope_is_what_is_gained_per_hour() -> None:
    """A line through all readings, not from the first to the last."""
    straight = [reading(i / 60, 100 + 2 * i) for i in range(30)]
    assert slope(straight, lambda each: each.memory_mb) == pytest.approx(120)
    assert slope(straight, lambda each: each.threads) == pytest.approx(0)
    spiked = [*straight[:-1], straight[-1]._replace(memory_mb=100)]
    assert slope(spiked, lambda each: each.memory_mb) == pytest.approx(120, rel=0.2)


def test_there_is_no_slope_without_two_readings() -> None:
    """A reading without the quantity counts for nothing."""
    found = [reading(0.0, 100), reading(0.1, 101, lag_p99_ms=math.nan)]
    assert slope(found, lambda each: each.lag_p99_ms) is None
    assert slope([], lambda each: each.memory_mb) is None


class Camera:
    """Up, or not."""

    def __init__(self) -> None:
        self.is_up = True

    def reset(self, *, refuse: bool) -> None:
        assert self.is_up
        self.is_up = not refuse

    async def listen(self) -> None:
        assert not self.is_up
        self.is_up = True


async def test_a_rebooting_camera_is_up_in_the_end(tmp_path: Path) -> None:
    """Whenever it is stopped, it neither stays away nor reboots again."""
    options = argparse.Namespace(reboot_every=0.01, down=10.0)
    run, camera = Run(Result("mixed", "", {}, 1), options, tmp_path), Camera()
    async with Reboots(run, camera) as reboots:
        await until_true(lambda: not camera.is_up)
    assert camera.is_up
    assert reboots.count == 1
