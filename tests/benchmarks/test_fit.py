"""How cost grows: the fit finds what made the points, and says how far off it is beyond them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks import fit
from benchmarks.fit import Point
from benchmarks.result import Cell, Result, Table, read
from camrelay.capacity import Capacity


def made(fixed: float, each: float, per_mbps: float, *bitrates: float) -> list[Point]:
    return [
        Point(count, bitrate, fixed + each * count + per_mbps * count * bitrate)
        for bitrate in bitrates
        for count in (100, 200, 400)
    ]


def test_a_fit_finds_what_made_the_points() -> None:
    """And predicts the one that was kept out."""
    found = fit.fit(made(3.0, 0.01, 0.02, 1.0, 4.0))

    assert found is not None
    assert found[:3] == pytest.approx((3.0, 0.01, 0.02))
    assert found.error == pytest.approx(0.0, abs=1e-9)
    assert found.at(1000, 2000) == pytest.approx(53.0)


def test_the_error_is_that_of_the_largest_point() -> None:
    """It is not fitted away: that point has no say."""
    points = made(3.0, 0.01, 0.02, 1.0, 4.0)
    true = points[-1].cost
    found = fit.fit([*points[:-1], points[-1]._replace(cost=true * 2)])

    assert found is not None
    assert found[:3] == pytest.approx((3.0, 0.01, 0.02))
    assert found.error == pytest.approx(0.5)


def test_nothing_becomes_cheaper_by_more_of_it() -> None:
    """Where noise says so, it costs nothing, and the rest is fitted without it."""
    noisy = [Point(50, 1.0, 10.0), Point(100, 1.0, 9.0), Point(50, 4.0, 30.0), Point(100, 4.0, 52.0)]
    noisy.append(Point(200, 4.0, 100.0))
    found = fit.fit(noisy)

    assert found is not None
    assert min(found[:3]) == 0.0
    assert found.at(100, 400) == pytest.approx(52.0, rel=0.2)


@pytest.mark.parametrize(
    "points",
    [[], made(3.0, 0.01, 0.02, 2.0), made(3.0, 0.01, 0.02, 1.0, 4.0)[2:4]],
    ids=["none", "one bit rate", "too few"],
)
def test_points_that_determine_nothing_give_no_fit(points: list[Point]) -> None:
    """Count and Mb/s cannot be told apart at one bit rate."""
    assert fit.fit(points) is None


def result(directory: Path, bitrate: int) -> None:
    """A webrtc result as the command leaves it, with a server that is not camrelay."""
    rows: list[list[Cell]] = [
        [server, count, factor * (2 + count * bitrate / 1e8), 100.0 + count / 10]
        for server, factor in (("camrelay", 1), ("mediamtx", 5))
        for count in (50, 100, 200)
    ]
    table = Table("Every size of the first round", ["server", "viewers", "core %", "RSS MB"], rows)
    Result("webrtc", "", {"bitrate": bitrate}, 1, tables=[table]).write(directory)


def test_the_command_reads_results_and_says_what_it_has_none_of(tmp_path: Path) -> None:
    """Viewers that were measured have figures; cameras that were not have a reason."""
    result(tmp_path / "1M", 1_000_000)
    result(tmp_path / "4M", 4_000_000)
    command = [sys.executable, "-m", "benchmarks.fit", "--out", str(tmp_path)]
    command += [
        "--results",
        str(tmp_path / "1M"),
        str(tmp_path / "4M"),
        "--write",
        str(tmp_path / "capacity"),
    ]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    figures = read(tmp_path / "fit.json").figures
    assert figures["fit_webrtc_core_percent_per_mbps"].value == pytest.approx(0.01)
    assert figures["fit_webrtc_memory_mb_each"].value == pytest.approx(0.1)
    assert figures["fit_webrtc_core_percent_error"].value == pytest.approx(0.0, abs=1e-6)
    assert figures["fit_cameras_core_percent_each"].value is None
    assert "bit rates" in figures["fit_cameras_core_percent_each"].reason
    written = msgspec.json.decode((tmp_path / "capacity").read_bytes(), type=Capacity)
    assert set(written.costs) == {"webrtc"}
    assert written.costs["webrtc"].memory_mb.each == pytest.approx(0.1)
    assert written.costs["webrtc"].core_percent.measured == 200


def test_a_full_core_tells_nothing(tmp_path: Path) -> None:
    """However much more it was asked to do, it costs no more than a core."""
    rows: list[list[Cell]] = [
        ["camrelay", 100, 45.0, 50.0],
        ["camrelay", 200, 89.0, 60.0],
        ["camrelay", 900, 99.0, 70.0],
    ]
    table = Table("Every size of the first round", ["server", "viewers", "core %", "RSS MB"], rows)
    full = Result("webrtc", "", {"bitrate": 2_000_000}, 1, tables=[table])

    assert [point.number for point in fit.points([full], "webrtc", "RSS MB")] == [100, 200]
