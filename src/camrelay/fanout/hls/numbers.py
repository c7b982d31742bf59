"""Where a camera's discontinuity sequence numbers go on after a restart: a small file of the highest ones.

rfc8216bis §4.4.3.3 forbids them to go back, and hls.js does not survive large ones, which rules out the clock
as a start. The file is written when a discontinuity is listed, long before it is counted, so that a process
that is killed has nothing to tell that the file does not know.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec

from camrelay.durable import replace
from camrelay.model import CameraId

logger = logging.getLogger("camrelay.fanout")

FILE = "hls-numbers.json"


class DiscontinuityNumbers:
    """The highest discontinuity sequence number that viewers of each camera may have seen.

    Args:
        directory: where to keep the file; None keeps the numbers in memory only.
    """

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / FILE
        self._numbers: dict[CameraId, int] = {}
        self._is_changed = False
        self._writing: asyncio.Task[None] | None = None
        if self._path is not None:
            self._numbers = _read(self._path)

    def next(self, camera: CameraId) -> int:
        """A number that no viewer of this camera has seen."""
        number = self._numbers.get(camera, -1) + 1
        self.seen(camera, number)
        return number

    def seen(self, camera: CameraId, number: int) -> None:
        """Remembers that viewers see this number from now on."""
        self._numbers[camera] = number
        self._is_changed = True
        if self._writing is None and self._path is not None:
            self._writing = asyncio.create_task(self._write(self._path))

    async def flush(self) -> None:
        """Returns when the file knows what was seen."""
        if self._writing is not None:
            await self._writing

    async def _write(self, path: Path) -> None:
        while self._is_changed:
            self._is_changed = False
            try:
                await asyncio.to_thread(replace, path, msgspec.json.encode(self._numbers))
            except OSError as error:
                # Viewers of today are not concerned; those who stay over the next restart may have to reload.
                logger.warning("sequence numbers could not be stored: %s", error.strerror)
        self._writing = None


def _read(path: Path) -> dict[CameraId, int]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[CameraId, int])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        logger.warning("sequence numbers cannot be read, starting anew: %s", type(error).__name__)
        return {}
