"""What a camera's access units and states look like from behind the source."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from camrelay.model import AccessUnit, AudioUnit, CameraState, CameraStatus

#: Longer than anything here takes on a busy machine.
PATIENCE_S = 30.0


class Recorder:
    """Keeps what is published and reported, and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.units: list[AccessUnit] = []
        self.sounds: list[AudioUnit] = []
        self.statuses: list[CameraStatus] = []
        self._waiting: list[tuple[Callable[[], bool], asyncio.Event]] = []

    def publish(self, unit: AccessUnit) -> None:
        self.units.append(unit)
        self._wake()

    def publish_sound(self, unit: AudioUnit) -> None:
        self.sounds.append(unit)
        self._wake()

    def report(self, status: CameraStatus) -> None:
        self.statuses.append(status)
        self._wake()

    @property
    def states(self) -> list[CameraState]:
        return [status.state for status in self.statuses]

    @property
    def reasons(self) -> list[str]:
        """Why it went offline, each time."""
        return [status.reason for status in self.statuses if status.state is CameraState.OFFLINE]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns when the condition holds, looked at after each unit and each status."""
        event = asyncio.Event()
        self._waiting.append((condition, event))
        self._wake()
        await asyncio.wait_for(event.wait(), PATIENCE_S)

    async def until_state(self, state: CameraState, reason: str | None = None) -> None:
        """Returns when the newest status is this one."""
        await self.until(
            lambda: (
                bool(self.statuses)
                and self.statuses[-1].state is state
                and reason in (None, self.statuses[-1].reason)
            )
        )

    async def more_units(self, count: int = 1) -> None:
        """Returns when that many units more have come."""
        wanted = len(self.units) + count
        await self.until(lambda: len(self.units) >= wanted)

    def _wake(self) -> None:
        for condition, event in self._waiting:
            if condition():
                event.set()
        self._waiting = [waiting for waiting in self._waiting if not waiting[1].is_set()]
