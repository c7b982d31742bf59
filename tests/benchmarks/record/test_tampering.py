"""What is done to a log by the benchmark is done, found, and undone."""

from __future__ import annotations

from pathlib import Path

from benchmarks.record.tampering import CHANGES, attempts, check, write


def test_every_change_is_found_at_its_place_and_undone(tmp_path: Path) -> None:
    """With and without the stolen key; the log is the same afterwards."""
    directory = tmp_path / "store"
    write(directory, 200)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    tried = list(attempts(directory, 20))
    assert len(tried) == 2 * (len(CHANGES) + 1) + 1
    assert [each for each in tried if not each.is_named] == []
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert check(directory, []).lines == 204
