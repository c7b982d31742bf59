"""The page made of result files."""

from __future__ import annotations

from pathlib import Path

from benchmarks.percentile import Spread
from benchmarks.report import main
from benchmarks.result import Curve, Plot, Result, Table


def test_a_page_has_the_targets_and_each_run_with_its_command(tmp_path: Path) -> None:
    """Figures with their range, settings of the servers, tables, plots beside the page."""
    made = Result(benchmark="webrtc", command="python -m benchmarks.webrtc --rounds 3", parameters={}, seed=4)
    made.servers["mediamtx"] = {"version": "v1.20.1", "log level": "warn"}
    made.figure("p1_viewers", Spread(2100, 2000, 2200), "viewers")
    made.figure("p1_vs_aiortc", None, "ratio", "aiortc failed")
    made.tables.append(Table("Viewers on one core", ["server", "viewers"], [["camrelay", 2100]]))
    made.plots.append(Plot("webrtc_busy", "One core", "viewers", "%", [Curve("a", [1.0], [2.0])], 80.0))
    made.write(tmp_path / "results")

    status = main(["--results", str(tmp_path / "results"), "--out", str(tmp_path / "docs" / "benchmarks.md")])

    assert status == 0
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert "`python -m benchmarks.webrtc --rounds 3`" in page
    assert "2,100 viewers (2,000 to 2,200)" in page
    assert "none: aiortc failed" in page
    assert "| P11 " in page
    assert "log level: warn" in page
    assert "### Viewers on one core" in page
    assert "![One core](benchmarks/webrtc_busy.svg)" in page
    assert (tmp_path / "docs" / "benchmarks" / "webrtc_busy.svg").read_text().startswith("<?xml")


def test_runs_of_the_same_commands_stand_side_by_side(tmp_path: Path) -> None:
    """With how far they are apart: figures that do not repeat are not worth comparing."""
    for name, viewers, delay in (("results", 2000, 5.0), ("again", 2100, 7.0)):
        made = Result(benchmark="webrtc", command="", parameters={}, seed=4)
        made.figure("p1_viewers", viewers, "viewers")
        made.figure("p6_delay_p50_ms_500", delay, "ms")
        made.figure("p1_vs_aiortc", None, "ratio", "aiortc failed")
        made.write(tmp_path / name)

    main(
        [
            "--results",
            str(tmp_path / "results"),
            "--again",
            str(tmp_path / "again"),
            "--out",
            str(tmp_path / "page.md"),
        ]
    )

    rows = [line.split(" | ") for line in (tmp_path / "page.md").read_text().splitlines() if "2,100" in line]
    assert [cell.strip(" |") for cell in rows[0]] == ["`p1_viewers`", "2,000, 2,100", "4.88", "yes"]
    text = (tmp_path / "page.md").read_text()
    assert "33.3" in text
    assert "| `p1_vs_aiortc` |" not in text.partition("## webrtc")[0]


def test_without_results_there_is_no_page(tmp_path: Path) -> None:
    """And the exit status says so."""
    assert main(["--results", str(tmp_path), "--out", str(tmp_path / "page.md")]) == 1
    assert not (tmp_path / "page.md").exists()
