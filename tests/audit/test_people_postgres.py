"""People in a PostgreSQL: it is shown nothing, and what it keeps for too long is noise.

What both kinds of databases have to do is in test_people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit_builders import DAY_US, NOON_US, make_event
from camrelay.audit.identity import IpMode
from camrelay.audit.people import Identity, People
from camrelay.audit.people_postgres import PostgresPeople
from camrelay.audit.people_store import KEYS_DATABASE
from camrelay.audit.postgres import Postgres
from camrelay.audit.record import Retention
from camrelay.audit.signer import Signer
from camrelay.errors import ConfigError

pytestmark = pytest.mark.parametrize("people_url", ["postgresql"], indirect=True)

Make = Callable[..., People]


@pytest.fixture
def make(tmp_path: Path, people_url: str) -> Iterator[Make]:
    """Opens the people of stores."""
    made: list[People] = []

    def make(name: str = "store", url: str = people_url) -> People:
        made.append(People(tmp_path / name, IpMode.SEALED, url))
        made[-1].open()
        return made[-1]

    yield make
    for people in made:
        people.close()


@pytest.fixture
def server(tmp_path: Path, people_url: str) -> Iterator[Postgres]:
    """Somebody else at the tables of the store."""
    connection = Postgres(people_url, "audit.url")
    connection.open(Signer.load(tmp_path / "store").name)
    yield connection
    connection.close()


def database(people: People) -> Postgres:
    assert isinstance(people._store, PostgresPeople)
    return people._store._server


def in_files(folder: Path, *values: bytes) -> set[bytes]:
    """Those of the values that are in a file below a folder."""
    files = (path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return {value for content in files for value in values if value in content}


def test_the_server_is_shown_nothing_and_forgets_with_the_key(
    make: Make, server: Postgres, postgres: Path, tmp_path: Path
) -> None:
    """What it keeps of somebody in its files, deleted or not, is under a key that is in no file any more."""
    people = make()
    canary = "canary-5d1e"
    records = people.separate(
        [make_event(n, subject=canary) for n in range(5)] + [make_event(9, subject="another-7f3a")], NOON_US
    )
    veiled = [row for (row,) in server.fetch("SELECT veiled FROM sidecars ORDER BY event LIMIT 5")]
    lookup = bytes.fromhex(people.alias(canary))
    ((name,),) = server.fetch("SELECT veiled FROM people WHERE lookup = $1", lookup)
    with people._store.transaction(writes=False):
        ((key,),) = people._store._veils.file.execute(  # type: ignore[attr-defined]
            "SELECT key FROM veils WHERE lookup = ?", lookup.hex()
        ).fetchall()
    server.run("CHECKPOINT")
    assert in_files(postgres / "data", *veiled, name, key, canary.encode()) == {*veiled, name}
    assert in_files(tmp_path / "store", key)
    ((oid,),) = server.fetch("SELECT oid FROM pg_database WHERE datname = current_database()")
    assert not in_files(postgres / "data" / "base" / str(oid), b"203.0.113", b"another-7f3a")

    assert people.erase(canary) == 5

    assert not in_files(tmp_path / "store", key)
    assert people.identify(records) == [Identity()] * 5 + [
        Identity("another-7f3a", "203.0.113.0/24", "203.0.113.77", "VLC")
    ]
    ((left,),) = server.fetch("SELECT count(*) FROM sidecars")
    assert left == 1


def test_a_copy_that_is_put_back_knows_nobody_who_was_forgotten(make: Make, server: Postgres) -> None:
    """Case 66: everybody else is as before, and whoever comes back is somebody new."""
    people = make()
    tables = ("people", "pseudonyms", "sidecars", "moments")
    records = people.separate([make_event(1), make_event(2, subject="boris")], NOON_US)
    for table in tables:
        server.run(f"CREATE TABLE old_{table} (LIKE {table} INCLUDING ALL)")
        server.run(f"INSERT INTO old_{table} OVERRIDING SYSTEM VALUE TABLE {table}")
    people.erase("anna")
    for table in tables:
        server.run(f"DROP TABLE {table}")
        server.run(f"ALTER TABLE old_{table} RENAME TO {table}")
    server.run("ALTER TABLE people ALTER id RESTART WITH 100")
    assert [each.subject for each in people.identify(records)] == ["", "boris"]
    (again,) = people.separate([make_event(3)], NOON_US)
    assert again.person not in ("", records[0].person)
    assert [each.subject for each in people.identify([records[0], again])] == ["", "anna"]
    assert people.carry_out({"e1": people.alias("anna")}) == 1
    assert people.identify([again]) == [Identity()]


def test_keys_that_are_put_back_go_again(make: Make, tmp_path: Path) -> None:
    """Case 66: also where only they were put back, and the server knows of the erasure."""
    people = make()
    alias = people.alias("anna")
    people.separate([make_event()], NOON_US)
    people.close()
    file = tmp_path / "store" / KEYS_DATABASE
    backup = file.read_bytes()
    people = make()
    assert people.carry_out({"e1": alias}) == 1
    people.close()
    file.write_bytes(backup)
    people = make()
    people.carry_out({"e1": alias})
    with people._store.transaction(writes=False):
        assert people._store._veils.find([bytes.fromhex(alias)]) == {}  # type: ignore[attr-defined]


def test_a_server_that_was_started_anew_is_found_again(make: Make, server: Postgres) -> None:
    """Whoever waits for a record does not notice."""
    people = make()
    (before,) = people.separate([make_event(1)], NOON_US)
    ((pid,),) = database(people).fetch("SELECT pg_backend_pid()")
    server.fetch("SELECT pg_terminate_backend($1)", pid)
    (after,) = people.separate([make_event(2)], NOON_US)
    assert before.person == after.person
    assert [each.subject for each in people.identify([before, after])] == ["anna", "anna"]


def test_a_connection_that_breaks_inside_leaves_nothing(
    make: Make, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 64: all of a batch or none, and no text of the server's in the error."""
    people = make()
    add = PostgresPeople.add

    def broken(self: PostgresPeople, *rows: Any) -> None:
        add(self, *rows)
        self._server.run("SELECT 1 / 0 AS canary")

    with monkeypatch.context() as patch:
        patch.setattr(PostgresPeople, "add", broken)
        with pytest.raises(OSError, match="PostgreSQL: DivisionByZeroError") as raised:
            people.separate([make_event()], NOON_US)
    assert "canary" not in str(raised.value)
    assert people.pseudonyms("anna") == set()
    assert server.fetch("SELECT * FROM people") == []
    (record,) = people.separate([make_event()], NOON_US)
    assert people.identify([record])[0].subject == "anna"


def test_tables_of_another_version_are_not_used(make: Make, server: Postgres) -> None:
    """As in a file."""
    make()
    server.run("UPDATE layout SET version = 9")
    with pytest.raises(ConfigError, match="another version"):
        make()


def test_relays_on_one_database_are_apart(make: Make) -> None:
    """What one forgets or purges is not the other's."""
    one, other = make("one"), make("other")
    (mine,) = one.separate([make_event()], NOON_US)
    (theirs,) = other.separate([make_event()], NOON_US)
    assert mine.person != theirs.person
    assert other.identify([mine]) == [Identity()]
    assert one.erase("anna") == 1
    assert one.purge(Retention.VIEWINGS, "2026-12-31") == 0
    assert other.identify([theirs])[0].subject == "anna"


def test_with_old_days_go_the_keys_of_their_people(make: Make, tmp_path: Path) -> None:
    """Who came back is still there."""
    people = make()
    old = people.separate([make_event(1), make_event(2, subject="boris")], NOON_US)
    (new,) = people.separate([make_event(3)], NOON_US + DAY_US)
    assert people.purge(Retention.VIEWINGS, "2026-11-22") == 2
    assert [each.network for each in people.identify([*old, new])] == ["", "", "203.0.113.0/24"]
    assert people.pseudonyms("boris") == set()
    with people._store.transaction(writes=False):
        ((left,),) = people._store._veils.file.execute(  # type: ignore[attr-defined]
            "SELECT count(*) FROM veils"
        ).fetchall()
    assert left == 1
    assert (tmp_path / "store" / KEYS_DATABASE).exists()


def test_a_crowd_is_asked_for_at_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server far away costs a batch some round trips, however many are new in it."""
    people = make()
    people.separate([make_event()], NOON_US)
    asked: list[str] = []
    for name in ("run", "fetch"):
        ask = getattr(Postgres, name)

        def counted(self: Postgres, statement: str, *values: Any, ask: Any = ask, **limits: Any) -> Any:
            asked.append(statement)
            return ask(self, statement, *values, **limits)

        monkeypatch.setattr(Postgres, name, counted)
    people.separate([make_event(n, subject=f"p{n}") for n in range(500)], NOON_US)
    assert len(asked) <= 10
    asked.clear()
    people.separate([make_event(n, subject=f"p{n}") for n in range(500)], NOON_US)
    assert len(asked) <= 5
