"""The data dictionary is whole, and the page is what it says."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from camrelay.audit.dictionary import BESIDE, FILES, LINE, SERVED, markdown, missing
from camrelay.audit.erasure import Erasure
from camrelay.audit.holds import Hold
from camrelay.audit.identity import Details
from camrelay.audit.people import opened
from camrelay.audit.people_store import DATABASE, KEYS_DATABASE
from camrelay.audit.postgres import Postgres
from camrelay.audit.record import REGISTRY, Record
from camrelay.audit.signer import Signer
from camrelay.audit.statistic import Usage
from camrelay.model import EventType

PAGE = Path(__file__).parents[2] / "docs" / "data-dictionary.md"


@pytest.fixture
def columns(tmp_path: Path) -> set[str]:
    """Every column of people.db, with its table."""
    with opened(tmp_path):
        pass
    return columns_of(tmp_path / DATABASE)


def columns_of(path: Path) -> set[str]:
    database = sqlite3.connect(path)
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {
        f"{table}.{row[1]}" for table in tables for row in database.execute(f"PRAGMA table_info({table})")
    }
    database.close()
    return found


def test_every_field_that_is_kept_has_an_entry(columns: set[str]) -> None:
    """Of lines, of the database beside them and of every file; and no entry speaks of what is not kept."""
    stored = {
        "": {*Record.__struct_fields__, *columns, "restricted.json"},
        "details.": Details.__struct_fields__,
        "erased.jsonl: ": Erasure.__struct_fields__,
        "holds.json: ": Hold.__struct_fields__,
        "statistics.jsonl: ": Usage.__struct_fields__,
    }
    assert missing(stored) == set()
    kept = {prefix + field for prefix, fields in stored.items() for field in fields}
    assert {entry.field for entry in (*LINE, *BESIDE, *FILES)} == kept
    assert missing({"": {"shoe_size"}}) == {"shoe_size"}


@pytest.mark.parametrize("people_url", ["postgresql"], indirect=True)
def test_every_field_that_a_server_keeps_has_an_entry(tmp_path: Path, people_url: str) -> None:
    """And every field of the keys beside it."""
    with opened(tmp_path, people_url):
        pass
    schema, server = Signer.load(tmp_path).name, Postgres(people_url, "audit.url")
    server.open(schema)
    query = "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = $1"
    served = {f"PostgreSQL: {column}" for (column,) in server.fetch(query, schema)}
    server.close()
    keys = {f"{KEYS_DATABASE}: {column}" for column in columns_of(tmp_path / KEYS_DATABASE)}
    assert {entry.field for entry in SERVED} == served | keys


def test_every_event_has_a_rule() -> None:
    """And a rule only speaks of fields that there are."""
    assert set(REGISTRY) == set(EventType)
    for rule in REGISTRY.values():
        assert rule.fields <= set(Record.__struct_fields__)


def test_the_page_is_current() -> None:
    """`camrelay audit dictionary > docs/data-dictionary.md` makes it."""
    assert PAGE.read_text() == markdown()


def test_a_table_has_a_column_for_each_heading() -> None:
    """Whatever stands in a cell."""
    for line in markdown().splitlines():
        if line.startswith("|"):
            assert line.count("|") == 5
