"""How long somebody who keeps failing has to wait: nothing at first, then twice as long each time.

The wait grows and never becomes a lock, and it hangs on where the failures come from as well as on the
account they aim at: a stranger cannot shut out the owner for long. What is not tried again is forgotten.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec


class _Failures(msgspec.Struct):
    count: int
    at: float


class Patience:
    """Failures by key.

    Args:
        free: so many failures cost nothing: people mistype.
        longest_s: the wait stops growing there; after twice as long without a failure all is forgotten.
        limit: keys that are remembered; beyond it the oldest is forgotten.
    """

    def __init__(self, *, free: int, longest_s: float, limit: int = 10_000) -> None:
        self._free = free
        self._longest_s = longest_s
        self._limit = limit
        self._failures: dict[Hashable, _Failures] = {}

    def wait_s(self, key: Hashable, now: float) -> float:
        """Seconds until the next attempt may be made, 0 when it may."""
        failures = self._failures.get(key)
        if failures is None:
            return 0.0
        return max(0.0, failures.at + self._pause_s(failures.count) - now)

    def fail(self, key: Hashable, now: float) -> None:
        """Counts a failure."""
        failures = self._failures.pop(key, None)
        if failures is None or now - failures.at > 2 * self._longest_s:
            failures = _Failures(0, now)
        failures.count, failures.at = failures.count + 1, now
        # Put in anew, so that the first key is the one that failed longest ago.
        self._failures[key] = failures
        if len(self._failures) > self._limit:
            del self._failures[next(iter(self._failures))]

    def forgive(self, key: Hashable) -> None:
        """Forgets the failures of somebody who has shown who they are."""
        self._failures.pop(key, None)

    def _pause_s(self, count: int) -> float:
        over = count - self._free
        # 2^60 s is beyond any limit; larger exponents only make large numbers.
        return 0.0 if over < 0 else min(self._longest_s, 2.0 ** min(over, 60))
