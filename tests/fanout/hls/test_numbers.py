"""Tests of camrelay.fanout.hls.numbers."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from camrelay.fanout.hls.numbers import FILE, DiscontinuityNumbers
from camrelay.model import CameraId

DOOR, YARD = CameraId("door"), CameraId("yard")


async def test_each_start_has_a_number_nobody_saw(tmp_path: Path) -> None:
    """A later process goes on after the highest number of the one before it."""
    first = DiscontinuityNumbers(tmp_path)
    assert first.next(DOOR) == 0
    first.seen(DOOR, 1)
    first.seen(DOOR, 2)
    await first.flush()

    second = DiscontinuityNumbers(tmp_path)

    assert second.next(DOOR) == 3
    assert second.next(YARD) == 0
    await second.flush()


async def test_a_camera_that_is_added_again_goes_on(tmp_path: Path) -> None:
    """Also within one process, and also where nothing is stored."""
    numbers = DiscontinuityNumbers(None)

    assert [numbers.next(DOOR), numbers.next(DOOR)] == [0, 1]
    await numbers.flush()
    assert list(tmp_path.iterdir()) == []


async def test_a_start_alone_is_remembered(tmp_path: Path) -> None:
    """Two starts without any discontinuity are two timelines all the same."""
    for expected in range(3):
        numbers = DiscontinuityNumbers(tmp_path)
        assert numbers.next(DOOR) == expected
        await numbers.flush()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"door": "x"}', b"\xff"])
async def test_a_broken_file_starts_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is kept from watching by a broken file; the operator is told."""
    (tmp_path / FILE).write_bytes(content)

    with caplog.at_level(logging.WARNING, "camrelay.fanout"):
        numbers = DiscontinuityNumbers(tmp_path)

    assert numbers.next(DOOR) == 0
    assert "starting anew" in caplog.text
    await numbers.flush()
    assert (tmp_path / FILE).read_bytes() == b'{"door":0}'


async def test_a_disk_that_refuses_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The number counts in memory; the next one tries again to be stored."""
    directory = tmp_path / "gone"
    numbers = DiscontinuityNumbers(directory)

    with caplog.at_level(logging.WARNING, "camrelay.fanout"):
        assert numbers.next(DOOR) == 0
        await numbers.flush()
    assert "could not be stored" in caplog.text
    directory.mkdir()
    assert numbers.next(DOOR) == 1
    await numbers.flush()

    assert (directory / FILE).read_bytes() == b'{"door":1}'
