"""Whom an owner has sent away: they keep their right, and cannot use it for a while.

Ending a viewing alone would do nothing: a player that is cut begins again.
"""

from __future__ import annotations

#: Long enough to take the right itself away, short enough for a mistake.
AWAY_S = 600.0
#: Beyond it the one who was sent away first may come back.
LIMIT = 10_000


class SentAway:
    """Cameras and subjects that do not go together at the moment; times are monotonic seconds."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}

    def add(self, camera: str, subject: str, now: float) -> None:
        """Keeps somebody from a camera for AWAY_S; nobody in particular cannot be kept away."""
        if not subject:
            return
        self._until.pop((camera, subject), None)
        self._until[camera, subject] = now + AWAY_S
        if len(self._until) > LIMIT:
            del self._until[next(iter(self._until))]

    def is_away(self, camera: str, subject: str, now: float) -> bool:
        """Whether somebody is kept from a camera."""
        return now < self._until.get((camera, subject), now)
