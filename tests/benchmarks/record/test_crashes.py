"""The account of what programs were told and what is there."""

from __future__ import annotations

import msgspec

from audit_builders import make_start
from benchmarks.record.crashes import Account


def test_what_is_missing_doubled_or_torn_is_counted() -> None:
    """A record without its person is as good as lost; one that nobody was told of is welcome."""
    records = [make_start(n) for n in range(5)]
    records.append(msgspec.structs.replace(records[0], ts_us=9))
    account = Account()
    account.add({"v0", "v1", "v2", "v7"}, records, [True, True, False, True, True, True], torn=2)
    assert (account.acknowledged, account.lost, account.duplicated, account.torn) == (4, 2, 1, 2)
