"""Every core is run in full, each branch of it, by the test file that has its name.

    python tests/core_coverage.py

ends with 1 and names what was left out. What importing a core runs counts for it; what other tests run not.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
sys.path[:0] = [str(TESTS), str(ROOT)]


class Contexts:
    """Tells coverage whose test runs."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self._measured.switch_context(nodeid.partition("::")[0])


def left_out(measured: coverage.Coverage, source: Path, tests: Path) -> str:
    """Lines and branches of a core that neither importing it nor its own tests ran; else nothing."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as report:
        context = f"^{tests.relative_to(ROOT)}$"
        measured.json_report(
            [str(source)], outfile=report.name, contexts=["^$", context], ignore_errors=False
        )
        (found,) = json.load(report)["files"].values()
    branches = [f"{start}->{end}" for start, end in found["missing_branches"]]
    return ", ".join([*map(str, found["missing_lines"]), *branches])


def main() -> int:
    """Runs the tests of all cores in one process."""
    measured = coverage.Coverage(data_file=None, config_file=str(ROOT / "pyproject.toml"))
    measured.start()
    from test_layout import TESTED  # after the start: importing camrelay counts

    pairs = [
        (ROOT / "src/camrelay" / f"{path}.py", TESTS / path.parent / f"test_{path.name}.py")
        for path in (Path(*core.split(".")) for core in sorted(TESTED))
    ]
    arguments = ["-q", "-p", "no:xdist", *(str(tests) for _, tests in pairs)]
    code = pytest.main(arguments, plugins=[Contexts(measured)])
    measured.stop()
    if code:
        return int(code)
    failures = 0
    for source, tests in pairs:
        if missing := left_out(measured, source, tests):
            failures += 1
            print(f"{source.relative_to(ROOT)}: not run by {tests.relative_to(ROOT)}: {missing}")
    print(f"{len(pairs) - failures} of {len(pairs)} cores are run in full by their own tests")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
