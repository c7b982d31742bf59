"""The API keys, as hashes: a stolen database opens nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from camrelay.auth.api_key import ApiKey
from camrelay.database import SCHEMA, Database
from camrelay.model import Action
from camrelay.news_store import change_rights

API_KEYS = sa.Table(
    "api_keys",
    SCHEMA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    #: JSON lists; nothing is looked for in them.
    sa.Column("cameras", sa.Text, nullable=False),
    sa.Column("actions", sa.Text, nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("expires_us", sa.BigInteger, nullable=False),
)

_LISTS = {"cameras": tuple[str, ...], "actions": tuple[Action, ...]}


class ApiKeyStore:
    """The table of API keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keys(self) -> list[ApiKey]:
        """Every key, oldest first."""
        rows = await self._database.fetch(sa.select(API_KEYS).order_by(API_KEYS.c.created_us))
        return [ApiKey(**{**row, **_decoded(row)}) for row in rows]

    async def add(self, key: ApiKey) -> None:
        """Stores a new key."""
        row = msgspec.structs.asdict(key)
        encoded = {name: msgspec.json.encode(row[name]).decode() for name in _LISTS}
        await change_rights(self._database, sa.insert(API_KEYS).values(**row | encoded))

    async def remove(self, key_id: str) -> None:
        """Forgets a key, if there is one."""
        await change_rights(self._database, sa.delete(API_KEYS).where(API_KEYS.c.id == key_id))


def _decoded(row: sa.RowMapping) -> dict[str, Any]:
    return {name: msgspec.json.decode(row[name], type=kind) for name, kind in _LISTS.items()}
