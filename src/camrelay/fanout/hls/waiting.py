"""Who waits for what a camera has still to send: together for one thing, told together, forgotten when gone.

Pure: time is an argument, and who waits is a callable that takes the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

from camrelay.errors import CamrelayError, Overloaded

Answer = TypeVar("Answer")

#: Takes the answer, or the reason why there is none.
Waiter = Callable[[Answer | CamrelayError], None]


class Pending(Generic[Answer]):
    """One thing that the camera will bring, for any number of requests.

    Args:
        room: that of the camera.
        is_met: whether it is there.
        make: makes the answer then, once for all, or raises a CamrelayError.
        deadline: until when it is worth waiting, in seconds.
    """

    __slots__ = ("_make", "_room", "_waiters", "deadline", "is_met")

    def __init__(
        self,
        room: WaitingRoom[Answer],
        is_met: Callable[[], bool],
        make: Callable[[], Answer],
        deadline: float,
    ) -> None:
        self._room = room
        self._make = make
        self._waiters: dict[Waiter[Answer], None] = {}
        self.is_met = is_met
        self.deadline = deadline

    def join(self, waiter: Waiter[Answer]) -> None:
        """Lets `waiter` wait; it is told once, unless it leaves first.

        Raises:
            Overloaded: too many wait already.
        """
        self._room.enter(self)
        self._waiters[waiter] = None

    def leave(self, waiter: Waiter[Answer]) -> None:
        """Forgets `waiter`, if it waits."""
        if self._waiters.pop(waiter, waiter) is None:
            self._room.exit(self, is_last=not self._waiters)

    def answer(self) -> Answer | CamrelayError:
        """What the waiters are to be told now that it is there."""
        try:
            return self._make()
        except CamrelayError as error:
            return error

    def tell(self, answer: Answer | CamrelayError, most: int) -> bool:
        """Tells so many waiters; whether any are left."""
        for waiter in list(islice(self._waiters, most)):
            if waiter in self._waiters:  # nobody before it in the row made it leave
                self.leave(waiter)
                waiter(answer)
        return bool(self._waiters)


class WaitingRoom(Generic[Answer]):
    """All who wait for one camera.

    Args:
        limit: how many may.

    Attributes:
        count: how many do.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending: dict[Pending[Answer], None] = {}
        self.count = 0

    def enter(self, pending: Pending[Answer]) -> None:
        """One more waits.

        Raises:
            Overloaded: too many do already.
        """
        if self.count >= self._limit:
            raise Overloaded("too many requests wait for this camera")
        self._pending[pending] = None
        self.count += 1

    def exit(self, pending: Pending[Answer], *, is_last: bool) -> None:
        """One waits no more."""
        self.count -= 1
        if is_last:
            del self._pending[pending]

    def all(self) -> list[Pending[Answer]]:
        """Everything that somebody waits for."""
        return list(self._pending)

    def met(self) -> list[Pending[Answer]]:
        """What is there now."""
        return [pending for pending in self._pending if pending.is_met()]

    def overdue(self, now: float) -> list[Pending[Answer]]:
        """What did not come in time."""
        return [pending for pending in self._pending if pending.deadline <= now]
