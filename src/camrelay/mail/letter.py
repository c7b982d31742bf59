"""Letters: what somebody who is invited reads.

The text is one of ours, plain, and loads nothing from anywhere. What people wrote, a name and a title, goes
into the body only, with nothing left in it that a mail program would make a link of. Nothing in it depends on
whether the address has an account.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

import msgspec

#: Enough to recognize a name or a title by.
_QUOTED_MAX = 60
#: Signs that a name may have, and no address of a page can do without others than these.
_SIGNS = " -'_&()"

_DAY_US = 86_400 * 1_000_000

#: The first retry comes after a minute, each further one after twice as long, four hours at most.
_FIRST_RETRY_US = 60 * 1_000_000
_LONGEST_RETRY_US = 4 * 3600 * 1_000_000
#: What was not delivered for so long is not delivered any more (RFC 5321 §4.5.4.1 says 4 to 5 days; an
#: invitation holds for a week).
GIVE_UP_US = 2 * _DAY_US


class Letter(msgspec.Struct, frozen=True):
    """What is to be written, and to whom. `title` names the camera, "" when it is about an account."""

    email: str
    language: str
    inviter: str
    title: str
    ends_us: int


class Links(msgspec.Struct, frozen=True):
    """The addresses of the pages where somebody answers a letter."""

    accept: str
    decline: str
    erase: str


class Envelope(msgspec.Struct, frozen=True):
    """What stands on every letter from here: from whom, of which site."""

    sender: str
    site: str


def compose(
    letter: Letter, links: Links, envelope: Envelope, words: Mapping[str, str], *, id: str, now_us: int
) -> EmailMessage:
    """A letter as it is sent (RFC 5322), marked as written by a program (RFC 3834)."""
    message = EmailMessage()
    message["From"] = Address("camrelay", addr_spec=envelope.sender)
    message["To"] = Address(addr_spec=letter.email)
    message["Subject"] = words["subject_camera" if letter.title else "subject_account"]
    message["Date"] = format_datetime(datetime.fromtimestamp(now_us // 1_000_000, UTC))
    # One id for every attempt: a server that got the letter twice can tell.
    message["Message-ID"] = f"<{id}@{envelope.sender.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    body = words["camera" if letter.title else "account"].format(
        inviter=quoted(letter.inviter) or words["somebody"],
        title=quoted(letter.title),
        site=envelope.site,
        until=f"{datetime.fromtimestamp(letter.ends_us // 1_000_000, UTC):%Y-%m-%d %H:%M} UTC",
        accept=links.accept,
        decline=links.decline,
        erase=links.erase,
    )
    message.set_content(body)  # takes every Content- header away that is there before
    message["Content-Language"] = letter.language
    return message


def quoted(text: str) -> str:
    """What somebody wrote, as it may stand in a letter to somebody else: letters, digits and a few signs."""
    kept = "".join(each if each.isalnum() or each in _SIGNS else " " for each in text)
    return " ".join(kept.split())[:_QUOTED_MAX].rstrip()


def retry_us(tries: int, begun_us: int, now_us: int) -> int | None:
    """When to try again after `tries` failures of a letter that was begun at a moment; None: not any more."""
    wait_us = min(_FIRST_RETRY_US * 2 ** min(tries - 1, 16), _LONGEST_RETRY_US)
    return now_us + wait_us if now_us + wait_us < begun_us + GIVE_UP_US else None
