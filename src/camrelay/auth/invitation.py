"""The tokens in invitations by e-mail: what each allows, and to whom it was written.

A token is a subject with a keyed mark of it and of the one thing it allows, so that nothing of it has to be
kept and none opens what another is for. Accepting and declining have an invitation's id as their subject;
they work once, because the invitation is gone then. Erasing has the keyed mark of the address: it works
whenever its owner likes, also when the invitation is long over, and a second time changes nothing.
"""

from __future__ import annotations

import enum
import hmac
from collections.abc import Callable

#: Makes the keyed hash of a text (sealing.Seal.mark): 64 hexadecimal digits.
Mark = Callable[[str], str]


class Purpose(enum.StrEnum):
    """What a token allows."""

    ACCEPT = "accept"
    DECLINE = "decline"
    ERASE = "erase"


def address_mark(mark: Mark, email: str) -> str:
    """By what a normalised address is recognized without being known."""
    return mark(f"invitation/address/{email}")


def sign(mark: Mark, purpose: Purpose, subject: str) -> str:
    """A token, of letters, digits and hyphens."""
    return f"{subject}-{mark(f'invitation/{purpose}/{subject}')}"


def subject_of(mark: Mark, purpose: Purpose, token: str) -> str | None:
    """The subject of a token for a purpose; None when it was not made here for that."""
    subject = token.partition("-")[0]
    is_ours = hmac.compare_digest(sign(mark, purpose, subject).encode(), token.encode(errors="replace"))
    return subject if is_ours else None
