"""Erasures that outlive a backup."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from audit_builders import NOON_US, make_event
from camrelay.audit import erasure as module
from camrelay.audit import holds, restriction, sqlite_file
from camrelay.audit.erasure import LEDGER, adopt, erase, prepare, replay, saved
from camrelay.audit.holds import Hold
from camrelay.audit.people import opened
from camrelay.audit.people_store import DATABASE
from camrelay.errors import AuditUnavailable, Held

TODAY = "2026-11-22"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two records of anna and one of boris."""
    store = tmp_path / "store"
    watch(store, "anna", "anna", "boris")
    return store


def watch(store: Path, *subjects: str) -> None:
    with opened(store) as people:
        people.separate([make_event(n, subject=subject) for n, subject in enumerate(subjects)], NOON_US)


def knows(store: Path, subject: str) -> bool:
    with opened(store) as people:
        return bool(people.pseudonyms(subject))


def forget(store: Path, subject: str) -> int:
    return erase(store, prepare(store, subject, NOON_US, TODAY))


def test_case_66_a_backup_that_is_put_back_forgets_again(store: Path, tmp_path: Path) -> None:
    """Once; whoever comes back afterwards is somebody the record may know."""
    backup = tmp_path / "backup.db"
    shutil.copy(store / DATABASE, backup)
    assert forget(store, "anna") == 2
    assert not knows(store, "anna")
    assert b"anna" not in b"".join(path.read_bytes() for path in store.iterdir())

    shutil.copy(backup, store / DATABASE)
    assert knows(store, "anna")
    assert replay(store) == 2
    assert not knows(store, "anna")
    assert knows(store, "boris")

    watch(store, "anna")
    assert replay(store) == -1
    assert knows(store, "anna")


def test_case_66_somebody_may_be_erased_twice(store: Path) -> None:
    """The second time there is nobody."""
    assert (forget(store, "anna"), forget(store, "anna"), forget(store, "nobody")) == (2, -1, -1)
    assert len(saved((store / LEDGER).read_text())) == 3


@pytest.mark.parametrize("form", ["ledger", "log"])
def test_a_ledger_from_elsewhere_is_taken_over(store: Path, tmp_path: Path, form: str) -> None:
    """A copy of the file, or what the operators' log says; the whole folder was put back, ledger and all."""
    backup = tmp_path / "backup"
    shutil.copytree(store, backup)
    forget(store, "anna")
    text = (store / LEDGER).read_text()
    if form == "log":
        text = "".join(f"12:00 INFO {entry.one_line()}\n" for entry in saved(text))
    assert replay(backup) == -1
    assert adopt(backup, f"{text}\n{{}}\nnonsense") == 2
    assert adopt(backup, text) == -1
    assert not knows(backup, "anna")
    assert len(saved((backup / LEDGER).read_text())) == 1


def test_who_is_held_is_not_erased(store: Path) -> None:
    """Nothing is noted either."""
    with opened(store) as known:
        alias = known.alias("anna")
    holds.add(store, Hold("h1", "case", "board", "2026-12-31", alias=alias), TODAY)
    with pytest.raises(Held):
        prepare(store, "anna", NOON_US, TODAY)
    assert not (store / LEDGER).exists()
    assert forget(store, "boris") == 1


def test_a_restriction_goes_with_the_person(store: Path) -> None:
    """Nothing names them any more."""
    with opened(store) as known:
        alias = known.alias("anna")
    restriction.restrict(store, alias)
    forget(store, "anna")
    assert restriction.restricted(store) == set()


def test_a_crash_in_between_is_made_good_by_the_next_start(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger comes first; a line that was torn swallows none."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "_carry_out", lambda *_: (_ for _ in ()).throw(OSError(5, "crash")))
        with pytest.raises(AuditUnavailable):
            forget(store, "anna")
    with open(store / LEDGER, "a") as file:
        file.write('{"id":"0123')
    assert forget(store, "boris") == 1
    assert knows(store, "anna")
    assert replay(store) == 2
    assert not knows(store, "anna")


def test_old_pages_that_somebody_reads_are_said(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told that it is done while a copy could still be made."""
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.01)
    reader = sqlite3.connect(store / DATABASE, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM people").fetchall()
    with pytest.raises(AuditUnavailable, match="being read"):
        forget(store, "anna")
    reader.close()
    assert replay(store) == -1
    assert not knows(store, "anna")
