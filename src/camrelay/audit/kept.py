"""Acts that stayed when their day was purged: whether they are as they were signed, and all of them there.

What an act says and where it stood, its proof shows; that none is left out, the record of the purge does. It
names the day and the digest of the file, and stands in a later day, under a signed root itself. Everything
here blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from camrelay.audit.archive import log_path
from camrelay.audit.chain import leaf_hash, verify_inclusion
from camrelay.audit.record import parse
from camrelay.audit.search import kept_days, kept_path, numbered, read_kept, stored_days
from camrelay.audit.signer import PURGED, Verifier, read_notes
from camrelay.errors import BadRecord, ChainBroken
from camrelay.model import EventType

#: How the line of a purge begins.
_PURGE = f'{{"type":"{EventType.PURGE}"'.encode()


def verify_kept(directory: Path, verifier: Verifier) -> int:
    """Checks what is left of purged days; how many records that is.

    Raises:
        ChainBroken: an act is not as it was signed, or one is missing.
    """
    count = sum(_verify(directory, verifier, day) for day in kept_days(directory))
    # The last record of a day counts: a purge that a crash cut short is put on record again.
    for day, digest in dict(_purges(directory)).items():
        path = kept_path(directory, day)
        # What is on record to be purged and is there still, the next purge takes.
        if not digest or log_path(directory, day).exists():
            continue
        if not path.exists():
            raise ChainBroken(f"{path.name} is missing: acts of that day were kept")
        if digest_of(path.read_bytes()) != digest:
            raise ChainBroken(f"{path.name} is not what was kept when its day was purged")
    return count


def digest_of(kept: bytes) -> str:
    """What the record of a purge says of the acts that stay, behind the day and a slash."""
    return hashlib.sha256(kept).hexdigest()


def _verify(directory: Path, verifier: Verifier, day: str) -> int:
    kept, count = read_kept(kept_path(directory, day)), 0
    checkpoints = verifier.read(kept.checkpoints)
    for each in kept.proofs:
        if each.checkpoint is None:
            continue
        checkpoint = checkpoints[each.checkpoint]
        if each.day != day or checkpoint.origin != verifier.origin(day):
            raise ChainBroken(f"kept-{day}.json is of another day", first=each.position)
        hashes = list(map(bytes.fromhex, each.hashes))
        leaf = leaf_hash(each.line.encode())
        verify_inclusion(leaf, each.position, checkpoint.size, hashes, checkpoint.root)
        count += 1
    return count


def _purges(directory: Path) -> Iterator[tuple[str, str]]:
    """Every day that is on record as purged, and the digest of what stayed of it."""
    if not read_notes(directory, PURGED):
        return
    for day in stored_days(directory):
        for _, line in numbered(directory, day):
            if not line.startswith(_PURGE):
                continue
            with suppress(BadRecord):
                purged, _, digest = parse(line).target.partition("/")
                yield purged, digest
