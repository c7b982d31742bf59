"""When to try a camera again.

Rules: waits are drawn at random between a floor and a ceiling, so that cameras that lost power together do
not come back in step (fault F18); the ceiling grows with the outage, so that a camera that was away shortly
is back shortly; refused credentials are tried twice and then left alone, because cameras lock accounts for
half an hour (fault F11).
"""

from __future__ import annotations

#: A camera that was away for ten seconds waits five more at most.
OUTAGE_SHARE = 0.5
#: A connection that lasted this long was a good one.
STABLE_S = 10.0
#: What Hikvision's account lock allows with room to spare.
REFUSALS = 2
#: As long as the longest account lock known.
REFUSED_WAIT_S = 1800.0


class Backoff:
    """The retry state of one camera. A change of its configuration starts with a new one."""

    def __init__(self, min_s: float, max_s: float) -> None:
        self._min_s = min_s
        self._max_s = max(min_s, max_s)
        #: Connections in a row that failed or did not hold.
        self.failures = 0
        self._refusals = 0
        self._failing_since = 0.0

    def failed(self, *, now: float, lived_s: float, refused: bool, random: float) -> float:
        """Takes in the end of a connection.

        Args:
            now: monotonic seconds.
            lived_s: how long it delivered pictures, in seconds; 0 when it never did.
            refused: the camera refused the credentials.
            random: a number in [0, 1).

        Returns:
            Seconds to wait before the next attempt.
        """
        if lived_s > 0:
            self._refusals = 0
        if lived_s >= STABLE_S:
            self.failures = 0
        if not self.failures:
            self._failing_since = now
        self.failures += 1
        if refused:
            self._refusals += 1
            if self._refusals >= REFUSALS:
                self._refusals = 0
                return REFUSED_WAIT_S
        ceiling_s = max(2 * self._min_s, (now - self._failing_since) * OUTAGE_SHARE)
        return self._min_s + random * (min(ceiling_s, self._max_s) - self._min_s)
