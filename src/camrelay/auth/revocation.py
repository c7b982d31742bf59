"""The revocations that outlive a restart: JSON lines in the store, appended by any camrelay process.

The server reads what is new twice a second, so `camrelay token revoke` needs no server to talk to. Writers
hold an exclusive flock(2); readers need none, because a line counts when its newline is there. Accounts stand
there as a hash: whoever was forgotten is not remembered here.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from camrelay.auth.lease import Handle, HandleKind, disguised
from camrelay.durable import make_private_directory, replace, sync_directory

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

logger = logging.getLogger("camrelay.auth")


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was withdrawn, and when (microseconds of UTC)."""

    kind: HandleKind
    id: str
    at_us: int

    @property
    def handle(self) -> Handle:
        """What leases hang on."""
        return Handle(self.kind, self.id)


class RevocationFile:
    """Every method blocks on the disk and may be called from any one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._offset = 0
        make_private_directory(path.parent)

    def append(self, revocation: Revocation) -> None:
        """Adds a revocation, durable on return."""
        with self._locked() as fd:
            # A crash can leave half a line behind; it must not swallow this one.
            size = os.fstat(fd).st_size
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            os.write(fd, b"\n" * torn + _line(revocation))
            os.fsync(fd)
            sync_directory(self._path.parent)

    def read_new(self) -> list[Revocation]:
        """What was added since the last call; everything at the first call and after `compact`."""
        try:
            with open(self._path, "rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset = status.st_ino, 0
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [revocation for line in whole.splitlines() if (revocation := _parse(line))]

    def compact(self, horizon_us: int) -> None:
        """Drops what was withdrawn before `horizon_us`, when nothing it names can be alive; keeps keys."""
        with self._locked():
            kept = [
                revocation
                for revocation in RevocationFile(self._path).read_new()
                if revocation.at_us >= horizon_us or revocation.kind == HandleKind.KEY
            ]
            replace(self._path, b"".join(map(_line, kept)))

    @contextmanager
    def _locked(self) -> Iterator[int]:
        while True:
            fd = os.open(self._path, _FLAGS, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                # Whoever held the lock before may have put another file here.
                if os.fstat(fd).st_ino == os.stat(self._path).st_ino:
                    yield fd
                    return
            finally:
                os.close(fd)


def _line(revocation: Revocation) -> bytes:
    return (
        msgspec.json.encode(msgspec.structs.replace(revocation, id=disguised(revocation.handle).id)) + b"\n"
    )


def _parse(line: bytes) -> Revocation | None:
    try:
        return msgspec.json.decode(line, type=Revocation)
    except msgspec.DecodeError:
        logger.error("a line of the revocations cannot be read; what it withdrew is not withdrawn")
        return None
