"""Old days of the log: purged with all they say, while their last roots stay and hold the chain together.

Everything here blocks. A running relay is not disturbed: it writes to the newest day, and that one stays.
"""

from __future__ import annotations

import os
from pathlib import Path

from camrelay.audit.archive import Lines, day_of, leaves_path, log_files, verify
from camrelay.audit.chain import Tree, leaf_hash
from camrelay.audit.people import People
from camrelay.audit.signer import PURGED, Signer, append_note, cut_torn_note, read_notes
from camrelay.durable import sync_directory


def purge(directory: Path, signer: Signer, people: People, before: str) -> list[str]:
    """Removes the days before a day ("2026-11-21"), except the newest of the log; returns which.

    Raises:
        ChainBroken: the log is not as it was signed: nothing is purged that may be evidence.
        OSError: the disk failed; what was not purged can be purged again.
    """
    verify(directory, signer, signer.read(read_notes(directory)))
    cut_torn_note(directory, PURGED)
    old = [path for path in log_files(directory)[:-1] if day_of(path) < before]
    known = {checkpoint.origin for checkpoint in signer.read(read_notes(directory, PURGED))}
    for path in old:
        # A crash between the two leaves a day that is there and noted; it goes the next time.
        if signer.origin(day_of(path)) not in known:
            append_note(directory, signer.sign(day_of(path), Tree(map(leaf_hash, Lines(path)))), PURGED)
    if old:
        _sync(directory / PURGED)
        sync_directory(directory)
    for path in old:
        leaves_path(path).unlink(missing_ok=True)
        path.unlink()
    if old:
        sync_directory(directory)
    people.purge(before)
    return [day_of(path) for path in old]


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
