"""`/v1/admin`: the accounts and tiers of a tenant, for its operators; its staff may look.

A grant to manage every camera, as the command line makes one, reaches every tenant; an account its own alone,
and the others' accounts are not there for it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from camrelay.account_store import AccountStore
from camrelay.account_views import AccountView, Language, Text, account_view
from camrelay.accounts import invitation_digest
from camrelay.auth.account import (
    FIRST_TENANT,
    Account,
    Invitation,
    Role,
    Tier,
    check_password,
    normalise_email,
    normalise_name,
    normalise_password,
)
from camrelay.auth.common_password import COMMON_PASSWORDS
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.password import Passwords
from camrelay.auth.websession import WebSessions, signed_in
from camrelay.errors import AccessDenied, BadRequest, NotFound
from camrelay.server import Route, body, json_response

TenantName = Annotated[str, Meta(pattern=r"^([a-z0-9][a-z0-9_-]{0,63})?\Z")]


class NewAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/admin/accounts; without a password one is made up and shown this once."""

    email: Text
    name: Text
    role: Role = Role.VIEWER
    tier: Text = ""
    password: Text = ""
    #: "" is the asker's own; an account cannot name another.
    tenant: TenantName = ""


class NewAccountView(msgspec.Struct, frozen=True):
    """A new account, or one with a new password; `password` is None when the asker knows it."""

    account: AccountView
    password: str | None


class AccountChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PATCH /v1/admin/accounts/{id}."""

    name: Text | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    tier: Text | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class NewInvitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/admin/invitations."""

    role: Role = Role.VIEWER
    tier: Text = ""
    days: Annotated[int, Meta(ge=1, le=30)] = 7
    #: Whom it is written to; "": the asker passes the page on.
    email: Text = ""
    language: Language = "en"
    tenant: TenantName = ""


class InvitationView(msgspec.Struct, frozen=True):
    """An invitation: its `page` makes one account, before `expires_at` (seconds of UTC).

    `page` is "" when it stands in a letter.
    """

    page: str
    expires_at: int


class AccountList(msgspec.Struct, frozen=True):
    """Accounts, oldest first."""

    accounts: list[AccountView]


class TierList(msgspec.Struct, frozen=True):
    """Tiers, by name."""

    tiers: list[Tier]


class TierLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /v1/admin/tiers/{name}."""

    max_cameras: Annotated[int, Meta(ge=0, le=100_000)]
    max_viewers: Annotated[int, Meta(ge=0, le=1_000_000)]


class Administration:
    """The handlers.

    Args:
        check_manager: raises when a request may not do what concerns every tenant.
        revoke: ends what hangs on a handle.
        erase: forgets somebody with all they have here, and by whom, "" when by themselves.
        write_to: writes to an address, in a language, that an invitation is there.
        utc_us: the clock, microseconds of UTC.
    """

    def __init__(
        self,
        store: AccountStore,
        passwords: Passwords,
        sessions: WebSessions,
        *,
        check_manager: Callable[[web.Request], None],
        revoke: Callable[[Handle], Awaitable[object]],
        erase: Callable[[str, str], Awaitable[object]],
        write_to: Callable[[web.Request, str, str, Invitation], Awaitable[None]],
        utc_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._sessions = sessions
        self._check_manager = check_manager
        self._revoke = revoke
        self._erase = erase
        self._write_to = write_to
        self._utc_us = utc_us

    def routes(self) -> list[Route]:
        """The route table."""
        account = "/v1/admin/accounts/{account:[0-9a-f]+}"
        return [
            Route("GET", "/v1/admin/accounts", self.list_accounts, gives=AccountList, query=("tenant",)),
            Route("POST", "/v1/admin/accounts", self.add_account, NewAccount, NewAccountView, 201),
            Route("PATCH", account, self.change_account, AccountChanges, AccountView),
            Route("DELETE", account, self.remove_account, status=204),
            Route("POST", f"{account}/password", self.reset_password, gives=NewAccountView),
            Route("POST", "/v1/admin/invitations", self.invite, NewInvitation, InvitationView, 201),
            Route("GET", "/v1/admin/tiers", self.list_tiers, gives=TierList, query=("tenant",)),
            Route(
                "PUT",
                "/v1/admin/tiers/{tier:[a-z0-9_-]+}",
                self.set_tier,
                TierLimits,
                Tier,
                query=("tenant",),
            ),
            Route(
                "DELETE",
                "/v1/admin/tiers/{tier:[a-z0-9_-]+}",
                self.remove_tier,
                status=204,
                query=("tenant",),
            ),
        ]

    async def list_accounts(self, request: web.Request) -> web.Response:
        """Every account of the tenant, or of all with a grant; oldest first."""
        tenant = self._tenant(request, or_staff=True)
        accounts = await self._store.accounts(request.query.get("tenant") if tenant is None else tenant)
        return json_response(AccountList([account_view(each) for each in accounts]))

    async def add_account(self, request: web.Request) -> web.Response:
        """Makes an account."""
        tenant, wanted = self._tenant(request), await body(request, NewAccount)
        if tenant is not None and wanted.tenant not in ("", tenant):
            raise BadRequest("an operator makes accounts in their own tenant")
        password = normalise_password(wanted.password) or secrets.token_urlsafe(15)
        account = Account(
            id=secrets.token_hex(8),
            tenant=wanted.tenant or tenant or FIRST_TENANT,
            role=wanted.role,
            tier=wanted.tier,
            name=normalise_name(wanted.name),
            email=normalise_email(wanted.email),
            is_active=True,
            created_us=self._utc_us(),
        )
        check_password(password, account.email, has_totp=False, common=COMMON_PASSWORDS)
        await self._store.add(account, await self._passwords.hash(password))
        view = NewAccountView(account_view(account), None if wanted.password else password)
        return json_response(view, status=201)

    async def change_account(self, request: web.Request) -> web.Response:
        """Changes what the body names; a lesser right ends what was begun by the greater one."""
        before = await self._account(request)
        wanted = await body(request, AccountChanges)
        fields = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not UNSET}
        if "name" in fields:
            fields["name"] = normalise_name(fields["name"])
        account = msgspec.structs.replace(before, **fields)
        person = signed_in(request)
        if person is not None and person.account.id == account.id and account.role is not before.role:
            raise BadRequest("somebody else has to change your role")
        await self._store.change(account)
        if (account.role, account.is_active) != (before.role, before.is_active):
            await self._end(account)
        return json_response(account_view(account))

    async def remove_account(self, request: web.Request) -> web.Response:
        """Forgets an account, its cameras and sessions, what was given to it, and whom its records are of."""
        account, person = await self._account(request), signed_in(request)
        by = person.account.id if person is not None and person.account.id != account.id else ""
        await self._erase(account.id, by)
        return web.Response(status=204)

    async def reset_password(self, request: web.Request) -> web.Response:
        """Gives an account a password made up here, takes its second factor away, and ends its sessions."""
        account = await self._account(request)
        password = secrets.token_urlsafe(15)
        await self._store.set_password(account.id, await self._passwords.hash(password))
        await self._store.set_totp(account.id, None)
        await self._end(account)
        return json_response(NewAccountView(account_view(account), password))

    async def invite(self, request: web.Request) -> web.Response:
        """Lets whoever gets the answer's page make one account for themselves."""
        tenant, wanted = self._tenant(request), await body(request, NewInvitation)
        if tenant is not None and wanted.tenant not in ("", tenant):
            raise BadRequest("an operator invites to their own tenant")
        expires_us = self._utc_us() + wanted.days * 86_400 * 1_000_000
        invitation = Invitation(wanted.tenant or tenant or FIRST_TENANT, wanted.role, wanted.tier, expires_us)
        page = ""
        if wanted.email:
            await self._write_to(request, wanted.email, wanted.language, invitation)
        else:
            code = secrets.token_urlsafe(16)
            await self._store.add_invitation(invitation, invitation_digest(code))
            page = f"/register#invitation={code}"
        view = InvitationView(page, expires_us // 1_000_000)
        return json_response(view, status=201)

    async def list_tiers(self, request: web.Request) -> web.Response:
        """Every tier of the tenant."""
        tenant = self._tenant(request, or_staff=True)
        return json_response(TierList(await self._store.tiers(tenant or _asked_tenant(request))))

    async def set_tier(self, request: web.Request) -> web.Response:
        """Adds a tier, or changes it for everybody who has it."""
        tenant, limits = self._tenant(request), await body(request, TierLimits)
        tier = Tier(
            tenant=tenant or _asked_tenant(request),
            name=request.match_info["tier"],
            max_cameras=limits.max_cameras,
            max_viewers=limits.max_viewers,
        )
        await self._store.set_tier(tier)
        return json_response(tier)

    async def remove_tier(self, request: web.Request) -> web.Response:
        """Removes a tier that nobody has."""
        tenant = self._tenant(request)
        await self._store.remove_tier(tenant or _asked_tenant(request), request.match_info["tier"])
        return web.Response(status=204)

    def _tenant(self, request: web.Request, *, or_staff: bool = False) -> str | None:
        """The tenant that the asker may administer, None for every one; AccessDenied when there is none.

        Args:
            or_staff: whether staff may do this too.
        """
        person = signed_in(request)
        if person is None:
            self._check_manager(request)
            return None
        if person.account.role is not Role.OPERATOR and not (or_staff and person.account.role is Role.STAFF):
            raise AccessDenied("action_not_granted")
        return person.account.tenant

    async def _account(self, request: web.Request) -> Account:
        tenant = self._tenant(request)
        account = await self._store.account(request.match_info["account"])
        if account is None or tenant not in (None, account.tenant):
            raise NotFound("no such account")
        return account

    async def _end(self, account: Account) -> None:
        await self._revoke(Handle(HandleKind.ACCOUNT, account.id))
        await self._sessions.end(account.id)


def _asked_tenant(request: web.Request) -> str:
    return request.query.get("tenant", FIRST_TENANT)
