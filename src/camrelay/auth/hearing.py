"""How long nothing was heard of what other relays withdraw, and what that means. No clock: times come in."""

from __future__ import annotations

import enum

from camrelay.config import Auth


class Hearing(enum.Enum):
    """From knowing to not knowing for too long."""

    FED = enum.auto()
    #: Nobody begins to watch what is not public.
    LOST = enum.auto()
    #: Nor does anybody go on.
    ENDED = enum.auto()


def hearing(options: Auth, heard_at: float, now: float) -> Hearing:
    """What it means at `now` that the last news came at `heard_at`; monotonic seconds."""
    silent_s = now - heard_at
    if silent_s <= options.lost_feed_refuse_s:
        return Hearing.FED
    if 0 < options.lost_feed_end_s < silent_s:
        return Hearing.ENDED
    return Hearing.LOST
