"""People who are on record and not shown."""

from __future__ import annotations

from pathlib import Path

from camrelay.audit.restriction import lift, restrict, restricted


def test_a_restriction_begins_and_ends(tmp_path: Path) -> None:
    """Twice is once."""
    assert restricted(tmp_path) == set()
    lift(tmp_path, "a1")
    restrict(tmp_path, "a1")
    restrict(tmp_path, "a2")
    restrict(tmp_path, "a1")
    assert restricted(tmp_path) == {"a1", "a2"}
    lift(tmp_path, "a1")
    assert restricted(tmp_path) == {"a2"}
