"""Invitations by e-mail: what was offered, the letters that still wait, and who wants none.

An address is kept, sealed, only in a letter that was not sent yet; beside it stands its keyed mark, by which
its owner can have everything forgotten. Of an address whose owner did, the mark is kept and nothing else.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from camrelay.auth.share import Terms
from camrelay.database import SCHEMA, Database
from camrelay.mail.letter import Letter
from camrelay.sealing import Seal

#: One for each invitation, until it is over: it says who has written how much, and to whom.
LETTERS = sa.Table(
    "letters",
    SCHEMA,
    sa.Column("id", sa.String(32), primary_key=True),
    #: Null when the command line had it written.
    sa.Column("account", sa.String(32), sa.ForeignKey("accounts.id", ondelete="CASCADE"), index=True),
    #: Null when the owner of the address wants no letters.
    sa.Column("mark", sa.String(64), index=True),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("ends_us", sa.BigInteger, nullable=False),
    #: JSON of mail.letter.Letter. Null when it was sent, given up or never to be sent.
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("next_us", sa.BigInteger, nullable=False),
)

#: A camera, for whoever accepts.
OFFERS = sa.Table(
    "offers",
    SCHEMA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("camera", sa.String(64), nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    #: JSON of auth.share.Terms.
    sa.Column("terms", sa.Text, nullable=False),
    sa.Column("ends_us", sa.BigInteger, nullable=False),
)

#: Marks of addresses that nothing is sent to any more.
REFUSED_ADDRESSES = sa.Table("refused_addresses", SCHEMA, sa.Column("mark", sa.String(64), primary_key=True))


class Offer(msgspec.Struct, frozen=True):
    """A camera that somebody may have who accepts it before it ends. `name` is the owner's note on who."""

    id: str
    camera: str
    name: str
    terms: Terms
    ends_us: int


class Entry(msgspec.Struct, frozen=True):
    """A letter's line: by whom, to whom, when, and until when it means something."""

    id: str
    account: str | None
    mark: str
    created_us: int
    ends_us: int


class Waiting(msgspec.Struct, frozen=True):
    """A letter that is due, and how often it has failed."""

    id: str
    letter: Letter
    created_us: int
    tries: int


class InvitationStore:
    """The tables of invitations by e-mail."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal

    # What is written.

    async def is_refused(self, mark: str) -> bool:
        """Whether nothing may be sent to an address."""
        row = REFUSED_ADDRESSES.c.mark == mark
        return bool(await self._database.fetch(sa.select(REFUSED_ADDRESSES).where(row)))

    async def written_by(self, account: str | None, since_us: int) -> int:
        """How many letters an account has had written since a moment."""
        return await self._count(
            LETTERS.c.account.is_not_distinct_from(account) & (LETTERS.c.created_us > since_us)
        )

    async def written_to(self, mark: str, since_us: int) -> int:
        """How many letters an address was written since a moment."""
        return await self._count((LETTERS.c.mark == mark) & (LETTERS.c.created_us > since_us))

    async def waiting(self) -> int:
        """How many letters are still to be sent."""
        return await self._count(LETTERS.c.sealed.is_not(None))

    async def add(self, entry: Entry, letter: Letter | None, offer: Offer | None = None) -> None:
        """Stores a letter, None for one that is not sent, and what it offers."""
        values = msgspec.structs.asdict(entry) | {"tries": 0, "next_us": entry.created_us}
        if letter is None:
            values["mark"] = None
        else:
            values["sealed"] = self._seal.close(msgspec.json.encode(letter).decode(), _letter_of(entry.id))
        statements: list[sa.Executable] = [sa.insert(LETTERS).values(**values)]
        if offer is not None:
            row = msgspec.structs.asdict(offer) | {"terms": msgspec.json.encode(offer.terms).decode()}
            statements.append(sa.insert(OFFERS).values(**row))
        await self._database.change(*statements)

    # The queue.

    async def due(self, now_us: int, limit: int) -> list[Waiting]:
        """Letters whose time has come, the longest waiting first."""
        rows = LETTERS.c.sealed.is_not(None) & (LETTERS.c.next_us <= now_us)
        query = sa.select(LETTERS).where(rows).order_by(LETTERS.c.next_us).limit(limit)
        return [self._waiting(row) for row in await self._database.fetch(query)]

    async def claim(self, waiting: Waiting, next_us: int) -> bool:
        """Counts an attempt, the next at `next_us`; False when another relay has begun one."""
        row = (
            (LETTERS.c.id == waiting.id) & (LETTERS.c.tries == waiting.tries) & LETTERS.c.sealed.is_not(None)
        )
        change = sa.update(LETTERS).where(row).values(tries=waiting.tries + 1, next_us=next_us)
        return bool(await self._database.change(change))

    async def close(self, id: str) -> None:
        """Forgets a letter that was sent, or is not to be; its line stays until the invitation ends."""
        await self._database.change(sa.update(LETTERS).where(LETTERS.c.id == id).values(sealed=None))

    # What is offered.

    async def offers(self, camera: str, now_us: int) -> list[Offer]:
        """What is offered of a camera, oldest first."""
        rows = (OFFERS.c.camera == camera) & (OFFERS.c.ends_us > now_us)
        query = sa.select(OFFERS).where(rows).order_by(OFFERS.c.ends_us, OFFERS.c.id)
        return [_offer(row) for row in await self._database.fetch(query)]

    async def offer(self, id: str, now_us: int) -> Offer | None:
        """An offer that still holds."""
        row = (OFFERS.c.id == id) & (OFFERS.c.ends_us > now_us)
        found = await self._database.fetch(sa.select(OFFERS).where(row))
        return _offer(found[0]) if found else None

    async def take(self, id: str) -> bool:
        """Uses an offer up; False for all but one of those who do."""
        return bool(await self._database.change(sa.delete(OFFERS).where(OFFERS.c.id == id)))

    async def forget_camera(self, camera: str) -> None:
        """Takes back everything that is offered of a camera."""
        await self._database.change(sa.delete(OFFERS).where(OFFERS.c.camera == camera))

    # What is forgotten.

    async def erase(self, mark: str, *, refuse: bool) -> list[str]:
        """Forgets an address everywhere; the invitations that were written to it.

        Args:
            refuse: keeps the mark, so that nothing is sent there again.
        """

        async def act(connection: AsyncConnection) -> list[str]:
            mine = LETTERS.c.mark == mark
            ids = list((await connection.execute(sa.select(LETTERS.c.id).where(mine))).scalars())
            await connection.execute(sa.update(LETTERS).where(mine).values(mark=None, sealed=None))
            await connection.execute(sa.delete(OFFERS).where(OFFERS.c.id.in_(ids)))
            return ids

        ids = await self._database.transact(act)
        if refuse:
            with suppress(IntegrityError):  # it was asked for before
                await self._database.change(sa.insert(REFUSED_ADDRESSES).values(mark=mark))
        return ids

    async def sweep(self, now_us: int) -> None:
        """Forgets every invitation that is over."""
        await self._database.change(
            sa.delete(OFFERS).where(OFFERS.c.ends_us <= now_us),
            sa.delete(LETTERS).where(LETTERS.c.ends_us <= now_us),
        )

    async def _count(self, rows: sa.ColumnElement[bool]) -> int:
        query = sa.select(sa.func.count().label("count")).select_from(LETTERS).where(rows)
        return int((await self._database.fetch(query))[0]["count"])

    def _waiting(self, row: sa.RowMapping) -> Waiting:
        letter = msgspec.json.decode(self._seal.open(row["sealed"], _letter_of(row["id"])), type=Letter)
        return Waiting(row["id"], letter, row["created_us"], row["tries"])


def _letter_of(id: str) -> str:
    return f"letter/{id}"


def _offer(row: sa.RowMapping) -> Offer:
    return Offer(
        row["id"],
        row["camera"],
        row["name"],
        msgspec.json.decode(row["terms"], type=Terms),
        row["ends_us"],
    )
