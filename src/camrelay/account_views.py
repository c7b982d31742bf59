"""What accounts look like on the wire: bodies, answers, and the way from what is kept to them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from camrelay.auth.account import Account, Role, SignedIn, WebSession

#: Longer than any name, address or password; what is too long for its kind is refused in words.
Text = Annotated[str, Meta(max_length=1024)]

#: What letters are written in.
Language = Literal["en", "ru"]


class LoginRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/login; `code` is that of the authenticator app, where the account has one.

    `keep` leaves the browser signed in when it is closed.
    """

    email: Text
    password: Text
    code: Text = ""
    keep: bool = False


class RegisterRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/accounts."""

    email: Text
    name: Text
    password: Text
    invitation: Text = ""


class ConfirmRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/me/confirm."""

    password: Text
    code: Text = ""


class MeChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PATCH /v1/me; the address wants the password to have been given lately."""

    name: Text | UnsetType = UNSET
    email: Text | UnsetType = UNSET


class PasswordRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/me/password."""

    password: Text


class TotpRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /v1/me/totp: the secret that POST gave, and a code that an app has made of it."""

    secret: Annotated[str, Meta(pattern=r"^[A-Z2-7]{32}\Z")]
    code: Text


class TotpView(msgspec.Struct, frozen=True):
    """A secret for an authenticator app; nothing is kept until a code of it comes back."""

    secret: str
    uri: str


class AccountView(msgspec.Struct, frozen=True):
    """An account. Times are microseconds of UTC."""

    id: str
    tenant: str
    role: Role
    tier: str
    name: str
    email: str
    is_active: bool
    created_us: int


class MeView(msgspec.Struct, frozen=True):
    """Whoever is signed in."""

    account: AccountView
    has_totp: bool
    session: str
    expires_us: int


class WebSessionView(msgspec.Struct, frozen=True):
    """A signed-in browser, as its owner sees it."""

    id: str
    is_this: bool
    created_us: int
    used_us: int
    agent: str
    network: str


class WebSessionList(msgspec.Struct, frozen=True):
    """Web sessions, newest first."""

    sessions: list[WebSessionView]


def account_view(account: Account) -> AccountView:
    """An account as the API shows it."""
    return AccountView(**msgspec.structs.asdict(account))


def session_view(session: WebSession, person: SignedIn) -> WebSessionView:
    """A session as the API shows it to somebody who is signed in by this one or another."""
    return WebSessionView(
        id=session.id,
        is_this=session.id == person.session.id,
        created_us=session.created_us,
        used_us=session.used_us,
        agent=session.agent,
        network=session.network,
    )
