"""Keys of days: one is there until another day comes."""

from __future__ import annotations

from pathlib import Path

from camrelay.audit.day_keys import TABLE, DayKeys
from camrelay.audit.sqlite_file import SqliteFile


def test_a_key_is_there_until_its_day_is_over(tmp_path: Path) -> None:
    """Then it is destroyed, also for whoever turns back."""
    file = SqliteFile(tmp_path / "days.db", TABLE, 1, lambda: None)
    file.open()
    keys = DayKeys(file)
    with file.transaction():
        assert keys.turn_to("2026-11-21") is None
        keys.add_day("2026-11-21", b"sealed")
        assert keys.turn_to("2026-11-21") == b"sealed"
        assert keys.turn_to("2026-11-22") is None
        assert keys.turn_to("2026-11-21") is None
    file.close()
