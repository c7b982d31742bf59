"""Erasing a person for good: also out of what is put back later.

Every erasure is first a line of a ledger, `erased.jsonl`: when it was, and the alias of whom. A database that
was put back from before it is told so at the next start, and forgets again. The ledger therefore must not be
put back with the database; a copy of it that was kept elsewhere is taken by `adopt`. Everything here blocks.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from camrelay.audit import holds, restriction
from camrelay.audit.people import alias_of, opened
from camrelay.audit.signer import private
from camrelay.durable import replace, sync_directory
from camrelay.errors import AuditUnavailable

LEDGER = "erased.jsonl"

_LOGGED = re.compile(r"erased ([0-9a-f]{16}) ([0-9a-f]{64}) ([0-9]{1,18})")


class Erasure(msgspec.Struct, frozen=True):
    """That somebody is to be forgotten, since `at_us` (microseconds of UTC)."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    alias: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    at_us: int

    def one_line(self) -> str:
        """For the operators' log; `saved` reads it again."""
        return f"erased {self.id} {self.alias} {self.at_us}"


def prepare(directory: Path, subject: str, now_us: int, today: str) -> Erasure:
    """The erasure of somebody, if nothing stands against it; nothing has happened yet.

    Raises:
        Held: somebody needs what is known of them.
    """
    alias = alias_of(directory, subject)
    holds.check_person(directory, alias, today)
    return Erasure(secrets.token_hex(8), alias, now_us)


def erase(directory: Path, erasure: Erasure, url: str = "") -> int:
    """Forgets a person, in the database and in whatever database is put back.

    Args:
        url: where people are, as `opened` has it, here and below.

    Returns:
        How many records no longer tell who they are about; -1 when nobody was known by that name.

    Raises:
        AuditUnavailable: the disk failed, or somebody still reads old pages: repeat it.
    """
    try:
        _append(directory, erasure)
        restriction.lift(directory, erasure.alias)
        return _carry_out(directory, [erasure], url)
    except OSError as error:
        raise AuditUnavailable(error.strerror or "the disk failed") from None


def replay(directory: Path, url: str = "") -> int:
    """Carries out every erasure of the ledger that the database does not know of.

    Returns:
        How many records no longer tell who they are about, -1 if there was nobody to forget.
    """
    erasures = ledger(directory)
    return _carry_out(directory, erasures, url) if erasures else -1


def adopt(directory: Path, text: str, url: str = "") -> int:
    """Adds to the ledger what it lacks of a copy, and carries it out; as `replay`."""
    known = ledger(directory)
    every = {erasure.id: erasure for erasure in (*known, *saved(text))}
    replace(directory / LEDGER, b"".join(map(_line, every.values())))
    return replay(directory, url)


def ledger(directory: Path) -> list[Erasure]:
    """Every erasure there was, oldest first."""
    try:
        return saved((directory / LEDGER).read_text(errors="replace"))
    except FileNotFoundError:
        return []


def saved(text: str) -> list[Erasure]:
    """The erasures in a copy of the ledger, or in lines of the operators' log. Others are passed over."""
    found = [Erasure(id, alias, int(at_us)) for id, alias, at_us in _LOGGED.findall(text)]
    for line in text.splitlines():
        try:
            found.append(msgspec.json.decode(line, type=Erasure))
        except msgspec.DecodeError:
            continue
    return found


def _carry_out(directory: Path, erasures: Iterable[Erasure], url: str) -> int:
    wanted = {erasure.id: erasure.alias for erasure in erasures}
    with opened(directory, url) as people:
        return people.carry_out(wanted)


def _append(directory: Path, erasure: Erasure) -> None:
    path = directory / LEDGER
    with open(path, "ab", opener=private) as file:
        # A crash can leave half a line behind; it must not swallow this one.
        file.write(b"\n" + _line(erasure))
        file.flush()
        os.fsync(file.fileno())
    sync_directory(directory)


def _line(erasure: Erasure) -> bytes:
    return msgspec.json.encode(erasure) + b"\n"
