"""The days of the log as they lie on disk, and whether they are as they were signed. Everything here blocks.

A day is a file of lines, `access-DAY.jsonl`, and beside it one of their leaf hashes, `access-DAY.leaves`. The
leaves prove nothing that the lines do not, but tell which line it was that somebody changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from camrelay.audit.chain import EMPTY_ROOT, Header, Tree, verify_header, verify_lines
from camrelay.audit.checkpoint import Checkpoint
from camrelay.audit.signer import PURGED, Verifier, read_notes
from camrelay.errors import ChainBroken

_LEAF_BYTES = 32
#: A header has some 200 bytes.
_HEADER_LIMIT = 1024


class Verified(msgspec.Struct):
    """What a check of the log has found in order.

    Attributes:
        days, lines: checked, headers included.
        unsigned: lines after the last checkpoint of the last day: nothing proves them yet.
        tree: of the last day.
    """

    days: int = 0
    lines: int = 0
    unsigned: int = 0
    tree: Tree = msgspec.field(default_factory=Tree)


class Lines:
    """The lines of a day; can be walked again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with open(self._path, "rb") as file:
            yield from file


class Leaves:
    """The leaf hashes kept beside the lines of a day; can be walked again."""

    def __init__(self, path: Path) -> None:
        self._path = leaves_path(path)

    def __iter__(self) -> Iterator[bytes]:
        try:
            with open(self._path, "rb") as file:
                while leaf := file.read(_LEAF_BYTES):
                    yield leaf
        except FileNotFoundError:
            return


def log_files(directory: Path) -> list[Path]:
    """The files of the log, oldest first."""
    return sorted(directory.glob("access-????-??-??.jsonl"))


def log_path(directory: Path, day: str) -> Path:
    """The file of a day ("2026-11-21")."""
    return directory / f"access-{day}.jsonl"


def leaves_path(path: Path) -> Path:
    """The leaf hashes of a day's file."""
    return path.with_suffix(".leaves")


def day_of(path: Path) -> str:
    """The day of a file."""
    return path.stem.removeprefix("access-")


def is_header(line: bytes) -> bool:
    """Whether a line is the first of some day."""
    try:
        return len(line) <= _HEADER_LIMIT and msgspec.json.decode(line, type=Header).line() == line
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def header(path: Path) -> Header:
    """The header of a day; ChainBroken when its first line is none."""
    with open(path, "rb") as file:
        line = file.readline(_HEADER_LIMIT)
    if not is_header(line):
        raise ChainBroken(f"{path.name}: line 0 is no header")
    return msgspec.json.decode(line, type=Header)


def verify(
    directory: Path, verifier: Verifier, checkpoints: Iterable[Checkpoint], since: str = ""
) -> Verified:
    """Checks the log from a day on; that day is taken to follow the one before it.

    Of a day that was purged there is its last root, which the next day has to begin with.

    Raises:
        ChainBroken: naming file and line of the first deviation; `first` and `last` are positions there.
    """
    by_day = _by_day(verifier, checkpoints)
    purged = _by_day(verifier, verifier.read(read_notes(directory, PURGED)))
    files = {day_of(path): path for path in log_files(directory)}
    found = Verified()
    before: Path | None = None
    previous = None if since else Checkpoint("", 0, EMPTY_ROOT)
    for day in sorted(files.keys() | by_day.keys() | purged.keys()):
        if day < since:
            continue
        signed = by_day.get(day, [])
        if day in files:
            found.tree = _verify_day(files[day], verifier, signed, before, previous)
            found.days += 1
            found.lines += found.tree.size
            found.unsigned = found.tree.size - max((checkpoint.size for checkpoint in signed), default=0)
            before, previous = files[day], Checkpoint("", found.tree.size, found.tree.root())
        else:
            before, previous = None, _verify_purged(day, signed, purged.get(day, []))
    return found


def verify_with(
    directory: Path, verifier: Verifier, saved: Sequence[Checkpoint], since: str = ""
) -> Verified:
    """Checks the log against its own checkpoints and against saved ones, which were kept elsewhere.

    Where both cannot be true the saved ones are: whoever has the key can sign another history, and would
    have its place taken for the first one that deviates.

    Raises:
        ChainBroken: as `verify`.
    """
    # Notes before lines: a running relay may add to both, and a note never precedes its lines.
    own = verifier.read(read_notes(directory))
    try:
        return verify(directory, verifier, [*saved, *own], since)
    except ChainBroken:
        if saved:
            verify(directory, verifier, saved, since)
        raise


def _verify_purged(day: str, signed: list[Checkpoint], purged: list[Checkpoint]) -> Checkpoint:
    """The last root of a day without a file."""
    last = max((checkpoint.size for checkpoint in signed), default=1) - 1
    if not purged:
        raise ChainBroken(f"access-{day}.jsonl is missing", last=last)
    root = purged[0]
    if last >= root.size or any(each.root != root.root for each in signed if each.size == root.size):
        raise ChainBroken(f"access-{day}.jsonl was purged with another root than was signed", last=last)
    return root


def _by_day(verifier: Verifier, checkpoints: Iterable[Checkpoint]) -> dict[str, list[Checkpoint]]:
    by_day = defaultdict(list)
    for checkpoint in checkpoints:
        name, _, day = checkpoint.origin.rpartition("/")
        if name != verifier.name:
            raise ChainBroken(f"a checkpoint is of another log: {checkpoint.origin}")
        by_day[day].append(checkpoint)
    return by_day


def _verify_day(
    path: Path, verifier: Verifier, signed: list[Checkpoint], before: Path | None, previous: Checkpoint | None
) -> Tree:
    try:
        tree = verify_lines(Lines(path), signed, stored=Leaves(path))
    except ChainBroken as broken:
        raise ChainBroken(f"{path.name}: {broken}", first=broken.first, last=broken.last) from None
    first = header(path)
    if previous is None:
        return tree
    if before is not None and first.previous_size < previous.size:
        added = first.previous_size
        raise ChainBroken(f"{before.name}: line {added} was added when the day was over", first=added)
    try:
        verify_header(first.line(), verifier.name, day_of(path), previous.size, previous.root)
    except ChainBroken as broken:
        raise ChainBroken(f"{path.name}: line 0: {broken}") from None
    return tree
