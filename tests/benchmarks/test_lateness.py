"""What a part lost because a core was late, whatever the relay did."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from benchmarks import lateness
from benchmarks.faults.audience import worst_parts_s
from benchmarks.lateness import Idle, OwnLoop, Span, within_s, worst_s
from benchmarks.llhls.crowd import Crowd
from benchmarks.llhls.viewer import Shared, Viewer
from benchmarks.pinning import split
from load import until_true


def test_what_lies_in_two_spans_counts_once() -> None:
    """And what lies outside of them, or of the time asked for, not at all."""
    spans = [Span(4.0, 6.0), Span(1.0, 2.0), Span(5.0, 7.0), Span(5.5, 5.6)]
    assert within_s(spans, 0.0, 10.0) == pytest.approx(4.0)
    assert within_s(spans, 1.5, 4.5) == pytest.approx(1.0)
    assert within_s(spans, 2.0, 4.0) == 0.0
    assert within_s([], 0.0, 10.0) == 0.0
    assert worst_s(spans) == 2.0
    assert worst_s([]) == 0.0


def test_a_part_is_late_by_what_the_cores_do_not_explain() -> None:
    """The worst as it was seen need not be the relay's worst."""
    viewer, crowd = Viewer(Shared(), "http://127.0.0.1/hls/a/index.m3u8"), Crowd()
    crowd.viewers.append(viewer)
    viewer.delays_s, viewer.arrived_at = [0.5, 0.2], [10.0, 20.0]
    assert worst_parts_s([crowd], [Span(9.55, 9.95)]) == pytest.approx((0.5, 0.2))
    assert worst_parts_s([crowd], []) == pytest.approx((0.5, 0.5))
    assert worst_parts_s([], []) == (0.0, 0.0)


async def test_a_program_that_does_nothing_tells_when_it_could_not_run(tmp_path: Path) -> None:
    """On the core it was given."""
    async with Idle(split().server, tmp_path / "log") as idle:
        pid = idle._child.pid
        first = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(0.2)
        os.kill(pid, signal.SIGCONT)
        await until_true(lambda: worst_s(idle.spans) > 0.1)
        last = time.monotonic()
        assert within_s(idle.spans, first, last) > 0.1


async def test_an_event_loop_tells_when_it_was_held_up() -> None:
    """By whatever runs in it."""
    with OwnLoop() as own:
        await asyncio.sleep(2 * lateness._LOOK_S)
        time.sleep(0.1)  # noqa: ASYNC251 - that is what is to be noticed
        await until_true(lambda: worst_s(own.spans) > 0.05)
