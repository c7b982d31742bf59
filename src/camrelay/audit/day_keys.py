"""The keys of days, sealed: each is destroyed with the first record of another day."""

from __future__ import annotations

from camrelay.audit.sqlite_file import SqliteFile

TABLE = "CREATE TABLE IF NOT EXISTS day_keys (day TEXT PRIMARY KEY, key BLOB);"


class DayKeys:
    """The table of them in a database of this machine; as a PeopleStore has them."""

    def __init__(self, file: SqliteFile) -> None:
        self._execute = file.execute

    def turn_to(self, day: str) -> bytes | None:
        """Destroys the keys of other days; the sealed key of this one, None if it has none yet."""
        self._execute("DELETE FROM day_keys WHERE day <> ?", day)
        row = self._execute("SELECT key FROM day_keys WHERE day = ?", day).fetchone()
        return None if row is None else row[0]

    def add_day(self, day: str, key: bytes) -> None:
        """Keeps the sealed key of a day."""
        self._execute("INSERT INTO day_keys VALUES (?, ?)", day, key)
