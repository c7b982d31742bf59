"""Refusals outlive the process that met them."""

from __future__ import annotations

from camrelay.database import Database
from camrelay.model import Refusal
from camrelay.refusal_store import RefusalStore

NOW = 1_700_000_000_000_000


async def test_a_refusal_is_there_after_a_restart(database: Database) -> None:
    """The newest of an account, in place of those before it."""
    store = RefusalStore(database)
    await store.keep_refusal("a", Refusal(1, NOW), forget_before_us=0)
    await store.keep_refusal("a", Refusal(2, NOW + 1), forget_before_us=0)
    await store.keep_refusal("b", Refusal(1, NOW), forget_before_us=0)

    assert await RefusalStore(database).refusals() == {"a": Refusal(2, NOW + 1), "b": Refusal(1, NOW)}


async def test_what_is_forgotten_is_gone(database: Database) -> None:
    """Because the account works, or because it is long ago."""
    store = RefusalStore(database)
    await store.keep_refusal("works", Refusal(1, NOW), forget_before_us=0)
    await store.keep_refusal("old", Refusal(2, NOW), forget_before_us=0)

    await store.forget_refusal("works")
    await store.keep_refusal("new", Refusal(1, NOW + 9), forget_before_us=NOW + 1)

    assert await store.refusals() == {"new": Refusal(1, NOW + 9)}
