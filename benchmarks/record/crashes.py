"""Kills a program that writes the access record, again and again, and looks for what it was told is there."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from benchmarks.child import Child
from benchmarks.record.options import PEOPLE_URL, audit
from camrelay.audit.archive import log_files, verify
from camrelay.audit.log import AccessLog
from camrelay.audit.people import opened
from camrelay.audit.record import Record
from camrelay.audit.recovery import read
from camrelay.audit.signer import Signer, read_notes
from camrelay.model import EventType

#: Lives that share a log; a longer log takes longer to check at each start.
LIVES_PER_LOG = 20
#: Seconds from a program's first record to its end.
_LIFE_S = (0.05, 0.45)
#: Numbers of two lives are never the same.
_NUMBERS_PER_LIFE = 1_000_000
_START_LIMIT_S = 30.0


class Account:
    """What was acknowledged, and what became of it."""

    def __init__(self) -> None:
        self.lives = 0
        self.acknowledged = 0
        self.lost = 0
        self.duplicated = 0
        self.torn = 0

    def add(self, acknowledged: set[str], records: list[Record], known: list[bool], torn: int) -> None:
        """Compares the numbers told by a program with the starts in the log and the people beside it."""
        starts = Counter(record.viewing for record in records)
        whole = {record.viewing for record, is_known in zip(records, known, strict=True) if is_known}
        self.acknowledged += len(acknowledged)
        self.lost += len(acknowledged - whole)
        self.duplicated += sum(count - 1 for count in starts.values())
        self.torn += torn


async def live(directory: Path, core: int, lives: int, seed: int, account: Account) -> None:
    """Lets programs write one log, one after the other, and checks it."""
    moments = random.Random(seed)
    acknowledged: set[str] = set()
    for number in range(lives):
        notes = directory.with_name(f"{directory.name}-{number}")
        command = [sys.executable, "-m", "benchmarks.record.living", str(directory)]
        program = Child([*command, str(number * _NUMBERS_PER_LIFE)], core, notes)
        await program.until(partial(_says_something, program), _START_LIMIT_S)
        await asyncio.sleep(moments.uniform(*_LIFE_S))
        program.kill()
        acknowledged.update(f"{each:032x}" for each in _numbers(program))
        account.lives += 1
    await _recover(directory)
    account.add(acknowledged, *await asyncio.to_thread(_look, directory))


async def _says_something(program: Child) -> bool:
    return bool(_numbers(program))


def _numbers(program: Child) -> list[int]:
    """What it acknowledged; the last one may have been cut, and what it logs of an earlier death is none."""
    return [int(line) for line in program.output().split("\n")[:-1] if line.isdecimal()]


async def _recover(directory: Path) -> None:
    log = AccessLog(directory, audit())
    await log.start()
    await log.stop()


def _look(directory: Path) -> tuple[list[Record], list[bool], int]:
    """The starts in a log that verifies, whether the person of each is known, and lines that are none."""
    signer = Signer.load(directory)
    found = verify(directory, signer, signer.read(read_notes(directory)))
    records = [record for path in log_files(directory) for record in read(path)]
    torn = found.lines - found.days - len(records)
    starts = [record for record in records if record.type is EventType.START]
    with opened(directory, PEOPLE_URL) as people:
        known = [bool(identity.subject) for identity in people.identify(starts)]
    return starts, known, torn
