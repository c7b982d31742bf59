"""What is left of old days."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from audit_builders import DAY_US, NOON_US, make_event, write_log
from camrelay.audit import holds, retention
from camrelay.audit.archive import Verified, log_files, verify
from camrelay.audit.holds import Hold
from camrelay.audit.kept import verify_kept
from camrelay.audit.people import Identity, opened
from camrelay.audit.search import kept_days, prove, search
from camrelay.audit.signer import PURGED, Signer, read_notes
from camrelay.config import Audit
from camrelay.errors import ChainBroken, Held
from camrelay.model import EventType


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


def purge(
    store: Path, before: str, acts_before: str = "", is_held: Callable[[str], bool] = lambda _: False
) -> list[str]:
    with opened(store) as people:
        over = retention.expired(store, Signer.load(store), before, acts_before, is_held)
        retention.purge(store, Signer.load(store), people, over)
    return [each.day for each in over]


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


@pytest.fixture
def acted(tmp_path: Path) -> Path:
    """Three days, in the first of which somebody read the record."""
    store = tmp_path / "acted"
    read = make_event(2, type=EventType.READ, subject="boss", about="anna", address="", agent="")
    read = msgspec.structs.replace(read, protocol="", viewing="", session="", count=3)
    with opened(store) as people:
        days = [
            people.separate(
                [make_event(day), *[read] * (day == 0), make_event(day + 9)], NOON_US + day * DAY_US
            )
            for day in range(3)
        ]
    write_log(store, days)
    return store


def test_acts_stay_when_their_day_goes(acted: Path) -> None:
    """With the proof that they stood in it; found and proven like any other, until their time is over."""
    signer = Signer.load(acted)
    (over,) = retention.expired(acted, signer, "2026-11-22")
    assert (over.day, over.lines) == ("2026-11-21", 4)
    assert over.name == f"2026-11-21/{hashlib.sha256(over.kept).hexdigest()}"
    (before,) = [each for each in search(acted) if each.record.type is EventType.READ]
    proven = prove(acted, signer, [before])
    assert purge(acted, "2026-11-22") == ["2026-11-21"]
    (after,) = [each for each in search(acted) if each.record.type is EventType.READ]
    assert after == before
    assert [each.record.type for each in search(acted, only_day="2026-11-21")] == [EventType.READ]
    assert prove(acted, signer, [after]) == proven
    assert verify_kept(acted, signer) == 1
    assert check(acted).days == 2
    assert purge(acted, "2026-11-22", "2026-11-21") == []
    assert kept_days(acted) == ["2026-11-21"]
    assert purge(acted, "2026-11-22", "2026-11-22", lambda _: True) == []
    assert purge(acted, "2026-11-22", "2026-11-22") == ["2026-11-21"]
    assert kept_days(acted) == []
    assert verify_kept(acted, signer) == 0
    assert check(acted).days == 2


def test_days_may_be_held(store: Path) -> None:
    """And what is known of their people stays with them."""
    assert purge(store, "2026-11-24", is_held=lambda day: day == "2026-11-22") == ["2026-11-21", "2026-11-23"]
    assert [path.name for path in log_files(store)] == ["access-2026-11-22.jsonl", "access-2026-11-24.jsonl"]
    assert check(store).days == 2
    with opened(store) as people:
        found = people.identify([each.record for each in search(store)])
    assert {identity.network for identity in found} == {"203.0.113.0/24"}


def test_details_go_earlier_than_records(store: Path) -> None:
    """Each class by its own days; but not of days that are held."""
    options = Audit(viewings_details_days=1, acts_details_days=30)
    assert retention.details_ends(store, Audit(), "2026-11-24") == ("", "")
    ends = retention.details_ends(store, options, "2026-11-24")
    assert ends == ("2026-11-23", "2026-10-25")
    signer = Signer.load(store)
    with opened(store) as people:
        retention.purge(store, signer, people, [], *ends)
        found = people.identify([each.record for each in search(store)])
    assert [(each.subject, bool(each.network)) for each in found[::10]] == [
        ("anna", False), ("anna", False), ("anna", True), ("anna", True)
    ]  # fmt: skip
    holds.add(store, Hold("h", "a complaint", "boss", "2026-12-01", first="2026-11-22"), "2026-11-24")
    assert retention.details_ends(store, options, "2026-11-24")[0] == "2026-11-22"
    holds.add(store, Hold("i", "a complaint", "boss", "2026-12-01"), "2026-11-24")
    assert retention.details_ends(store, options, "2026-11-24")[0] == ""


def test_case_77_a_clock_that_leaps_purges_nothing(store: Path) -> None:
    """Set forward, it would make everything old."""
    retention.check_clock(store, "2026-11-24")
    retention.check_clock(store, "2026-11-25")
    for today in ("2026-11-26", "2027-11-24"):
        with pytest.raises(Held, match="is the clock right"):
            retention.check_clock(store, today)
    for path in log_files(store)[1:3]:
        path.unlink()
    with pytest.raises(Held, match="jumps from 2026-11-21 to 2026-11-24"):
        retention.check_clock(store, "2026-11-24")
