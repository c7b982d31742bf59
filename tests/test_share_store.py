"""What owners give to others, kept."""

from __future__ import annotations

import asyncio

import pytest

from auth_builders import make_account
from camrelay.account_store import AccountStore
from camrelay.auth.schedule import Hours
from camrelay.auth.share import Book, Link, Share, Terms
from camrelay.database import Database
from camrelay.errors import NotFound
from camrelay.model import Action
from camrelay.sealing import Seal
from camrelay.share_store import ShareStore

TERMS = Terms((Action.WATCH, Action.SNAPSHOT), 1, 2**53, (Hours(0, 0, 1440),))


@pytest.fixture
async def store(database: Database) -> ShareStore:
    """Anna and Bert have accounts."""
    accounts = AccountStore(database, Seal(bytes(32)))
    for id in ("anna", "bert"):
        await accounts.add(make_account(id=id, email=f"{id}@cams.example"), "hash")
    return ShareStore(database)


async def read(store: ShareStore) -> Book:
    book = Book()
    await store.read(book)
    return book


async def test_what_is_stored_is_read_as_it_was(store: ShareStore) -> None:
    """Shares, links and embeds with all their terms."""
    share, link = (
        Share("1", "door", "anna", TERMS),
        Link("2", "door", b"digest", TERMS, "hash", 5, 0, "Neighbours"),
    )
    await store.put_share(share)
    await store.add_link(link)
    await store.set_origins("door", ("https://hotel.example",))
    book = await read(store)
    assert (book.shares("door"), book.links("door")) == ([share], [link])
    assert book.origins("door") == ("https://hotel.example",)


async def test_an_account_has_one_share_of_a_camera(store: ShareStore) -> None:
    """The newest; nobody who is not there has any."""
    await store.put_share(Share("1", "door", "anna"))
    await store.put_share(Share("2", "door", "anna", TERMS))
    await store.put_share(Share("3", "door", "bert"))
    assert {share.id for share in (await read(store)).shares("door")} == {"2", "3"}
    with pytest.raises(NotFound):
        await store.put_share(Share("4", "door", "nobody"))
    assert await store.drop_share("door", "anna")
    assert not await store.drop_share("door", "anna")
    assert [share.id for share in (await read(store)).shares("door")] == ["3"]


async def test_a_single_use_is_won_by_one_of_many(store: ShareStore) -> None:
    """Case 18: a hundred at once, one gets it; without a limit everybody does."""
    await store.add_link(Link("once", "door", b"1", max_uses=1))
    await store.add_link(Link("often", "door", b"2"))
    used = await asyncio.gather(*(store.use_link("once") for _ in range(100)))
    assert sum(link is not None for link in used) == 1
    assert [link for link in used if link] == [Link("once", "door", b"1", max_uses=1, uses=1)]
    assert all(await asyncio.gather(*(store.use_link("often") for _ in range(3))))
    assert await store.use_link("never") is None
    assert not await store.drop_link("yard", "often")
    assert await store.drop_link("door", "often")
    assert await store.use_link("often") is None


async def test_a_camera_is_forgotten_with_all_that_hangs_on_it(store: ShareStore) -> None:
    """And no other."""
    for camera in ("door", "yard"):
        await store.put_share(Share(camera, camera, "anna"))
        await store.add_link(Link(camera, camera, camera.encode()))
        await store.set_origins(camera, ())
    await store.forget("door")
    await store.set_origins("yard", None)
    book = await read(store)
    assert (book.shares("door"), book.links("door"), book.origins("door")) == ([], [], None)
    assert (len(book.shares("yard")), len(book.links("yard")), book.origins("yard")) == (1, 1, None)
