"""Which accounts cameras refused, by the marks that ingest/budget.py makes of them."""

from __future__ import annotations

import sqlalchemy as sa

from camrelay.database import SCHEMA, Database
from camrelay.model import Refusal

REFUSALS = sa.Table(
    "refusals",
    SCHEMA,
    sa.Column("account", sa.String(64), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("last_us", sa.BigInteger, nullable=False),
)


class RefusalStore:
    """The table of refusals."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def refusals(self) -> dict[str, Refusal]:
        """All that is kept."""
        rows = await self._database.fetch(sa.select(REFUSALS))
        return {row["account"]: Refusal(row["count"], row["last_us"]) for row in rows}

    async def keep_refusal(self, account: str, refusal: Refusal, *, forget_before_us: int) -> None:
        """Keeps one in place of what was known of the account, and forgets those from before a moment."""
        await self._database.change(
            sa.delete(REFUSALS).where(
                (REFUSALS.c.account == account) | (REFUSALS.c.last_us < forget_before_us)
            ),
            sa.insert(REFUSALS).values(account=account, count=refusal.count, last_us=refusal.last_us),
        )

    async def forget_refusal(self, account: str) -> None:
        """Forgets one."""
        await self._database.change(sa.delete(REFUSALS).where(REFUSALS.c.account == account))
