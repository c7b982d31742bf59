"""What somebody could do to a log behind its back, and whether verifying names the place.

Two people do it: one changes lines only; the other has stolen the key as well, and makes leaf hashes and
checkpoints anew for what he left. Against both stands a copy of the checkpoints, kept elsewhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.record.events import line
from camrelay.audit.archive import Leaves, Lines, Verified, day_of, leaves_path, log_files, verify_with
from camrelay.audit.chain import Tree, leaf_hashes
from camrelay.audit.file import LogFile
from camrelay.audit.record import serialize
from camrelay.audit.signer import CHECKPOINTS, Signer, append_note, read_notes
from camrelay.audit.writer import CHECKPOINT_LINES, ChainWriter
from camrelay.errors import ChainBroken

DAYS = 4
_NOON_US = 1_795_262_400_000_000
_DAY_US = 86_400_000_000


class Attempt(NamedTuple):
    """One change, and what came of it.

    `place` is the first line that is not as it was; `said` what verifying said, "" when it was content.
    """

    what: str
    has_key: bool
    place: str
    said: str
    is_named: bool


def write(directory: Path, count: int) -> None:
    """Makes a log of so many events in DAYS days, as the relay writes it."""
    clock = [_NOON_US]
    writer = ChainWriter(directory, open_file=LogFile, utc_us=lambda: clock[0])
    writer.open()
    per_day = -(-count // DAYS)
    for day in range(DAYS):
        numbers = range(day * per_day, min(count, (day + 1) * per_day))
        for first in numbers[::CHECKPOINT_LINES]:
            batch = range(first, min(first + CHECKPOINT_LINES, numbers.stop))
            writer.commit([serialize(line(number, clock[0] + number)) for number in batch])
        writer.sign()
        clock[0] += _DAY_US
    writer.close()


def check(directory: Path, saved: list[str]) -> Verified:
    """What `camrelay audit verify --checkpoint` does."""
    signer = Signer.load(directory)
    return verify_with(directory, signer, signer.read(saved))


#: Lines of a day -> what they are turned into, when the line at a position is to be the first wrong one.
Change = Callable[[list[bytes], int], list[bytes]]


def _edit(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], lines[at].replace(b"front-door", b"back--door"), *lines[at + 1 :]]


def _insert(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], serialize(line(10**9, _NOON_US)), *lines[at:]]


def _delete(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], *lines[at + 1 :]]


def _reorder(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]


def _truncate(lines: list[bytes], at: int) -> list[bytes]:
    return lines[:at]


CHANGES: dict[str, Change] = {
    "edited": _edit,
    "inserted": _insert,
    "deleted": _delete,
    "reordered": _reorder,
    "truncated": _truncate,
}


def attempts(directory: Path, at: int) -> Iterator[Attempt]:
    """Tries everything, one after the other, each on the whole log.

    Args:
        at: position in a day of the first line that is changed.
    """
    saved = read_notes(directory)
    days = log_files(directory)
    middle, last = days[DAYS // 2], days[-1]
    for has_key in (False, True):
        for what, change in CHANGES.items():
            with _Copy(directory, [middle]):
                _put(middle, change(list(Lines(middle)), at))
                if has_key:
                    _sign_anew(directory)
                yield _judge(directory, saved, what, has_key, middle, at)
        with _Copy(directory, [days[1], days[2]]):
            first, second = list(Lines(days[1])), list(Lines(days[2]))
            _put(days[1], second)
            _put(days[2], first)
            if has_key:
                _sign_anew(directory)
            yield _judge(directory, saved, "segments swapped", has_key, days[1], 0)
    with _Copy(directory, [last]):
        _put(last, list(Lines(last))[:at])
        leaves_path(last).write_bytes(b"".join(list(Leaves(last))[:at]))
        _forget_notes(directory, last, at)
        yield _judge(directory, saved, "rolled back", False, last, at)


class _Copy:
    """Files that are put back afterwards, with leaf hashes and checkpoints."""

    def __init__(self, directory: Path, days: list[Path]) -> None:
        # Every day, as whoever has the key makes anew what follows from a change.
        self._files = {*days, *map(leaves_path, log_files(directory)), directory / CHECKPOINTS}

    def __enter__(self) -> None:
        for path in self._files:
            shutil.copyfile(path, path.with_name(path.name + ".kept"))

    def __exit__(self, *_: object) -> None:
        for path in self._files:
            path.with_name(path.name + ".kept").replace(path)


def _put(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(lines))


def _sign_anew(directory: Path) -> None:
    signer = Signer.load(directory)
    (directory / CHECKPOINTS).unlink()
    for path in log_files(directory):
        leaves = list(leaf_hashes(Lines(path)))
        leaves_path(path).write_bytes(b"".join(leaves))
        append_note(directory, signer.sign(day_of(path), Tree(leaves)))


def _forget_notes(directory: Path, path: Path, size: int) -> None:
    """Leaves the checkpoints that were there when the day had so many lines."""
    notes = read_notes(directory)
    (directory / CHECKPOINTS).unlink()
    for note in notes:
        origin, length, *_ = note.split("\n")
        if not origin.endswith(day_of(path)) or int(length) <= size:
            append_note(directory, note)


def _judge(directory: Path, saved: list[str], what: str, has_key: bool, path: Path, at: int) -> Attempt:
    place = f"{path.name} line {at}"
    try:
        check(directory, saved)
    except ChainBroken as broken:
        # Leaf hashes tell which line it is. Without them the checkpoints before it and behind it do.
        is_near = broken.first <= at <= broken.last <= broken.first + CHECKPOINT_LINES
        return Attempt(what, has_key, place, str(broken), is_near and str(broken).startswith(path.name))
    return Attempt(what, has_key, place, "", False)
