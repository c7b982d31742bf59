"""The frame around every benchmark."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.command import Run, execute

pytestmark = pytest.mark.e2e

OWED = {"p1_viewers": "viewers", "p1_late": "ms"}

COMMAND = """
import asyncio, sys
from benchmarks.command import execute
async def body(run):
    print("ready", flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        run.result.figure("p1_viewers", 5, "viewers")
sys.exit(execute("sleeps", "", body, {"p1_viewers": "viewers"}, argv=["--out", sys.argv[1]]))
"""


@pytest.fixture(autouse=True)
def cores() -> Iterator[None]:
    """A benchmark keeps its own process on one core; the tests want theirs back."""
    before = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, before)


def run(tmp_path: Path, *arguments: str, seconds: float = 0.0) -> int:
    async def body(running: Run) -> None:
        running.result.figure("p1_viewers", 5, "viewers")
        await asyncio.sleep(seconds)
        running.result.figure("p1_late", 1, "ms")

    return execute("name", "About.", body, OWED, argv=["--out", str(tmp_path), *arguments])


def test_figures_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same on the terminal and in the file, with seed and command."""
    assert run(tmp_path, "--seed", "7") == 0
    assert capsys.readouterr().out.split("\n")[-3:-1] == [
        "FIGURE p1_viewers 5 viewers",
        "FIGURE p1_late 1 ms",
    ]
    written = json.loads((tmp_path / "name.json").read_text())
    assert written["figures"]["p1_viewers"] == {"value": 5.0, "unit": "viewers"}
    assert (written["seed"], written["command"][:25]) == (7, "python -m benchmarks.name")


def test_a_time_limit_leaves_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was owed and not reached says so."""
    assert run(tmp_path, "--time-limit", "2.2", seconds=30) == 1
    lines = capsys.readouterr().out.split("\n")
    assert "FIGURE p1_viewers 5 viewers" in lines
    assert "FIGURE p1_late none the run ended before" in lines


def test_ctrl_c_ends_a_run_with_its_clean_up(tmp_path: Path) -> None:
    """The body's `finally` runs, the figures are printed, the status is that of an interrupt."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"FIGURE p1_viewers 5 viewers" in output
