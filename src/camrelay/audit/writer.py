"""Lines onto the disk and into the tree over them; checkpoints of the tree. Everything here blocks.

A file per day of UTC, mode 0600. A line enters the tree when it is durable. The first line of a day is its
header, which names the last root of the day before. A checkpoint is signed every minute and every 1,024
lines, when a day is over, at the start and at the stop. What the log has once signed it never contradicts: on
a disk that no longer matches its last checkpoint it does not start, and a file that disappears is gone on
with from memory.
"""

from __future__ import annotations

import datetime
import fcntl
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from camrelay.audit import archive, signer
from camrelay.audit.chain import Header, Tree, leaf_hashes
from camrelay.audit.file import LogFile
from camrelay.audit.record import Record
from camrelay.audit.recovery import recover
from camrelay.durable import make_private_directory
from camrelay.errors import ChainBroken

#: How much a crash of the disk may leave unproven.
CHECKPOINT_S = 60.0
CHECKPOINT_LINES = 1024

#: More than a block, so that a full disk refuses it.
_PROBE = b"\n" * 8192

logger = logging.getLogger("camrelay.audit")


class ChainWriter:
    """Appends lines to the log in a directory.

    Args:
        open_file: how the file of a day is opened.
        utc_us: the clock that names the files, microseconds of UTC.
        now: monotonic seconds.
    """

    def __init__(
        self,
        directory: Path,
        *,
        open_file: Callable[[Path], LogFile],
        utc_us: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._open_file = open_file
        self._utc_us = utc_us
        self._now = now
        self._lock_fd = -1
        self._day = ""
        self._tree = Tree()
        #: Of the lines that are not signed yet: without a checkpoint nothing can be told by them.
        self._leaves: list[bytes] = []
        self._header = b""
        self._file: LogFile | None = None
        self._durable_size = 0
        self._signed_size = 0
        self._signed_at = now()

    def open(self) -> list[Record]:
        """Repairs what a crash left behind and takes the log up again.

        Returns:
            Stops of the viewings that the crash cut off, to be written first.

        Raises:
            BlockingIOError: another server writes here.
            OSError: the directory cannot be read.
            ChainBroken: the log is not the one that was signed.
            ConfigError: the directory or the key is open to others.
        """
        make_private_directory(self._directory)
        self._lock_fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._signer = signer.Signer.load(self._directory)
        closing = recover(self._directory, self._utc_us())
        signer.cut_torn_note(self._directory)
        files, notes = archive.log_files(self._directory), signer.read_notes(self._directory)
        if files or notes:
            self._resume(files[-1:], notes[-1:])
        return closing

    def commit(self, lines: Sequence[bytes]) -> None:
        """Makes lines durable, all or none: what a failed attempt left behind the next one cuts off."""
        day = _day(self._utc_us())
        # A clock that is set back must not reopen a day whose last root is in the next one's header.
        if day > self._day:
            self._begin(day)
        data = lines if self._tree.size else [self._header, *lines]
        file = self._opened()
        file.write(b"".join(data))
        file.sync()
        self._durable_size = file.size
        leaves = list(leaf_hashes(data))
        self._tree.extend(leaves)
        self._leaves += leaves
        if self._tree.size - self._signed_size >= CHECKPOINT_LINES:
            self.sign()

    @property
    def durable(self) -> tuple[str, int]:
        """The newest day, and up to which byte of it lines are durable."""
        return self._day, self._durable_size

    def probe(self) -> None:
        """Asks, when nothing is left to write, whether the disk would take any."""
        file = self._opened()
        file.write(_PROBE)
        file.sync()
        file.truncate(self._durable_size)

    def sign_in_s(self) -> float | None:
        """Seconds until the next checkpoint is due, None while everything is signed."""
        if self._tree.size == self._signed_size:
            return None
        return max(0.0, self._signed_at + CHECKPOINT_S - self._now())

    def sign(self) -> None:
        """Signs the tree as it is, unless it has been."""
        if self._tree.size == self._signed_size:
            return
        self._keep_leaves()
        note = self._signer.sign(self._day, self._tree)
        self._signed_size, self._signed_at = self._tree.size, self._now()
        logger.info(signer.one_line(note))
        try:
            signer.append_note(self._directory, note)
        except OSError as error:
            logger.error("a checkpoint could not be written (%s)", error.strerror)

    def forget_file(self) -> None:
        """Begins again from a new descriptor, at the last byte known to be durable.

        After a failed fsync the kernel may call pages clean that are not on disk.
        """
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def close(self) -> None:
        """Lets go of the directory."""
        self.forget_file()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _resume(self, newest: list[Path], notes: list[str]) -> None:
        """Takes up the tree of the newest day, if it is what the last checkpoint says."""
        if not notes:
            logger.warning("the access log has no checkpoint: nothing tells whether it is whole")
        try:
            last = self._signer.read(notes)
            since = min([*map(archive.day_of, newest), *(c.origin.rpartition("/")[2] for c in last)])
            found = archive.verify(self._directory, self._signer, last, since)
        except ChainBroken as broken:
            raise ChainBroken(
                f"the access log is not as it was signed and will not be continued: {broken}; keep what is "
                f"there as evidence: move access-*, checkpoints.txt and audit.key from {self._directory} to "
                "another folder, and the next start begins a new log",
                first=broken.first,
                last=broken.last,
            ) from None
        (path,) = newest
        self._day, self._tree = archive.day_of(path), found.tree
        self._durable_size = path.stat().st_size
        self._signed_size = found.tree.size - found.unsigned
        leaves = b"".join(leaf_hashes(archive.Lines(path)))
        if b"".join(archive.Leaves(path)) != leaves:
            archive.leaves_path(path).write_bytes(leaves)

    def _begin(self, day: str) -> None:
        """Ends a day for good and begins another."""
        self.sign()
        self.forget_file()
        self._header = Header(self._signer.name, day, self._tree.size, self._tree.root().hex()).line()
        # Whoever asks meanwhile must not take the size of the one day for that of the other.
        self._durable_size = self._signed_size = 0
        self._day, self._tree = day, Tree()

    def _opened(self) -> LogFile:
        if self._file is not None and not self._file.is_unlinked():
            return self._file
        self.forget_file()
        file = self._file = self._open_file(archive.log_path(self._directory, self._day))
        if file.size > self._durable_size:
            file.truncate(self._durable_size)
        return file

    def _keep_leaves(self) -> None:
        """Puts leaf hashes beside the lines; what is missing there is made again at the next start."""
        leaves, self._leaves = self._leaves, []
        path = archive.leaves_path(archive.log_path(self._directory, self._day))
        try:
            with open(path, "ab", opener=signer.private) as file:
                file.write(b"".join(leaves))
        except OSError as error:
            logger.error("leaf hashes could not be written (%s)", error.strerror)


def _day(utc_us: int) -> str:
    return str(datetime.datetime.fromtimestamp(utc_us / 1e6, datetime.UTC).date())
