"""Days whose time is over: purged with all they say, while their last roots stay and hold the chain together.

A record is kept for as long as its class is. A day goes when viewings do; acts that are kept for longer stay
behind, each with the proof that it stood in the day. First comes a look at what is over, so that it can be
put on record, then the purge. Everything here blocks. A running relay is not disturbed: it writes to the
newest day, and that one stays.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from camrelay.audit import holds
from camrelay.audit.archive import Leaves, Lines, day_of, leaves_path, log_files, log_path
from camrelay.audit.chain import Tree, leaf_hashes, verify_lines
from camrelay.audit.kept import digest_of
from camrelay.audit.people import People
from camrelay.audit.record import REGISTRY, Retention
from camrelay.audit.search import kept_days, kept_path, prove, read_kept, search
from camrelay.audit.signer import PURGED, Signer, append_note, cut_torn_note, read_notes
from camrelay.config import Audit
from camrelay.durable import replace, sync_directory
from camrelay.errors import ChainBroken, Held


class Expired(msgspec.Struct, frozen=True):
    """A day whose time is over: so many `lines`, and a manifest of the acts that stay, empty without any."""

    day: str
    lines: int
    kept: bytes = b""

    @property
    def name(self) -> str:
        """What stands in the record of its purge: the day, and what the manifest was when it was made."""
        return f"{self.day}/{digest_of(self.kept)}" if self.kept else self.day


def days_ago(today: str, days: int) -> str:
    """The day so many days before one."""
    return str(datetime.date.fromisoformat(today) - datetime.timedelta(days=days))


def check_clock(directory: Path, today: str) -> None:
    """Passes when the log shows no leap of the clock: set forward, it would make everything old (case 77).

    Raises:
        Held: the log jumps over days just before today.
    """
    days = [day_of(path) for path in log_files(directory)]
    recent = [*days[-2:], today][-3:]
    for before, after in pairwise(recent):
        if before < days_ago(after, 1):
            raise Held(f"the record jumps from {before} to {after}: is the clock right?")


def expired(
    directory: Path,
    signer: Signer,
    before: str,
    acts_before: str = "",
    is_held: Callable[[str], bool] = lambda _: False,
) -> list[Expired]:
    """The days before a day ("2026-11-21") but the newest of the log, and what stays of them.

    Args:
        acts_before: acts before this day go as well.
        is_held: whether a day must be kept.

    Raises:
        ChainBroken: such a day is not as it was signed: nothing is to be purged that may be evidence.
    """
    over = [day for day in map(day_of, log_files(directory)[:-1]) if day < before and not is_held(day)]
    if over:
        _check(directory, signer, over)
    found = [Expired(day, _count(directory, day), _acts(directory, signer, day, acts_before)) for day in over]
    for day in kept_days(directory):
        if day < acts_before and not is_held(day) and day not in over:
            found.append(Expired(day, len(read_kept(kept_path(directory, day)).proofs)))
    return found


def details_ends(directory: Path, options: Audit, today: str) -> tuple[str, str]:
    """The days before which details of viewings and of acts go, "" where they go with the records."""
    held = [hold.first for hold in holds.active(directory, today)]
    kept = options.viewings_details_days, options.acts_details_days
    viewings, acts = (min([days_ago(today, days), *held]) if days else "" for days in kept)
    return viewings, acts


def purge(
    directory: Path,
    signer: Signer,
    people: People,
    days: Sequence[Expired],
    viewings_details_before: str = "",
    acts_details_before: str = "",
) -> None:
    """Removes days, and what is kept beside records of days before those.

    Raises:
        OSError: the disk failed; what was not purged can be purged again.
    """
    cut_torn_note(directory, PURGED)
    known = {checkpoint.origin for checkpoint in signer.read(read_notes(directory, PURGED))}
    whole = [each for each in days if log_path(directory, each.day).exists()]
    for each in whole:
        path = log_path(directory, each.day)
        if each.kept:
            replace(kept_path(directory, each.day), each.kept)
        # A crash between the two leaves a day that is there and noted; it goes the next time.
        if signer.origin(each.day) not in known:
            append_note(directory, signer.sign(each.day, Tree(leaf_hashes(Lines(path)))), PURGED)
    if whole:
        _sync(directory / PURGED)
        sync_directory(directory)
    for each in days:
        path = log_path(directory, each.day)
        leaves_path(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        if not each.kept:
            kept_path(directory, each.day).unlink(missing_ok=True)
    if days:
        sync_directory(directory)
    if files := log_files(directory):
        oldest = day_of(files[0])
        people.purge(Retention.VIEWINGS, oldest, viewings_details_before)
        people.purge(Retention.ACTS, min([oldest, *kept_days(directory)]), acts_details_before)


def _check(directory: Path, signer: Signer, days: Sequence[str]) -> None:
    """Passes days that are as they were signed. Only these: reading the whole log would cost minutes."""
    notes: dict[str, list[str]] = {signer.origin(day): [] for day in days}
    for note in read_notes(directory):
        notes.get(note.partition("\n")[0], []).append(note)
    for day in days:
        path = log_path(directory, day)
        try:
            verify_lines(Lines(path), signer.read(notes[signer.origin(day)]), stored=Leaves(path))
        except ChainBroken as broken:
            raise ChainBroken(f"{path.name}: {broken}", first=broken.first, last=broken.last) from None


def _count(directory: Path, day: str) -> int:
    return sum(1 for _ in Lines(log_path(directory, day)))


def _acts(directory: Path, signer: Signer, day: str, acts_before: str) -> bytes:
    """The manifest of the acts of a day, empty when there are none to keep."""
    if day < acts_before:
        return b""
    every = search(directory, only_day=day)
    acts = [each for each in every if REGISTRY[each.record.type].retention is Retention.ACTS]
    return msgspec.json.encode(prove(directory, signer, acts)) if acts else b""


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
