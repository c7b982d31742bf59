"""Sidecars on their way into the database: in order, each with its own, and nobody else's."""

from __future__ import annotations

from pathlib import Path

from audit_builders import NOON_US
from camrelay.audit.identity import Details, Origin, Trace, unseal
from camrelay.audit.people_sqlite import SqlitePeople
from camrelay.audit.record import Retention
from camrelay.audit.sidecars import Ids, Person, Sidecars


def test_ids_count_up_within_a_batch_and_between_batches() -> None:
    """Also when a batch takes more than its millisecond has, and when the clock is set back."""
    ids = Ids()
    taken = [*ids.take(3, NOON_US), *ids.take(5_000_000, NOON_US)[-2:]]
    taken += [
        *ids.take(2, NOON_US),
        *ids.take(2, NOON_US - 86_400_000_000),
        *ids.take(2, NOON_US + 10_000_000),
    ]
    assert taken == sorted(set(taken))
    assert all(id < 1 << 63 for id in taken)


def test_another_start_in_the_same_millisecond_has_other_ids() -> None:
    """They are drawn, so that a clock that is set back makes no second record with an id."""
    assert len({Ids().take(1, NOON_US)[0] for _ in range(10)}) > 1


def test_each_row_has_its_own_details(tmp_path: Path) -> None:
    """Whatever their lengths, also where a batch is longer than a statement; an empty one writes none."""
    store = SqlitePeople(tmp_path, lambda: None)
    store.open()
    batch = Sidecars(range(7, 2000))
    trace = Trace('203.0.113.0/24"', "ab")
    people = Person(1, b"a" * 32), Person(2, b"b" * 32)
    kept = [Details(user_agent="é" * (n % 200)) for n in range(1100)]
    added = [batch.add(Origin(each, trace), people[n % 2], Retention.VIEWINGS) for n, each in enumerate(kept)]
    with store.transaction():
        Sidecars(range(5)).write(store)
        batch.write(store)
        found = store.known([*range(7, 2000)], [])
    store.close()
    assert list(found.sidecars) == list(range(7, 7 + len(kept)))
    for n, (id, commitment) in enumerate(added):
        person, sidecar = found.sidecars[int(id, 16)]
        assert (person, sidecar.trace) == (1 + n % 2, trace)
        key = people[n % 2].cipher
        assert unseal(sidecar, bytes.fromhex(commitment), event_id=id, cipher=key) == kept[n]
    assert len({sidecar.blob[:12] for _, sidecar in found.sidecars.values()}) == len(kept)
