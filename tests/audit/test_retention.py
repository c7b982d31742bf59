"""What is left of old days."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit_builders import DAY_US, NOON_US, make_event, write_log
from camrelay.audit import retention
from camrelay.audit.archive import Verified, log_files, verify
from camrelay.audit.people import Identity, opened
from camrelay.audit.search import search
from camrelay.audit.signer import PURGED, Signer, read_notes
from camrelay.errors import ChainBroken


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Four days of ten records each, the first on 2026-11-21."""
    store = tmp_path / "store"
    with opened(store) as people:
        days = [
            people.separate([make_event(n) for n in range(day * 10, day * 10 + 10)], NOON_US + day * DAY_US)
            for day in range(4)
        ]
    write_log(store, days)
    return store


def purge(store: Path, before: str) -> list[str]:
    with opened(store) as people:
        return retention.purge(store, Signer.load(store), people, before)


def check(store: Path, since: str = "") -> Verified:
    signer = Signer.load(store)
    return verify(store, signer, signer.read(read_notes(store)), since)


def test_old_days_go_and_the_rest_can_still_be_verified(store: Path) -> None:
    """In one purge or in several; checkpoints kept elsewhere still fit."""
    assert purge(store, "2026-11-21") == []
    assert purge(store, "2026-11-22") == ["2026-11-21"]
    assert purge(store, "2026-11-24") == ["2026-11-22", "2026-11-23"]
    assert (check(store).days, check(store).lines) == (1, 11)
    assert check(store, "2026-11-22").days == 1
    assert sorted(path.name for path in store.glob("access-*")) == [
        "access-2026-11-24.jsonl",
        "access-2026-11-24.leaves",
    ]


def test_the_newest_day_stays(store: Path) -> None:
    """The log goes on from it."""
    assert purge(store, "2099-01-01") == ["2026-11-21", "2026-11-22", "2026-11-23"]
    assert check(store).days == 1


def test_with_a_day_goes_what_was_known_of_its_people(store: Path) -> None:
    """And nothing of later days."""
    records = [found.record for found in search(store)]
    purge(store, "2026-11-23")
    with opened(store) as people:
        found = people.identify(records)
    assert [identity.network for identity in found] == [""] * 20 + ["203.0.113.0/24"] * 20
    assert found[0] == Identity("anna")


def test_a_log_that_was_changed_is_not_purged(store: Path) -> None:
    """It may be evidence."""
    path = log_files(store)[0]
    path.write_bytes(path.read_bytes().replace(b"door", b"doar"))
    with pytest.raises(ChainBroken, match="access-2026-11-21"):
        purge(store, "2026-11-23")
    assert len(log_files(store)) == 4


def test_a_day_that_disappeared_was_not_purged(store: Path) -> None:
    """Only the log's own signature says that; and not for another root than it signed before."""
    signer = Signer.load(store)
    first = log_files(store)[0]
    first.unlink()
    with pytest.raises(ChainBroken, match=r"access-2026-11-21\.jsonl is missing"):
        check(store)
    forged = [note for note in read_notes(store) if signer.origin("2026-11-22") in note][-1]
    (store / PURGED).write_text(forged.replace("/2026-11-22", "/2026-11-21") + "\n")
    with pytest.raises(ChainBroken, match="signature"):
        check(store)
    early = signer.sign("2026-11-21", retention.Tree([b"x" * 32]))
    (store / PURGED).write_text(early + "\n")
    with pytest.raises(ChainBroken, match="another root"):
        check(store)


def test_a_purge_that_a_crash_cut_short_is_finished_by_the_next(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days that are noted and still there, and a note that was torn."""
    with monkeypatch.context() as patch:
        patch.setattr(retention, "leaves_path", lambda path: store / "missing" / "file" / "x" / path.name)
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(OSError("crash")))
        with pytest.raises(OSError, match="crash"):
            purge(store, "2026-11-23")
    (store / PURGED).write_bytes((store / PURGED).read_bytes()[:-9])
    assert check(store).days == 4
    assert purge(store, "2026-11-23") == ["2026-11-21", "2026-11-22"]
    assert len(read_notes(store, PURGED)) == 2
    assert check(store).days == 2
