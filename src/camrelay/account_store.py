"""The accounts: people, what they sign in with, their web sessions, their tenants and tiers.

An e-mail address is kept sealed and found by a keyed hash, a password as an Argon2 hash, a session by its
cookie's hash: a stolen database lets nobody sign in, and names nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from camrelay.auth.account import Account, Credentials, Invitation, Role, Tier, WebSession
from camrelay.database import SCHEMA, Database
from camrelay.errors import BadRequest, NameTaken
from camrelay.sealing import Seal

#: A controller of its own: the operator, or one of their customers. Nothing is shared between two of them.
TENANTS = sa.Table(
    "tenants",
    SCHEMA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("created_us", sa.BigInteger, nullable=False),
)

TIERS = sa.Table(
    "tiers",
    SCHEMA,
    sa.Column("tenant", sa.String(64), sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("max_cameras", sa.Integer, nullable=False),
    sa.Column("max_viewers", sa.Integer, nullable=False),
)

#: Whatever belongs to an account refers to its id. Rows that only make sense with it go away with it.
ACCOUNTS = sa.Table(
    "accounts",
    SCHEMA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("tenant", sa.String(64), sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("tier", sa.String(64)),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("email_index", sa.String(64), nullable=False, unique=True),
    sa.Column("sealed_email", sa.LargeBinary, nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["tenant", "tier"], ["tiers.tenant", "tiers.name"]),
)

CREDENTIALS = sa.Table(
    "credentials",
    SCHEMA,
    sa.Column("account", sa.String(32), sa.ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("password_hash", sa.Text, nullable=False),
    #: Null while the account has no second factor.
    sa.Column("sealed_totp", sa.LargeBinary),
    #: The step of the last code that was used; no code works twice (RFC 6238 §5.2).
    sa.Column("totp_step", sa.BigInteger, nullable=False),
)

WEB_SESSIONS = sa.Table(
    "web_sessions",
    SCHEMA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
    sa.Column(
        "account", sa.String(32), sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("used_us", sa.BigInteger, nullable=False),
    sa.Column("confirmed_us", sa.BigInteger, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("network", sa.Text, nullable=False),
    sa.Column("is_kept", sa.Boolean, nullable=False, server_default=sa.false()),
)

#: The right to make one account, for whoever has the code that is hashed here.
INVITATIONS = sa.Table(
    "invitations",
    SCHEMA,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("tenant", sa.String(64), sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("tier", sa.String(64)),
    sa.Column("expires_us", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["tenant", "tier"], ["tiers.tenant", "tiers.name"]),
)

_TAKEN = "this address has an account already"


class AccountStore:
    """The tables of accounts.

    Args:
        seal: closes and opens what names people, and makes the keyed hashes they are found by.
    """

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal

    # Accounts.

    async def add(self, account: Account, password_hash: str) -> None:
        """Stores a new account; its tenant begins with its first account.

        Raises:
            NameTaken: its address has one.
            BadRequest: there is no such tier.
        """
        await self._begin_tenant(account)
        try:
            await self._database.change(
                sa.insert(ACCOUNTS).values(
                    id=account.id, created_us=account.created_us, **self._values(account)
                ),
                sa.insert(CREDENTIALS).values(account=account.id, password_hash=password_hash, totp_step=0),
            )
        except IntegrityError:
            raise await self._refusal(account) from None

    async def change(self, account: Account) -> None:
        """Replaces what is stored of an account.

        Raises:
            NotFound: there is no such account.
            NameTaken: its new address has one.
            BadRequest: there is no such tier.
        """
        change = sa.update(ACCOUNTS).where(ACCOUNTS.c.id == account.id).values(**self._values(account))
        try:
            await self._database.change_one(change)
        except IntegrityError:
            raise await self._refusal(account) from None

    async def remove(self, account_id: str) -> None:
        """Forgets an account, what it signed in with and its sessions.

        Raises:
            NotFound: there is no such account.
            BadRequest: cameras are still its own.
        """
        try:
            await self._database.change_one(sa.delete(ACCOUNTS).where(ACCOUNTS.c.id == account_id))
        except IntegrityError:
            raise BadRequest("the account still has cameras") from None

    async def account(self, account_id: str) -> Account | None:
        """The account of an id."""
        return self._only(await self._accounts(ACCOUNTS.c.id == account_id))

    async def name(self, account_id: str) -> str:
        """What others call somebody, "" when there is no such account."""
        account = await self.account(account_id)
        return "" if account is None else account.name

    async def by_email(self, email: str) -> Account | None:
        """The account of a normalised address."""
        return self._only(await self._accounts(ACCOUNTS.c.email_index == self._index(email)))

    async def accounts(self, tenant: str | None = None) -> list[Account]:
        """Every account of a tenant, or of all, oldest first."""
        return await self._accounts(sa.true() if tenant is None else ACCOUNTS.c.tenant == tenant)

    # What they sign in with.

    async def credentials(self, account_id: str) -> Credentials | None:
        """What an account signs in with, None when there is no such account."""
        rows = await self._database.fetch(sa.select(CREDENTIALS).where(CREDENTIALS.c.account == account_id))
        if not rows:
            return None
        sealed = rows[0]["sealed_totp"]
        totp = None if sealed is None else self._seal.open(sealed, _totp_of(account_id))
        return Credentials(rows[0]["password_hash"], totp)

    async def set_password(self, account_id: str, password_hash: str) -> None:
        """Replaces the password."""
        await self._set(account_id, password_hash=password_hash)

    async def set_totp(self, account_id: str, secret: str | None) -> None:
        """Sets the secret of the second factor, or takes it away."""
        sealed = None if secret is None else self._seal.close(secret, _totp_of(account_id))
        await self._set(account_id, sealed_totp=sealed)

    async def use_totp(self, account_id: str, step: int) -> bool:
        """Uses the code of a step up; False when it, or a later one, was used before."""
        rows = (CREDENTIALS.c.account == account_id) & (CREDENTIALS.c.totp_step < step)
        return bool(await self._database.change(sa.update(CREDENTIALS).where(rows).values(totp_step=step)))

    # Web sessions.

    async def add_session(self, session: WebSession, digest: bytes) -> None:
        """Stores a new session under the hash of its cookie."""
        values = msgspec.structs.asdict(session)
        await self._database.change(sa.insert(WEB_SESSIONS).values(digest=digest, **values))

    async def find_session(self, digest: bytes) -> tuple[Account, WebSession] | None:
        """The session of a cookie, with whose it is; whether it still holds is the asker's to see."""
        query = (
            sa.select(ACCOUNTS, *(column.label(f"session_{column.name}") for column in WEB_SESSIONS.c))
            .join(WEB_SESSIONS, WEB_SESSIONS.c.account == ACCOUNTS.c.id)
            .where(WEB_SESSIONS.c.digest == digest)
        )
        rows = await self._database.fetch(query)
        return (self._account(rows[0]), _session(rows[0], "session_")) if rows else None

    async def sessions(self, account_id: str) -> list[WebSession]:
        """Every session of an account, newest first."""
        query = sa.select(WEB_SESSIONS).where(WEB_SESSIONS.c.account == account_id)
        rows = await self._database.fetch(query.order_by(WEB_SESSIONS.c.created_us.desc()))
        return [_session(row) for row in rows]

    async def use_session(self, session_id: str, now_us: int) -> None:
        """Notes that a session was used."""
        rows = WEB_SESSIONS.c.id == session_id
        await self._database.change(sa.update(WEB_SESSIONS).where(rows).values(used_us=now_us))

    async def rotate_session(self, session_id: str, digest: bytes, now_us: int) -> None:
        """Gives a session whose owner has just confirmed who they are another cookie."""
        values = {"digest": digest, "used_us": now_us, "confirmed_us": now_us}
        await self._database.change_one(
            sa.update(WEB_SESSIONS).where(WEB_SESSIONS.c.id == session_id).values(**values)
        )

    async def end_sessions(self, *, account: str, only: str = "", but: str = "") -> list[str]:
        """Ends the sessions of an account, `only` one, or all `but` one; the ids of those that ended."""
        rows = WEB_SESSIONS.c.account == account
        if only:
            rows &= WEB_SESSIONS.c.id == only
        return await self._end(rows & (WEB_SESSIONS.c.id != but))

    async def end_unused(self, created_until_us: int, used_until_us: int, *, kept: bool) -> list[str]:
        """Ends every session, of the kept ones or the others, that began, or was last used, at a moment or
        before; their ids.
        """
        too_old = WEB_SESSIONS.c.created_us <= created_until_us
        is_over = too_old | (WEB_SESSIONS.c.used_us <= used_until_us)
        return await self._end(is_over & (WEB_SESSIONS.c.is_kept.is_(kept)))

    # Invitations.

    async def add_invitation(self, invitation: Invitation, digest: bytes) -> None:
        """Stores an invitation under the hash of its code.

        Raises:
            BadRequest: there is no such tenant or tier.
        """
        values = msgspec.structs.asdict(invitation) | {"tier": invitation.tier or None}
        try:
            await self._database.change(sa.insert(INVITATIONS).values(digest=digest, **values))
        except IntegrityError:
            raise BadRequest("no such tier") from None

    async def take_invitation(self, digest: bytes, now_us: int) -> Invitation | None:
        """Uses an invitation up; None when there is none, its time is over, or somebody else was first."""
        row = INVITATIONS.c.digest == digest
        found = await self._database.fetch(sa.select(INVITATIONS).where(row))
        # Of all who saw it, one removes it.
        if not found or not await self._database.change(sa.delete(INVITATIONS).where(row)):
            return None
        values = found[0]
        if values["expires_us"] <= now_us:
            return None
        role, tier = Role(values["role"]), values["tier"] or ""
        return Invitation(values["tenant"], role, tier, values["expires_us"])

    async def drop_invitations(self, until_us: int) -> None:
        """Forgets the invitations whose time was over at a moment."""
        await self._database.change(sa.delete(INVITATIONS).where(INVITATIONS.c.expires_us <= until_us))

    # Tiers.

    async def tiers(self, tenant: str) -> list[Tier]:
        """The tiers of a tenant, by name."""
        query = sa.select(TIERS).where(TIERS.c.tenant == tenant).order_by(TIERS.c.name)
        return [Tier(**row) for row in await self._database.fetch(query)]

    async def tier_of(self, account_id: str) -> Tier | None:
        """The limits of an account, None when it has none."""
        is_its_own = (TIERS.c.tenant == ACCOUNTS.c.tenant) & (TIERS.c.name == ACCOUNTS.c.tier)
        query = sa.select(TIERS).join(ACCOUNTS, is_its_own).where(ACCOUNTS.c.id == account_id)
        rows = await self._database.fetch(query)
        return Tier(**rows[0]) if rows else None

    async def set_tier(self, tier: Tier) -> None:
        """Adds a tier, or replaces the one of its name."""
        same = (TIERS.c.tenant == tier.tenant) & (TIERS.c.name == tier.name)

        async def act(connection: AsyncConnection) -> None:
            values = msgspec.structs.asdict(tier)
            if not (await connection.execute(sa.update(TIERS).where(same).values(**values))).rowcount:
                await connection.execute(sa.insert(TIERS).values(**values))

        await self._database.transact(act)

    async def remove_tier(self, tenant: str, name: str) -> None:
        """Removes a tier.

        Raises:
            NotFound: there is none of this name.
            BadRequest: accounts have it.
        """
        same = (TIERS.c.tenant == tenant) & (TIERS.c.name == name)
        try:
            await self._database.change_one(sa.delete(TIERS).where(same))
        except IntegrityError:
            raise BadRequest("accounts still have this tier") from None

    async def _accounts(self, rows: sa.ColumnElement[bool]) -> list[Account]:
        query = sa.select(ACCOUNTS).where(rows).order_by(ACCOUNTS.c.created_us, ACCOUNTS.c.id)
        return [self._account(row) for row in await self._database.fetch(query)]

    def _only(self, accounts: Sequence[Account]) -> Account | None:
        return accounts[0] if accounts else None

    def _account(self, row: sa.RowMapping) -> Account:
        return Account(
            id=row["id"],
            tenant=row["tenant"],
            role=Role(row["role"]),
            tier=row["tier"] or "",
            name=row["name"],
            email=self._seal.open(row["sealed_email"], _email_of(row["id"])),
            is_active=row["is_active"],
            created_us=row["created_us"],
        )

    def _values(self, account: Account) -> dict[str, Any]:
        return {
            "tenant": account.tenant,
            "role": account.role.value,
            "tier": account.tier or None,
            "name": account.name,
            "email_index": self._index(account.email),
            "sealed_email": self._seal.close(account.email, _email_of(account.id)),
            "is_active": account.is_active,
        }

    def _index(self, email: str) -> str:
        return self._seal.mark(f"account/email/{email}")

    async def _begin_tenant(self, account: Account) -> None:
        if await self._database.fetch(sa.select(TENANTS.c.id).where(TENANTS.c.id == account.tenant)):
            return
        tenant = sa.insert(TENANTS).values(id=account.tenant, created_us=account.created_us)
        try:
            await self._database.change(tenant)
        except IntegrityError:
            return  # somebody else has just begun it

    async def _refusal(self, account: Account) -> NameTaken | BadRequest:
        found = await self.by_email(account.email)
        is_taken = found is not None and found.id != account.id
        return NameTaken(_TAKEN) if is_taken else BadRequest("no such tier")

    async def _set(self, account_id: str, **values: object) -> None:
        rows = CREDENTIALS.c.account == account_id
        await self._database.change_one(sa.update(CREDENTIALS).where(rows).values(**values))

    async def _end(self, rows: sa.ColumnElement[bool]) -> list[str]:
        found = [row["id"] for row in await self._database.fetch(sa.select(WEB_SESSIONS.c.id).where(rows))]
        if found:
            await self._database.change(sa.delete(WEB_SESSIONS).where(WEB_SESSIONS.c.id.in_(found)))
        return found


def _session(row: sa.RowMapping, prefix: str = "") -> WebSession:
    return WebSession(**{name: row[prefix + name] for name in WebSession.__struct_fields__})


def _email_of(account_id: str) -> str:
    return f"account/{account_id}/email"


def _totp_of(account_id: str) -> str:
    return f"account/{account_id}/totp"
