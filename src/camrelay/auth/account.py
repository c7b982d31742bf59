"""Accounts: who people are here, what their role lets them do, and until when a sign-in holds.

Names and addresses are brought into one form before they are compared or kept, so that two that look alike
are one (UTS #39, RFC 5895), and nobody can put an invisible letter into theirs.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Container

import msgspec

from camrelay.config import Camera
from camrelay.errors import BadRequest

#: NIST SP 800-63B-4 §3.1.1: a password that stands alone is at least so long, one with a second factor less.
PASSWORD_MIN = 15
PASSWORD_MIN_WITH_TOTP = 8
#: Long enough for any sentence; more would only keep the hash busy.
PASSWORD_MAX = 256

#: Whose the relay itself is; cameras and accounts belong to it unless they say otherwise.
FIRST_TENANT = "main"

NAME_MAX = 100
#: RFC 5321 §4.5.3.1.3.
EMAIL_MAX = 254

#: A session without a request for this long is over; however much it is used, it ends a working day after.
IDLE_US = 30 * 60 * 1_000_000
ABSOLUTE_US = 12 * 3600 * 1_000_000
#: The same of a browser that its owner wants to stay signed in (NIST SP 800-63B-4 §2.1.3: 30 days at most).
KEPT_IDLE_US = 7 * 86_400 * 1_000_000
KEPT_ABSOLUTE_US = 30 * 86_400 * 1_000_000
#: What changes who may sign in wants the password to have been given this recently.
CONFIRMED_US = 10 * 60 * 1_000_000

_LOCAL_PART = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

#: Control, format (invisible letters, direction overrides), surrogate, private and unassigned characters, and
#: separators of lines and paragraphs.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class Role(enum.StrEnum):
    """What somebody is to their tenant."""

    #: Runs it: sees every camera of the tenant, and manages its cameras, accounts and tiers.
    OPERATOR = "operator"
    #: Adds cameras, as many as their tier allows, and sees and manages those.
    OWNER = "owner"
    #: Watches what is shared with them.
    VIEWER = "viewer"
    #: Helps people: sees accounts, changes nothing, and watches only what is shared with them.
    STAFF = "staff"


class Tier(msgspec.Struct, frozen=True):
    """What an owner may have: cameras, and viewings of all of them at once."""

    tenant: str
    name: str
    max_cameras: int
    max_viewers: int


class Account(msgspec.Struct, frozen=True):
    """One person in one tenant. `email` is normalised; `tier` is "" without one, which means no limit."""

    id: str
    tenant: str
    role: Role
    tier: str
    name: str
    email: str
    is_active: bool
    created_us: int


class Invitation(msgspec.Struct, frozen=True):
    """The right to make one account, in a tenant and with a role, until a moment."""

    tenant: str
    role: Role
    tier: str
    expires_us: int


class Credentials(msgspec.Struct, frozen=True):
    """What somebody signs in with. `totp` is the Base32 secret of the second factor, None without one."""

    password_hash: str
    totp: str | None


class WebSession(msgspec.Struct, frozen=True):
    """A signed-in browser.

    `confirmed_us` is when the password was last given in it; `is_kept`: it stays signed in when it is closed.
    """

    id: str
    account: str
    created_us: int
    used_us: int
    confirmed_us: int
    agent: str
    network: str
    is_kept: bool = False

    @property
    def expires_us(self) -> int:
        """When it ends, however much it is used."""
        return self.created_us + (KEPT_ABSOLUTE_US if self.is_kept else ABSOLUTE_US)

    def is_alive(self, now_us: int) -> bool:
        """Whether it still holds."""
        idle_us = KEPT_IDLE_US if self.is_kept else IDLE_US
        return now_us < self.expires_us and now_us < self.used_us + idle_us

    def is_confirmed(self, now_us: int) -> bool:
        """Whether its owner has shown who they are recently enough to change what they sign in with."""
        return now_us < self.confirmed_us + CONFIRMED_US


class SignedIn(msgspec.Struct, frozen=True):
    """Who sends a request, and by which session."""

    account: Account
    session: WebSession


def owns(account: Account, camera: Camera) -> bool:
    """Whether a camera is for this account to manage: an operator's are those of the tenant."""
    if account.tenant != camera.tenant:
        return False
    return account.role is Role.OPERATOR or (account.role is Role.OWNER and account.id == camera.owner)


def runs_relay(account: Account) -> bool:
    """Whether an account may do what concerns every tenant: operators of the first one run the relay."""
    return account.role is Role.OPERATOR and account.tenant == FIRST_TENANT


def may_add(account: Account) -> bool:
    """Whether an account may have cameras at all."""
    return account.role in (Role.OPERATOR, Role.OWNER)


def normalise_email(text: str) -> str:
    """An address as it is compared and kept: compatibility forms folded, lower case, the domain in ASCII.

    Raises:
        BadRequest: it is none, or none that can be told apart safely.
    """
    fault = BadRequest("that is no e-mail address")
    local, at, domain = unicodedata.normalize("NFKC", text.strip()).casefold().rpartition("@")
    try:
        domain = domain.rstrip(".").encode("idna").decode()
    except UnicodeError:
        raise fault from None
    labels = domain.split(".")
    email = f"{local}@{domain}"
    if not at or len(email) > EMAIL_MAX or len(local) > 64 or not _LOCAL_PART.fullmatch(local):
        raise fault
    if len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)):
        raise fault
    return email


def normalise_name(text: str) -> str:
    """A name as it is kept: composed, one space between words, nothing invisible in it.

    Raises:
        BadRequest: it is empty, too long, or has characters that cannot be seen.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not 1 <= len(name) <= NAME_MAX:
        raise BadRequest(f"a name has 1 to {NAME_MAX} letters")
    if any(unicodedata.category(letter) in _INVISIBLE for letter in name):
        raise BadRequest("a name has no invisible characters")
    return name


def normalise_password(text: str) -> str:
    """A password as it is hashed: the same however a keyboard composes it (NIST SP 800-63B-4 §3.1.1.2)."""
    return unicodedata.normalize("NFKC", text)


def check_password(password: str, email: str, *, has_totp: bool, common: Container[str]) -> None:
    """Passes a normalised password that is good enough to be set; it may be made of anything.

    Args:
        common: passwords that many people have, in lower case (NIST SP 800-63B-4 §3.1.1.2).

    Raises:
        BadRequest: with the reason.
    """
    shortest = PASSWORD_MIN_WITH_TOTP if has_totp else PASSWORD_MIN
    if not shortest <= len(password) <= PASSWORD_MAX:
        raise BadRequest(f"a password has {shortest} to {PASSWORD_MAX} characters")
    # What is said over and over is as easy to guess as once.
    folded = password.casefold()
    unit = folded[: (folded + folded).find(folded, 1)]
    is_own = unit in (email, email.partition("@")[0])
    if len(set(password)) < 5 or is_own or unit in common:
        raise BadRequest("that password is too easy to guess")
