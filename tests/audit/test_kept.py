"""Acts that stayed when their day went: as they were signed, and all of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from audit_builders import DAY_US, NOON_US, make_event, write_log
from camrelay.audit import offline, retention
from camrelay.audit.kept import digest_of, verify_kept
from camrelay.audit.people import opened
from camrelay.audit.search import Manifest, kept_path, read_kept
from camrelay.audit.signer import Signer
from camrelay.errors import ChainBroken
from camrelay.model import AccessEvent, EventType

DAY = "2026-11-21"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three days, the first of which is purged; somebody read the record twice on that day."""
    store = tmp_path / "store"
    read = make_event(2, type=EventType.READ, subject="boss", about="anna", address="", agent="")
    read = msgspec.structs.replace(read, protocol="", viewing="", session="", count=3)
    with opened(store) as people:
        days = [
            people.separate([make_event(day), *[read] * (2 * (day == 0))], NOON_US + day * DAY_US)
            for day in range(3)
        ]
    write_log(store, days)
    purge(store)
    return store


def purge(store: Path, acts_before: str = "") -> None:
    """What is over, put on record first."""
    signer = Signer.load(store)
    over = retention.expired(store, signer, "2026-11-22", acts_before)
    for each in over:
        act = AccessEvent(EventType.PURGE, NOON_US, "", "info", target=each.name, count=each.lines)
        offline.tell(store, act)
    with opened(store) as people:
        retention.purge(store, signer, people, over)


def test_what_stayed_is_counted(store: Path) -> None:
    """Until its time is over too, which is on record as well; also when a crash came in between."""
    kept = kept_path(store, DAY).read_bytes()
    assert verify_kept(store, Signer.load(store)) == 2
    purge(store, "2026-11-22")
    assert not kept_path(store, DAY).exists()
    assert verify_kept(store, Signer.load(store)) == 0
    kept_path(store, DAY).write_bytes(kept)
    assert verify_kept(store, Signer.load(store)) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'\\"count\\":3', b'\\"count\\":1'),
        (b"/2026-11-21", b"/2026-11-20"),
        (b'"position":2', b'"position":1'),
    ],
)
def test_an_act_that_was_changed_is_found(store: Path, old: bytes, new: bytes) -> None:
    """Its line, its place or its root."""
    path = kept_path(store, DAY)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(ChainBroken):
        verify_kept(store, Signer.load(store))
    path.write_bytes(b"{")
    with pytest.raises(ChainBroken, match="cannot be read"):
        verify_kept(store, Signer.load(store))


def test_case_73_an_act_that_was_left_out_is_missed(store: Path) -> None:
    """What is there may be as it was signed: the record of the purge says what was to stay."""
    path = kept_path(store, DAY)
    kept = read_kept(path)
    fewer = Manifest(kept.log, kept.key, kept.checkpoints, kept.proofs[:1])
    path.write_bytes(msgspec.json.encode(fewer))
    with pytest.raises(ChainBroken, match="not what was kept"):
        verify_kept(store, Signer.load(store))
    path.unlink()
    with pytest.raises(ChainBroken, match="is missing"):
        verify_kept(store, Signer.load(store))


def test_a_purge_that_was_not_carried_out_is_no_fault(store: Path) -> None:
    """It was put on record, then the relay ended: the next one does it."""
    signer = Signer.load(store)
    planned = f"2026-11-22/{digest_of(b'other')}"
    offline.tell(store, AccessEvent(EventType.PURGE, NOON_US, "", "info", target=planned))
    assert verify_kept(store, signer) == 2
