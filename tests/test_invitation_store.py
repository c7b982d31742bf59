"""Invitations by e-mail, kept: what is offered, what waits, and what is forgotten."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from auth_builders import NOW_US, make_account
from camrelay.account_store import AccountStore
from camrelay.auth.schedule import Hours
from camrelay.auth.share import Terms
from camrelay.database import Database
from camrelay.invitation_store import LETTERS, Entry, InvitationStore, Offer
from camrelay.mail.letter import Letter
from camrelay.sealing import Seal

END_US = NOW_US + 1000
LETTER = Letter("bert@post.example", "ru", "Anna", "Door", END_US)
OFFER = Offer("one", "door", "Bert", Terms(expires_us=END_US, schedule=(Hours(0, 0, 1440),)), END_US)


def entry(id: str = "one", mark: str = "m1") -> Entry:
    return Entry(id, "anna", mark, NOW_US, END_US)


@pytest.fixture
async def store(database: Database) -> InvitationStore:
    """Anna writes."""
    await AccountStore(database, Seal(bytes(32))).add(make_account(), "hash")
    return InvitationStore(database, Seal(bytes(32)))


async def test_a_letter_waits_sealed_until_it_is_closed(store: InvitationStore, database: Database) -> None:
    """It comes back as it was; nobody reads an address in the table."""
    await store.add(entry(), LETTER, OFFER)
    (row,) = await database.fetch(sa.select(LETTERS))
    assert b"bert" not in row["sealed"]
    assert await store.due(NOW_US - 1, 9) == []
    (waiting,) = await store.due(NOW_US, 9)
    assert (waiting.letter, waiting.tries) == (LETTER, 0)

    claims = await asyncio.gather(*(store.claim(waiting, NOW_US + 5) for _ in range(5)))

    assert sorted(claims) == [False] * 4 + [True]
    assert await store.due(NOW_US + 4, 9) == []
    assert [each.tries for each in await store.due(NOW_US + 5, 9)] == [1]
    assert await store.waiting() == 1
    await store.close("one")
    assert (await store.waiting(), await store.due(NOW_US + 5, 9)) == (0, [])
    assert not await store.claim(waiting, 0)


async def test_letters_are_counted_by_writer_and_by_address(store: InvitationStore) -> None:
    """One that was never to be sent counts for its writer alone."""
    await store.add(entry("one"), LETTER)
    await store.add(entry("two", "m2"), LETTER)
    await store.add(entry("three"), None)
    await store.add(Entry("four", None, "m1", NOW_US, END_US), LETTER)

    assert [await store.written_by(who, NOW_US - 1) for who in ("anna", None, "bert")] == [3, 1, 0]
    assert [await store.written_to(mark, NOW_US - 1) for mark in ("m1", "m2")] == [2, 1]
    assert await store.written_by("anna", NOW_US) == 0
    assert await store.waiting() == 3


async def test_an_offer_is_taken_once_and_before_its_end(store: InvitationStore) -> None:
    """Of a hundred who accept at once one does."""
    await store.add(entry(), LETTER, OFFER)
    assert await store.offers("door", NOW_US) == [OFFER] == [await store.offer("one", NOW_US)]
    assert (await store.offers("door", END_US), await store.offer("one", END_US)) == ([], None)

    assert sum(await asyncio.gather(*(store.take("one") for _ in range(100)))) == 1
    assert await store.offer("one", NOW_US) is None


async def test_an_erased_address_is_nowhere_but_among_the_refused(
    store: InvitationStore, database: Database
) -> None:
    """As a mark; erasing twice is as good as once, and others keep theirs."""
    await store.add(entry(), LETTER, OFFER)
    await store.add(entry("two", "m2"), LETTER)
    assert await store.erase("m1", refuse=True) == ["one"]
    assert await store.erase("m1", refuse=True) == []

    assert [await store.is_refused(mark) for mark in ("m1", "m2")] == [True, False]
    assert await store.offers("door", NOW_US) == []
    rows = {
        row["id"]: (row["mark"], row["sealed"] is None) for row in await database.fetch(sa.select(LETTERS))
    }
    assert rows == {"one": (None, True), "two": ("m2", False)}
    assert await store.erase("m2", refuse=False) == ["two"]
    assert not await store.is_refused("m2")


async def test_a_camera_that_is_gone_is_offered_to_nobody(store: InvitationStore) -> None:
    """Nor is another of the same id later."""
    await store.add(entry(), LETTER, OFFER)
    await store.forget_camera("door")
    assert await store.offers("door", NOW_US) == []


async def test_what_is_over_is_swept(store: InvitationStore) -> None:
    """Offers and letters alike."""
    await store.add(entry(), LETTER, OFFER)
    await store.sweep(END_US - 1)
    assert await store.offers("door", NOW_US) == [OFFER]
    await store.sweep(END_US)
    assert (await store.offers("door", NOW_US), await store.waiting()) == ([], 0)
