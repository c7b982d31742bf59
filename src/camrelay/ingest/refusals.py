"""How often cameras refused an account, and until when it is left alone (camera fault F11).

An account is somebody's name and password at one address, whichever protocol shows them: cameras count wrong
passwords over RTSP and ONVIF alike, and lock the account. Two refusals, and nobody shows it there again for
half an hour. Times are UTC microseconds, because the count outlives the process.
"""

from __future__ import annotations

from collections.abc import Mapping

from camrelay.model import Refusal

#: What Hikvision's account lock allows with room to spare.
LIMIT = 2
#: As long as the longest account lock known.
HOLD_US = 1_800_000_000


class Refusals:
    """What is remembered of every account that was refused in the last half hour."""

    def __init__(self, known: Mapping[str, Refusal] | None = None) -> None:
        self._known = dict(known or {})

    def held_until_us(self, account: str, now_us: int) -> int | None:
        """Until when an account must not be shown, None when it may be."""
        known = self._recent(account, now_us)
        return known.last_us + HOLD_US if known is not None and known.count >= LIMIT else None

    def left(self, account: str, now_us: int) -> int:
        """How many more refusals an account can have before it is left alone."""
        known = self._recent(account, now_us)
        return LIMIT - (known.count if known is not None else 0)

    def refused(self, account: str, now_us: int) -> Refusal:
        """Counts a refusal; returns what is to be remembered of it."""
        known = self._recent(account, now_us)
        # What is too old to count is in nobody's way: forgotten here, so that it does not pile up.
        self._known = {name: old for name, old in self._known.items() if self._recent(name, now_us)}
        self._known[account] = Refusal((known.count if known is not None else 0) + 1, now_us)
        return self._known[account]

    def accepted(self, account: str) -> bool:
        """Forgets the refusals of an account that works; whether there were any."""
        return self._known.pop(account, None) is not None

    def _recent(self, account: str, now_us: int) -> Refusal | None:
        known = self._known.get(account)
        # A refusal in the future means that the clock was set back: it would hold for as long as that.
        return known if known is not None and now_us - HOLD_US < known.last_us <= now_us else None
