"""A SQLite file: whole transactions, others' changes noticed, nothing left of what was deleted."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from camrelay.audit.sqlite_file import SqliteFile
from camrelay.errors import ConfigError

TABLES = "CREATE TABLE IF NOT EXISTS secrets (value TEXT);"

Make = Callable[..., SqliteFile]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets.db"


@pytest.fixture
def forgotten() -> list[bool]:
    """As often as a file said that what was remembered may no longer be so."""
    return []


@pytest.fixture
def make(path: Path, forgotten: list[bool]) -> Iterator[Make]:
    made: list[SqliteFile] = []

    def make(version: int = 1) -> SqliteFile:
        made.append(SqliteFile(path, TABLES, version, lambda: forgotten.append(True)))
        made[-1].open()
        return made[-1]

    yield make
    for each in made:
        each.close()


def values(file: SqliteFile) -> list[str]:
    with file.transaction(writes=False):
        return [value for (value,) in file.execute("SELECT value FROM secrets")]


def test_a_transaction_is_whole_or_not_at_all(make: Make, path: Path, forgotten: list[bool]) -> None:
    """What was remembered inside one that failed is forgotten."""
    file = make()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with file.transaction():
        file.execute("INSERT INTO secrets VALUES (?)", "kept")
    forgotten.clear()
    with suppress(KeyError), file.transaction():
        file.execute("DELETE FROM secrets")
        raise KeyError
    assert forgotten
    assert values(make()) == ["kept"]


def test_changes_of_others_are_noticed(make: Make, forgotten: list[bool]) -> None:
    """And its own are not mistaken for them."""
    one, other = make(), make()
    for file in (one, other):
        values(file)
    forgotten.clear()
    with one.transaction():
        one.execute("INSERT INTO secrets VALUES ('x')")
    values(one)
    assert not forgotten
    values(other)
    assert forgotten


def test_nothing_is_left_of_what_was_deleted(make: Make, path: Path) -> None:
    """In no file, once the journal is empty."""
    file = make()
    with file.transaction():
        file.execute("INSERT INTO secrets VALUES ('canary')")
    with file.transaction():
        file.execute("DELETE FROM secrets")
    assert file.empty_journal()
    assert not any(b"canary" in each.read_bytes() for each in path.parent.iterdir())


def test_a_failure_says_what_and_not_whose(make: Make) -> None:
    """The name of the error, no statement and no value."""
    file = make()
    with pytest.raises(OSError, match=r"secrets\.db: SQLITE_ERROR$"), file.transaction():
        file.execute("INSERT INTO canary VALUES (1)")
    file.close()
    with pytest.raises(OSError, match="not open"), file.transaction():
        pass


def test_tables_of_another_version_are_not_used(make: Make) -> None:
    """And are left as they are."""
    make().close()
    with pytest.raises(ConfigError, match="another version"):
        make(version=2)
    assert values(make()) == []


def test_what_is_no_database_is_not_used(make: Make, path: Path) -> None:
    """Nor written over."""
    path.write_bytes(b"notes" * 1000)
    with pytest.raises(ConfigError, match="cannot be used"):
        make()
    assert path.read_bytes() == b"notes" * 1000
