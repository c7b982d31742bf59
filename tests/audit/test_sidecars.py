"""Sidecars on their way into the database: in order, each with its own, and nobody else's."""

from __future__ import annotations

import sqlite3

from audit_builders import NOON_US
from camrelay.audit.identity import Details, Sidecar, Trace, cipher, unseal
from camrelay.audit.sidecars import Ids, Sidecars

ANNA, BORIS = cipher(b"a" * 32), cipher(b"b" * 32)


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
    assert all(id < 1 << 64 for id in taken)


def test_another_start_in_the_same_millisecond_has_other_ids() -> None:
    """They are drawn, so that a clock that is set back makes no second record with an id."""
    assert len({Ids().take(1, NOON_US)[0] for _ in range(10)}) > 1


def test_each_row_has_its_own_details() -> None:
    """Whatever their lengths; and a batch without any writes nothing."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE sidecars (event, person, day, network, address_hash, blob)")
    Sidecars(range(5)).write(database)
    batch = Sidecars(range(7, 20))
    kept = [Details(user_agent="é" * n) for n in (0, 1, 200, 3)]
    trace = Trace('203.0.113.0/24"', "ab")
    added = [batch.add(each, trace, n, (ANNA, BORIS)[n % 2], f"2026-11-2{n}") for n, each in enumerate(kept)]
    batch.write(database)
    rows = database.execute("SELECT * FROM sidecars ORDER BY person").fetchall()
    assert [row[:5] for row in rows] == [
        (f"{7 + n:016x}", n, f"2026-11-2{n}", '203.0.113.0/24"', "ab") for n in range(4)
    ]
    for n, (id, commitment) in enumerate(added):
        sidecar = Sidecar(trace, rows[n][5])
        known = unseal(sidecar, bytes.fromhex(commitment), event_id=id, cipher=(ANNA, BORIS)[n % 2])
        assert known == kept[n]
    assert len({row[5][:12] for row in rows}) == 4
