"""What relays on one database tell each other: rights that were withdrawn, and that others have changed.

A row is an event, and its number says what came before. Numbers are given in the order of the commits, so
that whoever has read up to one has missed none. On PostgreSQL a notification wakes the others. A database of
one relay alone has no rows here.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from camrelay.auth.lease import HandleKind, disguised
from camrelay.auth.revocation import Revocation
from camrelay.database import SCHEMA, Database

RIGHTS_NEWS = sa.Table(
    "rights_news",
    SCHEMA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    #: Of the relay that wrote it, new at each of its starts.
    sa.Column("node", sa.String(32), nullable=False),
    #: A kind of handle, or CHANGED.
    sa.Column("kind", sa.String(16), nullable=False),
    #: The handle, without names of people.
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False, index=True),
)

#: Cameras, shares or API keys are other than before; which ones the tables tell.
CHANGED = "changed"

#: Whom notifications go to.
CHANNEL = "camrelay_rights"

#: What PostgreSQL's advisory locks call the order of the rows.
_ORDER_LOCK = 0x63616E77


class News(NamedTuple):
    """One event. `revocation` is None when rights were changed."""

    number: int
    node: str
    revocation: Revocation | None


class NewsStore:
    """The table of news."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, revocation: Revocation) -> None:
        """Tells the other relays of a revocation."""
        if self._database.is_shared:
            handle = disguised(revocation.handle)
            await self._database.transact(
                lambda connection: self._tell(connection, handle.kind, handle.id, revocation.at_us)
            )

    async def since(self, number: int) -> list[News]:
        """Everything after an event, in its order."""
        rows = await self._database.fetch(
            sa.select(RIGHTS_NEWS).where(RIGHTS_NEWS.c.number > number).order_by(RIGHTS_NEWS.c.number)
        )
        return [News(row["number"], row["node"], _revocation(row)) for row in rows]

    async def compact(self, horizon_us: int) -> None:
        """Drops what was said before `horizon_us`, when nothing it names can be alive; keeps keys."""
        old = (RIGHTS_NEWS.c.at_us < horizon_us) & (RIGHTS_NEWS.c.kind != HandleKind.KEY)
        await self._database.change(sa.delete(RIGHTS_NEWS).where(old))

    async def _tell(self, connection: AsyncConnection, kind: str, id: str, at_us: int) -> None:
        await _append(connection, self._database.node, kind, id, at_us)


async def change_rights(database: Database, *statements: sa.Executable) -> int:
    """Runs statements as one transaction that other relays hear of; how many rows the last one changed.

    Raises:
        IntegrityError: a key is taken, or a row that is referred to is missing.
        StoreUnavailable: the database does not answer.
    """

    async def change(connection: AsyncConnection) -> int:
        changed = 0
        for statement in statements:
            changed = (await connection.execute(statement)).rowcount
        if database.is_shared:
            await _append(connection, database.node, CHANGED, "", time.time_ns() // 1000)
        return changed

    return await database.transact(change)


async def _append(connection: AsyncConnection, node: str, kind: str, id: str, at_us: int) -> None:
    # Without the lock a smaller number could be committed after a larger one was read.
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ORDER_LOCK)))
    row = {"node": node, "kind": kind, "id": id, "at_us": at_us}
    await connection.execute(sa.insert(RIGHTS_NEWS).values(**row))
    await connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))


def _revocation(row: sa.RowMapping) -> Revocation | None:
    if row["kind"] == CHANGED:
        return None
    return Revocation(HandleKind(row["kind"]), row["id"], row["at_us"])
