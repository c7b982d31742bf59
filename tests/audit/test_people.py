"""People beside the log: known while they may be, gone when they were forgotten."""

from __future__ import annotations

import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest

from audit_builders import DAY_US, NOON_US, make_event
from camrelay.audit import people as module
from camrelay.audit import sqlite_file
from camrelay.audit.identity import IpMode, trace
from camrelay.audit.people import KEY, Identity, People, opened
from camrelay.audit.people_sqlite import SqlitePeople
from camrelay.audit.people_store import DATABASE, KEYS_DATABASE
from camrelay.audit.record import Record, Retention, serialize
from camrelay.errors import ChainBroken, ConfigError
from camrelay.model import AccessEvent, EventType
from camrelay.sealing import Seal

MONTH_US = 31 * DAY_US


def stop(n: int = 1, **overrides: Any) -> AccessEvent:
    event = make_event(n, type=EventType.STOP, address="", agent="", reason="expired")
    return msgspec.structs.replace(event, **overrides)


Make = Callable[..., People]

#: For tests that look into the file.
only_sqlite = pytest.mark.parametrize("people_url", ["sqlite"], indirect=True)


@pytest.fixture
def make(tmp_path: Path, people_url: str) -> Iterator[Make]:
    """Opens the people of one store, any number of times."""
    made: list[People] = []

    def make(mode: IpMode = IpMode.KEYED) -> People:
        made.append(People(tmp_path / "store", mode, people_url))
        made[-1].open()
        return made[-1]

    yield make
    for people in made:
        people.close()


@pytest.fixture
def file(tmp_path: Path, people_url: str) -> Path:
    """What is locked while people are changed."""
    return tmp_path / "store" / (KEYS_DATABASE if people_url else DATABASE)


def connection(people: People) -> sqlite3.Connection:
    assert isinstance(people._store, SqlitePeople)
    assert people._store._file._connection is not None
    return people._store._file._connection


def raw(directory: Path) -> bytes:
    """Every byte of every file in a directory."""
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_who_watched_is_known_and_not_in_the_line(make: Make, file: Path, tmp_path: Path) -> None:
    """Name, network and agent lie beside it; the file and its key are for one user's eyes."""
    people = make()
    records = people.separate([make_event(), stop()], NOON_US)
    lines = b"".join(map(serialize, records))
    assert not any(word in lines for word in (b"anna", b"203.0", b"VLC"))
    assert people.identify(records) == [Identity("anna", "203.0.113.0/24", "", "VLC"), Identity("anna")]
    assert (records[0].viewing, records[1].reason) == ("v1", "expired")
    for name in (file.name, KEY):
        assert stat.S_IMODE((tmp_path / "store" / name).stat().st_mode) == 0o600
    assert not any(word in raw(tmp_path / "store") for word in (b"anna", b"203.0.113.77", b"VLC"))


@pytest.mark.parametrize(
    ("mode", "network", "address"),
    [
        (IpMode.NONE, "", ""),
        (IpMode.PREFIX, "203.0.113.0/24", ""),
        (IpMode.KEYED, "203.0.113.0/24", ""),
        (IpMode.SEALED, "203.0.113.0/24", "203.0.113.77"),
    ],
)
def test_what_is_kept_of_an_address(make: Make, mode: IpMode, network: str, address: str) -> None:
    """As the configuration says."""
    people = make(mode)
    (identity,) = people.identify(people.separate([make_event()], NOON_US))
    assert (identity.network, identity.address) == (network, address)


def test_a_person_has_another_name_each_month(make: Make) -> None:
    """All of them lead to the person, and none to another."""
    people = make()
    events = [make_event(1), make_event(2, ts_us=NOON_US + MONTH_US), make_event(3, subject="boris"), stop(1)]
    records = people.separate(events, NOON_US)
    one, two, three, four = [record.person for record in records]
    assert len({one, two, three}) == 3
    assert one == four
    assert people.pseudonyms("anna") == {one, two}
    assert people.pseudonyms("nobody") == set()
    assert make().separate([make_event(4)], NOON_US)[0].person == one


def test_visitors_without_a_name(make: Make) -> None:
    """Have no pseudonym; their details are there until the key of their day is gone."""
    people = make()
    (record,) = people.separate([make_event(subject="")], NOON_US)
    assert record.person == ""
    assert people.identify([record]) == [Identity("", "203.0.113.0/24", "", "VLC")]
    bare = make_event(subject="", address="", agent="")
    assert people.separate([bare, stop(subject="")], NOON_US)[0].id == ""


def test_a_summary_of_denials_is_about_nobody(make: Make) -> None:
    """And a subject that is no text is one all the same."""
    summary = AccessEvent(type=EventType.DENY, ts_us=1, camera="*", outcome="deny", reason="x", count=9)
    people = make()
    assert people.separate([summary], NOON_US) == [
        Record(type=EventType.DENY, ts_us=1, camera="*", outcome="deny", reason="x", count=9)
    ]
    strange = people.separate([make_event(subject="a\udcffb")], NOON_US)
    assert people.identify(strange)[0].subject == "a?b"


@only_sqlite
def test_the_key_of_a_day_is_destroyed_when_it_is_over(make: Make, tmp_path: Path) -> None:
    """Case 70: with it, whoever tries every address finds the one; without it, nobody can try."""
    people = make()
    people.separate([make_event()], NOON_US)
    database = sqlite3.connect(tmp_path / "store" / DATABASE)
    (kept,) = database.execute("SELECT address_hash FROM sidecars").fetchone()
    (sealed,) = database.execute("SELECT key FROM day_keys").fetchone()
    key = people._day_key
    addresses = (ip_address(f"203.0.113.{n}") for n in range(256))
    hits = [str(each) for each in addresses if trace(each, IpMode.KEYED, key).address_hash == kept]
    assert hits == ["203.0.113.77"]
    database.close()

    people.separate([make_event(2)], NOON_US + DAY_US)
    assert people._day_key != key
    assert key not in raw(tmp_path / "store")
    assert sealed not in raw(tmp_path / "store")
    assert make().separate([make_event(3)], NOON_US + DAY_US)


@only_sqlite
def test_a_store_stolen_after_the_day_tells_no_address(make: Make, tmp_path: Path) -> None:
    """Case 70: not with any key that lies there, for any address of the network that is in the clear.

    Stolen on the day it does: the planted address is found, so the search would find it.
    """
    make(IpMode.KEYED).separate([make_event()], NOON_US)
    rng = random.Random(1)
    addresses = [ip_address(f"203.0.113.{n}") for n in range(256)]
    addresses += [ip_address(rng.getrandbits(32)) for _ in range(2000)]

    def hits() -> set[str]:
        store = Path(shutil.copytree(tmp_path / "store", tmp_path / "stolen", dirs_exist_ok=True))
        database = sqlite3.connect(store / DATABASE)
        (kept,) = database.execute("SELECT address_hash FROM sidecars ORDER BY event").fetchone()
        seal = Seal((store / KEY).read_bytes())
        keys = [(store / KEY).read_bytes()]
        keys += [
            bytes.fromhex(seal.open(key, f"day/{day}"))
            for day, key in database.execute("SELECT day, key FROM day_keys")
        ]
        keys += [
            bytes.fromhex(seal.open(key, "person/key"))
            for (key,) in database.execute("SELECT key FROM people")
        ]
        database.close()
        return {
            str(address)
            for address in addresses
            for key in keys
            if trace(address, IpMode.KEYED, key).address_hash == kept
        }

    assert hits() == {"203.0.113.77"}
    make(IpMode.KEYED).separate([make_event(2, address="198.51.100.1")], NOON_US + DAY_US)
    assert hits() == set()


@only_sqlite
def test_the_key_of_the_day_outlives_a_remake_event(make: Make) -> None:
    """One address has one hash all day."""
    make().separate([make_event(1)], NOON_US)
    people = make()
    people.separate([make_event(2)], NOON_US)
    rows = connection(people).execute("SELECT DISTINCT address_hash FROM sidecars").fetchall()
    assert len(rows) == 1


@only_sqlite
def test_whoever_is_forgotten_is_found_nowhere(make: Make, tmp_path: Path) -> None:
    """Not by name, not by pseudonym, not in any byte of any file; everybody else is still there."""
    canary = "canary-5d1e"
    people = make(IpMode.SEALED)
    records = people.separate([make_event(n, subject=canary) for n in range(50)] + [make_event(99)], NOON_US)
    database = sqlite3.connect(tmp_path / "store" / DATABASE)
    kept = database.execute("SELECT name, key FROM people ORDER BY id").fetchone()
    kept += tuple(blob for (blob,) in database.execute("SELECT blob FROM sidecars WHERE person = 1"))
    database.close()
    assert len(kept) == 52
    assert all(value in raw(tmp_path / "store") for value in kept)
    pseudonym = records[0].person.encode()

    assert people.erase(canary) == 50

    content = raw(tmp_path / "store")
    assert not any(value in content for value in (*kept, pseudonym, canary.encode()))
    assert people.identify(records[:50]) == [Identity()] * 50
    assert people.identify(records[50:])[0].subject == "anna"
    assert people.pseudonyms(canary) == set()
    assert people.erase(canary) == -1


def test_somebody_forgotten_by_another_process_stays_forgotten(
    make: Make, tmp_path: Path, people_url: str
) -> None:
    """Case 66: while a viewing runs. Its end names nobody; who comes again is somebody new."""
    people = make()
    (before,) = people.separate([make_event()], NOON_US)
    with opened(tmp_path / "store", people_url) as other:
        assert other.erase("anna") == 1
    ended, again = people.separate([stop(), make_event(2)], NOON_US)
    assert ended.person == ""
    assert again.person not in ("", before.person)
    assert people.identify([before, ended, again]) == [
        Identity(),
        Identity(),
        Identity("anna", "203.0.113.0/24", "", "VLC"),
    ]


def test_an_erasure_that_leaves_traces_says_so(
    make: Make, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody reads the database: the old pages are still in its journal."""
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.01)
    people = make()
    people.separate([make_event()], NOON_US)
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM day_keys").fetchall()
    with pytest.raises(OSError, match="repeat"):
        people.erase("anna")
    reader.close()
    assert people.erase("anna") == -1


@only_sqlite
def test_a_sidecar_of_another_record_is_found_out(make: Make, tmp_path: Path) -> None:
    """What lies beside a record is what it was made with, or is said not to be."""
    people = make()
    records = people.separate([make_event(1), make_event(2)], NOON_US)
    database = sqlite3.connect(tmp_path / "store" / DATABASE)
    database.execute("UPDATE sidecars SET network = '198.51.100.0/24'")
    database.commit()
    database.close()
    with pytest.raises(ChainBroken, match="not those"):
        people.identify(records)
    with pytest.raises(ChainBroken, match="commitment"):
        people.identify([msgspec.structs.replace(records[0], commitment="x")])
    for id in ("x", "f" * 16, "0"):
        assert people.identify([msgspec.structs.replace(records[0], id=id)]) == [Identity("anna")]


def test_a_locked_database_is_an_error_of_the_disk(
    make: Make, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 64: for whoever writes the log; afterwards it goes on."""
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.01)
    people = make()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OSError, match="SQLITE_BUSY"):
        people.separate([make_event()], NOON_US)
    other.close()
    assert people.separate([make_event()], NOON_US)[0].person


@only_sqlite
@pytest.mark.parametrize(
    ("pragma", "error"), [("max_page_count = 1", "SQLITE_FULL"), ("query_only = ON", "SQLITE_READONLY")]
)
def test_a_full_or_read_only_database_is_an_error_of_the_disk(make: Make, pragma: str, error: str) -> None:
    """Case 64: nothing of the batch is kept; with room again the next one is."""
    people = make()
    people.separate([make_event()], NOON_US)
    connection(people).execute(f"PRAGMA {pragma}")
    many = [make_event(n, subject=f"p{n}", agent="x" * 500) for n in range(50)]
    with pytest.raises(OSError, match=error):
        people.separate(many, NOON_US)
    connection(people).execute("PRAGMA max_page_count = 100000")
    connection(people).execute("PRAGMA query_only = OFF")
    assert people.pseudonyms("p1") == set()
    assert people.identify(people.separate(many, NOON_US))[1].subject == "p1"


def test_a_failure_in_the_middle_leaves_nothing(make: Make) -> None:
    """All events of a batch or none, in memory as well."""
    people = make()
    with pytest.raises(ValueError, match="nonsense"):
        people.separate([make_event(), make_event(2, address="nonsense")], NOON_US)
    assert people.pseudonyms("anna") == set()
    records = people.separate([make_event()], NOON_US)
    assert people.identify(records)[0].subject == "anna"


def test_what_is_no_database_is_the_operators_error(tmp_path: Path) -> None:
    """It is not written over. A closed one is an error of the disk."""
    store = tmp_path / "store"
    store.mkdir(mode=0o700)
    (store / DATABASE).write_bytes(b"notes" * 1000)
    with pytest.raises(ConfigError, match="people"):
        People(store).open()
    assert (store / DATABASE).read_bytes() == b"notes" * 1000
    with pytest.raises(OSError, match="not open"):
        People(store).pseudonyms("anna")


def test_tables_of_another_version_are_not_used(tmp_path: Path) -> None:
    """They would be filled with what is then found by nobody who erases."""
    with opened(tmp_path / "store"):
        pass
    database = sqlite3.connect(tmp_path / "store" / DATABASE)
    database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(ConfigError, match="another version"):
        People(tmp_path / "store").open()


def test_whose_names_are_no_text_may_be_one(make: Make) -> None:
    """In one batch as well."""
    people = make()
    records = people.separate([make_event(1, subject="a\udcffb"), make_event(2, subject="a?b")], NOON_US)
    assert len({record.person for record in records}) == 1


def test_nobody_is_looked_for_in_the_other_kind_of_database(
    make: Make, tmp_path: Path, people_url: str
) -> None:
    """Nobody would be erased there: whoever forgets to say where people are is told so."""
    make()
    with pytest.raises(ConfigError, match="kept elsewhere"):
        People(tmp_path / "store", url="" if people_url else "postgresql+asyncpg://nowhere/none").open()


def test_many_people_are_known_one_after_the_other(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds some of them, the database all."""
    monkeypatch.setattr(module, "_CACHE_LIMIT", 10)
    people = make()
    records = people.separate([make_event(n, subject=f"p{n % 30}") for n in range(90)], NOON_US)
    assert [identity.subject for identity in people.identify(records)] == [f"p{n % 30}" for n in range(90)]
    assert len(people._cache) <= 10


@only_sqlite
def test_old_days_are_forgotten(make: Make, tmp_path: Path) -> None:
    """With the people of whom nothing else is known; who came back is still there."""
    people = make()
    old = people.separate([make_event(1, subject="anna"), make_event(2, subject="boris")], NOON_US)
    (new,) = people.separate([make_event(3, subject="anna")], NOON_US + DAY_US)
    database = sqlite3.connect(tmp_path / "store" / DATABASE)
    (kept,) = database.execute("SELECT key FROM people WHERE id = 2").fetchone()
    database.close()
    assert people.purge(Retention.VIEWINGS, "2026-11-21") == 0
    assert people.purge(Retention.VIEWINGS, "2026-11-22") == 2
    assert [identity.network for identity in people.identify([*old, new])] == ["", "", "203.0.113.0/24"]
    assert people.pseudonyms("boris") == set()
    assert kept not in raw(tmp_path / "store")


def test_details_may_go_before_the_names(make: Make) -> None:
    """Network and browser after days, while it is still known who it was; acts have times of their own."""
    people = make()
    (watched,) = people.separate([make_event(1)], NOON_US)
    read = AccessEvent(
        type=EventType.READ, ts_us=NOON_US, camera="", outcome="allow", subject="boss", address="203.0.113.7"
    )
    (acted,) = people.separate([read], NOON_US)
    assert people.purge(Retention.VIEWINGS, "2026-11-21", "2026-11-22") == 1
    anna, boss = people.identify([watched, acted])
    assert (anna, boss.network) == (Identity("anna"), "203.0.113.0/24")
    assert people.purge(Retention.VIEWINGS, "2026-11-22") == 0
    assert [each.subject for each in people.identify([watched, acted])] == ["", "boss"]
    assert people.purge(Retention.ACTS, "2026-11-22") == 1
    assert people.identify([acted]) == [Identity()]
    # Whoever comes back is somebody new, not a number that is gone.
    (again,) = people.separate([make_event(2)], NOON_US)
    assert people.identify([again])[0].subject == "anna"


def test_somebody_is_forgotten_in_every_minute_they_were_there(make: Make) -> None:
    """Also where another was there in the same minutes, and after a restart."""
    minutes = [NOON_US + n * 61_000_000 for n in range(5)]
    kept, gone = [], []
    for n, moment in enumerate(minutes):
        mine, others = make().separate([make_event(n), make_event(n, subject="boris")], moment)
        gone.append(mine)
        kept.append(others)
    assert make().erase("anna") == len(minutes)
    assert make().identify(gone) == [Identity()] * len(minutes)
    assert {each.agent for each in make().identify(kept)} == {"VLC"}


def test_whom_an_event_concerns_stands_in_it_by_pseudonym(make: Make) -> None:
    """Somebody unknown becomes known by no such event."""
    people = make()
    (start,) = people.separate([make_event()], NOON_US)
    read = AccessEvent(type=EventType.READ, ts_us=NOON_US, camera="", outcome="allow", subject="boss")
    about = [msgspec.structs.replace(read, about=name) for name in ("anna", "nobody")]
    one, two = people.separate(about, NOON_US)
    assert (one.about, two.about) == (start.person, "")
    assert people.pseudonyms("nobody") == set()


def test_an_old_copy_forgets_again_and_only_once(make: Make) -> None:
    """Case 66: whoever comes back later is somebody this database may know."""
    people = make()
    alias = people.alias("anna")
    assert "anna" not in alias
    people.separate([make_event(), make_event(2, subject="boris")], NOON_US)
    assert people.carry_out({"e1": alias}) == 1
    assert people.pseudonyms("anna") == set()
    people.separate([make_event(3)], NOON_US)
    assert people.carry_out({"e1": alias}) == -1
    assert make().carry_out({"e1": alias, "e2": people.alias("nobody")}) == -1
    assert people.pseudonyms("anna")
    assert people.pseudonyms("boris")
    assert people.carry_out({"e3": alias, "e4": people.alias("boris")}) == 2


_BESIDE = """
import pathlib, sys
from camrelay.audit.people import opened
with opened(pathlib.Path(sys.argv[1])):
    pass
"""


@only_sqlite
def test_a_look_in_this_process_leaves_its_locks_alone(make: Make, tmp_path: Path) -> None:
    """Closing any descriptor of the file would drop them all (fcntl(2)), and the next process that closes the
    database would then take the write-ahead log away from under this one."""
    people = make()
    for n in range(3):
        people.separate([make_event(n, subject=f"p{n}")], NOON_US)
        make().close()
        command = (sys.executable, "-c", _BESIDE, str(tmp_path / "store"))
        subprocess.run(command, check=True, timeout=30, capture_output=True)
    people.separate([make_event(9, subject="p9")], NOON_US)
    other = make()
    assert all(other.pseudonyms(name) for name in ("p0", "p1", "p2", "p9"))
    assert (tmp_path / "store" / f"{DATABASE}-wal").exists()
