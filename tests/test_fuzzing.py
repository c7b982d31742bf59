"""Bytes that a fuzzer finds by what they reach: nothing raises what it should not, or takes long."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from bounded import cpu_s
from strangers import LIMIT_S, TARGETS

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        importlib.util.find_spec("atheris") is None, reason="no wheel of atheris for this machine"
    ),
]

ROOT = Path(__file__).parent.parent

#: Long enough to get past every length and type that is checked, and `make test` stays short.
SECONDS = 5


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_that_is_guided_to_new_code_fails(target: str, tmp_path: Path) -> None:
    """Thousands of inputs, each grown out of one that went further; the slowest are timed alone."""
    command = [sys.executable, "tests/fuzzing.py", target, str(tmp_path), f"-max_total_time={SECONDS}"]

    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert run.returncode == 0, run.stderr[-3000:]
    runs = re.search(r"Done (\d+) runs", run.stderr)
    assert runs
    assert int(runs[1]) > 1000
    look, _ = TARGETS[target]
    for path in (tmp_path / "slow").iterdir():
        data = path.read_bytes()
        assert cpu_s(partial(look, data), LIMIT_S) <= LIMIT_S, data
