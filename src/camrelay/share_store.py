"""What owners give to others: shares, links, and which sites may embed a camera.

A link is found by the hash of its secret, and its password is an Argon2 hash: a stolen database opens none.
Cameras of the configuration file are shared too, so a camera's id is no reference to the table of cameras.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from camrelay.auth.share import Book, Link, Share, Terms
from camrelay.database import SCHEMA, Database
from camrelay.errors import NotFound
from camrelay.news_store import change_rights

SHARES = sa.Table(
    "shares",
    SCHEMA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("camera", sa.String(64), nullable=False, index=True),
    sa.Column(
        "account", sa.String(32), sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    #: JSON of auth.share.Terms; nothing is looked for in it.
    sa.Column("terms", sa.Text, nullable=False),
    sa.UniqueConstraint("camera", "account"),
)

LINKS = sa.Table(
    "links",
    SCHEMA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("camera", sa.String(64), nullable=False, index=True),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("terms", sa.Text, nullable=False),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("max_uses", sa.Integer),
    sa.Column("uses", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
)

#: Sites that may embed a camera, as JSON; without a row every site may.
EMBEDS = sa.Table(
    "embeds",
    SCHEMA,
    sa.Column("camera", sa.String(64), primary_key=True),
    sa.Column("origins", sa.Text, nullable=False),
)


class ShareStore:
    """The tables of shares, links and embeds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, book: Book) -> None:
        """Puts everything there is into a book."""
        for row in await self._database.fetch(sa.select(SHARES)):
            book.put_share(Share(row["id"], row["camera"], row["account"], _terms(row)))
        for row in await self._database.fetch(sa.select(LINKS)):
            book.put_link(_link(row))
        for row in await self._database.fetch(sa.select(EMBEDS)):
            book.set_origins(row["camera"], msgspec.json.decode(row["origins"], type=tuple[str, ...]))

    async def put_share(self, share: Share) -> None:
        """Stores a share in place of what the account had of the camera.

        Raises:
            NotFound: there is no such account.
        """
        row = {"id": share.id, "camera": share.camera, "account": share.account, "terms": _text(share.terms)}
        try:
            await change_rights(
                self._database,
                sa.delete(SHARES).where(_same(share.camera, share.account)),
                sa.insert(SHARES).values(**row),
            )
        except IntegrityError:
            raise NotFound("no such account") from None

    async def drop_share(self, camera: str, account: str) -> bool:
        """Forgets a share; False when there is none."""
        return bool(await change_rights(self._database, sa.delete(SHARES).where(_same(camera, account))))

    async def add_link(self, link: Link) -> None:
        """Stores a new link."""
        row = msgspec.structs.asdict(link) | {"terms": _text(link.terms)}
        await change_rights(self._database, sa.insert(LINKS).values(**row))

    async def use_link(self, link_id: str) -> Link | None:
        """Counts a use of a link and returns it; None when it is gone or used up, whoever asks at once."""
        is_left = sa.or_(LINKS.c.max_uses.is_(None), LINKS.c.uses < LINKS.c.max_uses)
        rows = (LINKS.c.id == link_id) & is_left
        if not await self._database.change(sa.update(LINKS).where(rows).values(uses=LINKS.c.uses + 1)):
            return None
        found = await self._database.fetch(sa.select(LINKS).where(LINKS.c.id == link_id))
        return _link(found[0]) if found else None

    async def drop_link(self, camera: str, link_id: str) -> bool:
        """Forgets a link of a camera; False when there is none."""
        rows = (LINKS.c.camera == camera) & (LINKS.c.id == link_id)
        return bool(await change_rights(self._database, sa.delete(LINKS).where(rows)))

    async def set_origins(self, camera: str, origins: tuple[str, ...] | None) -> None:
        """Stores which sites may embed a camera; None: every site."""
        statements: list[sa.Executable] = [sa.delete(EMBEDS).where(EMBEDS.c.camera == camera)]
        if origins is not None:
            row = {"camera": camera, "origins": msgspec.json.encode(origins).decode()}
            statements.append(sa.insert(EMBEDS).values(**row))
        await change_rights(self._database, *statements)

    async def forget(self, camera: str) -> None:
        """Forgets everything of a camera."""
        await change_rights(
            self._database, *(sa.delete(table).where(table.c.camera == camera) for table in _TABLES)
        )


_TABLES = (SHARES, LINKS, EMBEDS)


def _same(camera: str, account: str) -> sa.ColumnElement[bool]:
    return (SHARES.c.camera == camera) & (SHARES.c.account == account)


def _text(terms: Terms) -> str:
    return msgspec.json.encode(terms).decode()


def _terms(row: sa.RowMapping) -> Terms:
    return msgspec.json.decode(row["terms"], type=Terms)


def _link(row: sa.RowMapping) -> Link:
    return Link(**{name: row[name] for name in Link.__struct_fields__} | {"terms": _terms(row)})
