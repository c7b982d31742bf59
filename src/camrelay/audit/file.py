"""One file of the log, open to append. Everything here blocks; tests put slow disks in its place."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from camrelay.durable import sync_directory

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class LogFile:
    """Raises OSError from every method when the disk does; after that only `close` makes sense.

    Attributes:
        size: bytes in the file, in step with what was written here.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, _FLAGS, 0o600)
        self.size = os.fstat(self._fd).st_size
        if self.size == 0:
            sync_directory(path.parent)

    def write(self, data: bytes) -> None:
        """Appends all of `data`."""
        rest = memoryview(data)
        while rest:
            written = os.write(self._fd, rest)
            self.size += written
            rest = rest[written:]

    def sync(self) -> None:
        """Returns when everything written is durable."""
        os.fdatasync(self._fd)

    def truncate(self, size: int) -> None:
        """Cuts the file."""
        os.ftruncate(self._fd, size)
        self.size = size

    def is_unlinked(self) -> bool:
        """Whether somebody removed the file: what is written now nobody would find."""
        return os.fstat(self._fd).st_nlink == 0

    def close(self) -> None:
        """Lets go of the file, whatever state it is in."""
        # Linux frees the descriptor even when close(2) fails; what was lost is written again.
        with contextlib.suppress(OSError):
            os.close(self._fd)
