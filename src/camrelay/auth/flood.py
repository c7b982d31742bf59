"""Keeps a flood of denials from filling the access log: some get a line each, the rest are counted."""

from __future__ import annotations

from collections import Counter


class Flood:
    """A token bucket over denials; what does not fit is counted by reason (a closed list of short words).

    `burst` denials at once get a line of their own, then `per_second`.
    """

    def __init__(self, *, burst: int, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left = float(burst)
        self._at = 0.0
        self._held: Counter[str] = Counter()

    def admit(self, reason: str, now: float) -> bool:
        """Whether this denial gets a line of its own; otherwise it is counted."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            self._held[reason] += 1
            return False
        self._left -= 1
        return True

    def drain(self) -> dict[str, int]:
        """How many were counted since the last call, by reason."""
        held, self._held = dict(self._held), Counter()
        return held
