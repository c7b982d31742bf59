"""What relays on one database tell each other, in tables."""

from __future__ import annotations

import asyncio
import time

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from camrelay.auth.lease import Handle, HandleKind, disguised
from camrelay.auth.revocation import Revocation
from camrelay.auth.share import Link
from camrelay.database import Database
from camrelay.news_store import RIGHTS_NEWS, NewsStore, change_rights
from camrelay.share_store import ShareStore


async def test_what_is_published_comes_in_order(database: Database) -> None:
    """To whoever shares the database; who has it alone is told nothing, and stores nothing."""
    store = NewsStore(database)
    account, token = Revocation(HandleKind.ACCOUNT, "anna", 1), Revocation(HandleKind.TOKEN, "t1", 2)
    await store.publish(account)
    await ShareStore(database).add_link(Link("l1", "door", b"digest"))
    await store.publish(token)
    every = await store.since(0)
    if not database.is_shared:
        assert every == []
        return
    hidden = disguised(Handle(HandleKind.ACCOUNT, "anna")).id
    assert [news.revocation for news in every] == [Revocation(HandleKind.ACCOUNT, hidden, 1), None, token]
    assert {news.node for news in every} == {database.node}
    assert [news.number for news in every] == sorted({news.number for news in every})
    assert await store.since(every[1].number) == every[2:]


async def test_old_news_is_forgotten_and_keys_are_not(database: Database) -> None:
    """A key that was revoked once signs nothing ever after."""
    rows = [
        {"node": "n", "kind": kind, "id": "x", "at_us": at_us}
        for kind, at_us in (("token", 10), ("key", 10), ("changed", 10), ("token", 20))
    ]
    await database.change(sa.insert(RIGHTS_NEWS).values(rows))
    store = NewsStore(database)
    await store.compact(20)
    assert [(x.revocation.kind, x.revocation.at_us) for x in await store.since(0) if x.revocation] == [
        (HandleKind.KEY, 10),
        (HandleKind.TOKEN, 20),
    ]


async def test_whoever_has_read_a_number_has_missed_none(database_url: str) -> None:
    """Two relays write at once: numbers become visible in their order."""
    databases = [Database(database_url), Database(database_url)]
    for each in databases:
        await each.open()
    stores = [NewsStore(each) for each in databases]
    writing = [
        asyncio.create_task(store.publish(Revocation(HandleKind.TOKEN, f"t{i}", time.time_ns() // 1000)))
        for i in range(20)
        for store in stores
    ]
    read: list[int] = []
    while not all(task.done() for task in writing):
        read += [news.number for news in await stores[0].since(read[-1] if read else 0)]
    read += [news.number for news in await stores[0].since(read[-1] if read else 0)]
    assert len(read) == (40 if databases[0].is_shared else 0)
    assert databases[0].node != databases[1].node
    for each in databases:
        await each.close()


async def test_a_change_that_fails_is_no_news(database: Database) -> None:
    """Nobody reads again what is as it was."""
    broken = sa.insert(RIGHTS_NEWS).values(number=1, node="n", kind="token", id=None, at_us=1)
    with pytest.raises(IntegrityError):
        await change_rights(database, broken)
    assert await NewsStore(database).since(0) == []
