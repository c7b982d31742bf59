"""Records of the log, found again and proven: where each stands, and that it stands under a signed root.

Everything here blocks. A proof is complete in itself: line, position, hashes and checkpoint are all that
somebody with the log's public key needs, on any machine (RFC 9162 §2.1.3.2).
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from camrelay.audit.archive import Lines, day_of, log_files, log_path
from camrelay.audit.chain import Tree, inclusion_proofs, leaf_hashes
from camrelay.audit.record import Record, parse
from camrelay.audit.signer import Signer, read_notes
from camrelay.errors import BadRecord, ChainBroken

#: A day and a position in it.
Place = tuple[str, int]


class Found(msgspec.Struct, frozen=True):
    """A record and its place: line `position` of the file of `day`, the header being line 0."""

    day: str
    position: int
    line: bytes
    record: Record


class Proof(msgspec.Struct, frozen=True, omit_defaults=True):
    """That a line stands in the log.

    `hashes` lead, in hexadecimal, from the leaf of `line` with its newline to the root of the `checkpoint`
    with that number in the manifest. Without a checkpoint the line is too new to be proven.
    """

    day: str
    position: int
    line: str
    hashes: list[str] = []
    checkpoint: int | None = None


class Manifest(msgspec.Struct, frozen=True):
    """Proofs, and what they are checked against; `key` is a C2SP verifier key."""

    log: str
    key: str
    checkpoints: list[str]
    proofs: list[Proof]


def search(
    directory: Path,
    *,
    camera: str = "",
    people: Collection[str] | None = None,
    name: str = "",
    from_us: int = 0,
    to_us: int | None = None,
    after: Place | None = None,
    only_day: str = "",
) -> Iterator[Found]:
    """Records with these values, oldest first.

    Args:
        people: pseudonyms, of who acted or of whom it was about; every record, if there are none to look for.
        name: the id of a viewing, of a record, or of what an act was done to.
        from_us, to_us: microseconds of UTC, the latter not included.
        after: only what stands behind this place.
        only_day: only what stands in this day.
    """
    begin: Place = after or ("", -1)
    # Most lines are about somebody else, which their bytes tell much sooner than reading them.
    needles = [each.encode() for each in people or (name, *[f'"{camera}"'] * bool(camera)) if each]
    first = str(datetime.datetime.fromtimestamp(from_us / 1e6, datetime.UTC).date())
    # A record may wait for the disk over midnight; it is never written before its time.
    for day in (day for day in stored_days(directory) if day >= max(first, begin[0])):
        for position, line in numbered(directory, day) if only_day in ("", day) else ():
            if needles and not any(needle in line for needle in needles):
                continue
            record = _record(line)
            if (
                record is not None
                and (day, position) > begin
                and record.ts_us >= from_us
                and (to_us is None or record.ts_us < to_us)
                and (not camera or record.camera == camera)
                and (not name or name in (record.viewing, record.id, record.target))
                and (people is None or record.person in people or record.about in people)
            ):
                yield Found(day, position, line, record)


def kept_path(directory: Path, day: str) -> Path:
    """What is left of a day that was purged."""
    return directory / f"kept-{day}.json"


def kept_days(directory: Path) -> list[str]:
    """The days of which something is left, oldest first."""
    return sorted(path.stem.removeprefix("kept-") for path in directory.glob("kept-????-??-??.json"))


def read_kept(path: Path) -> Manifest:
    """The records that are left of a day; ChainBroken when the file is none of ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError:
        raise ChainBroken(f"{path.name} cannot be read") from None


def stored_days(directory: Path) -> list[str]:
    """The days of which there are lines, if only some, oldest first."""
    return sorted({*map(day_of, log_files(directory)), *kept_days(directory)})


def numbered(directory: Path, day: str) -> Iterable[tuple[int, bytes]]:
    """The lines of a day, or what is left of them, with their places."""
    if (path := log_path(directory, day)).exists():
        return enumerate(Lines(path))
    return [(each.position, each.line.encode()) for each in read_kept(kept_path(directory, day)).proofs]


def prove(directory: Path, signer: Signer, found: Iterable[Found]) -> Manifest:
    """Proofs of records, in their order, each against the newest checkpoint of its day.

    Raises:
        ChainBroken: a day is not as it was signed.
    """
    newest = {note.partition("\n")[0]: note for note in read_notes(directory)}
    checkpoints: list[str] = []
    proofs: list[Proof] = []
    for day, group in groupby(found, lambda one: one.day):
        records = list(group)
        note = newest.get(signer.origin(day))
        proven: dict[int, list[bytes]] = {}
        if not log_path(directory, day).exists():
            kept = read_kept(kept_path(directory, day))
            proven = {each.position: list(map(bytes.fromhex, each.hashes)) for each in kept.proofs}
            checkpoints += kept.checkpoints
        elif note is not None:
            proven = _prove_day(log_path(directory, day), signer, note, [one.position for one in records])
            checkpoints.append(note)
        proofs += [_proof(one, proven.get(one.position), len(checkpoints) - 1) for one in records]
    return Manifest(signer.name, signer.text, checkpoints, proofs)


def _prove_day(path: Path, signer: Signer, note: str, positions: Sequence[int]) -> dict[int, list[bytes]]:
    (checkpoint,) = signer.read([note])
    leaves = list(leaf_hashes(Lines(path)))[: checkpoint.size]
    if Tree(leaves).root() != checkpoint.root:
        raise ChainBroken(f"{path.name} is not as it was signed; camrelay audit verify says where")
    return inclusion_proofs(leaves, [position for position in positions if position < checkpoint.size])


def _proof(found: Found, hashes: list[bytes] | None, checkpoint: int) -> Proof:
    proof = Proof(found.day, found.position, found.line.decode())
    if hashes is None:
        return proof
    return msgspec.structs.replace(proof, hashes=[each.hex() for each in hashes], checkpoint=checkpoint)


def _record(line: bytes) -> Record | None:
    try:
        return parse(line)
    except BadRecord:
        return None
