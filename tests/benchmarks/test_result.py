"""Figures, as lines and as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.percentile import Spread
from benchmarks.result import Curve, Plot, Result, Table, read


def result() -> Result:
    return Result(benchmark="b", command="python -m benchmarks.b", parameters={"rounds": 3}, seed=1)


def test_every_figure_is_one_line() -> None:
    """Name, value, unit; or none and the reason; four digits, no exponent a shell could not compare."""
    made = result()
    made.figure("p1_viewers", 2345.678, "viewers")
    made.figure("p1_vs_mediamtx", Spread(3.2, 3.0, 3.5), "ratio")
    made.figure("p1_vs_aiortc", None, "ratio", "no aiortc")
    assert made.lines() == [
        "FIGURE p1_viewers 2346 viewers",
        "FIGURE p1_vs_mediamtx 3.2 ratio",
        "FIGURE p1_vs_aiortc none no aiortc",
    ]


def test_large_and_small_values_stay_plain_numbers() -> None:
    """Requests per second and microseconds alike."""
    made = result()
    made.figure("a", 123_456.0, "requests/s")
    made.figure("b", 0.00012, "s")
    made.figure("c", 12_345_678.0, "bytes")
    assert [line.split()[2] for line in made.lines()] == ["123500", "0.00012", "12350000"]


def test_a_figure_that_was_owed_and_measured_loses_its_reason() -> None:
    """And one about a missing server gets a better one, without touching what was measured."""
    made = result()
    made.figure("p1_vs_mediamtx", None, "ratio", "owed")
    made.figure("p1_viewers_mediamtx", 7, "viewers")
    made.give_up("mediamtx", "not on PATH")
    assert made.lines() == [
        "FIGURE p1_vs_mediamtx none not on PATH",
        "FIGURE p1_viewers_mediamtx 7 viewers",
    ]


@pytest.mark.parametrize("name", ["P1", "p1 viewers", "", "1p"])
def test_names_keep_their_form(name: str) -> None:
    """Other programs read them."""
    with pytest.raises(AssertionError):
        result().figure(name, 1, "viewers")


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    """With machine and versions in it."""
    made = result()
    made.figure("p1_viewers", Spread(2, 1, 3), "viewers")
    made.tables.append(Table("t", ["a", "b"], [["x", 1], [None, 2.5]]))
    made.plots.append(Plot("p", "t", "x", "y", [Curve("c", [1.0], [2.0])], limit=80.0))
    path = made.write(tmp_path / "results")
    assert path.name == "b.json"
    back = read(path)
    assert back == made
    assert back.machine["cores"]
    assert back.versions["python"]
