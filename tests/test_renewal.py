"""When the player renews its right to watch: the decision alone, run by node."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import camrelay

SCRIPT = Path(camrelay.__file__).parent / "web" / "static" / "renewal.js"
#: As make installs it; elsewhere the system's.
NODE = Path(sys.executable).parent / "node"
node = str(NODE) if NODE.exists() else shutil.which("node")

pytestmark = pytest.mark.skipif(node is None, reason="no node")


def decided(function: str, calls: list[list[Any]]) -> list[bool]:
    """What a function of the script returns for each list of arguments."""
    assert node is not None
    program = f"import {{ {function} }} from {json.dumps(SCRIPT.as_uri())};"
    program += f"console.log(JSON.stringify({json.dumps(calls)}.map((each) => {function}(...each))));"
    done = subprocess.run(
        [node, "--no-warnings", "--input-type=module", "-e", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: list[bool] = json.loads(done.stdout)
    return found


def test_a_right_is_renewed_after_seventy_percent_of_its_life_and_before_its_end() -> None:
    """An attempt that brought nothing is repeated while there is time, not all the time."""
    hour = {"beganAt": 0, "endsAt": 3_600_000, "askedAt": None}
    asked = hour | {"askedAt": 2_600_000}
    short = {"beganAt": 0, "endsAt": 60_000, "askedAt": 42_000}
    moments = [(hour, 2_519_999), (hour, 2_520_000), (hour, 3_599_999), (hour, 3_600_000)]
    moments += [(asked, 2_959_999), (asked, 2_960_000), (short, 51_999), (short, 52_000)]

    assert decided("isDue", [list(each) for each in moments]) == [
        False, True, True, False, False, True, False, True,
    ]  # fmt: skip


def test_only_a_later_end_counts() -> None:
    """Or none; seconds that were cut off make no difference."""
    assert decided("lastsLonger", [[100, 100], [101, 100], [102, 100], [None, 100]]) == [
        False, False, True, True,
    ]  # fmt: skip
