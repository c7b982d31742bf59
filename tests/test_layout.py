"""Where a test is: every core has a file of its own, under the same name."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_architecture import BASE, CORES

TESTS = Path(__file__).parent

#: Plain values, whose every line is used wherever anything is tested.
VALUES = {"errors", "model"}

TESTED = (CORES | BASE) - VALUES


@pytest.mark.parametrize("core", sorted(TESTED))
def test_a_core_has_a_test_file_of_its_own(core: str) -> None:
    """A stranger finds the tests of a module without searching."""
    *rooms, name = core.split(".")
    assert TESTS.joinpath(*rooms, f"test_{name}.py").is_file()
