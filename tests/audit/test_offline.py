"""Commands that put something on record by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit_builders import NOON_US, make_event, write_log
from camrelay.audit.archive import verify
from camrelay.audit.log import AccessLog
from camrelay.audit.offline import tell
from camrelay.audit.people import opened
from camrelay.audit.search import search
from camrelay.audit.signer import Signer, read_notes
from camrelay.config import Audit
from camrelay.model import AccessEvent, EventType

EVENT = AccessEvent(type=EventType.ERASE, ts_us=1, camera="", outcome="info", subject="root", target="e1")


def test_what_a_command_does_is_part_of_the_log(tmp_path: Path) -> None:
    """Signed like every other line; viewings that a crash cut off are closed before it."""
    with opened(tmp_path) as people:
        write_log(tmp_path, [people.separate([make_event()], NOON_US)])
    tell(tmp_path, EVENT)
    found = [each.record for each in search(tmp_path)]
    assert [(each.type, each.target) for each in found] == [
        (EventType.START, ""),
        (EventType.STOP, ""),
        (EventType.ERASE, "e1"),
    ]
    signer = Signer.load(tmp_path)
    assert verify(tmp_path, signer, signer.read(read_notes(tmp_path))).unsigned == 0


async def test_beside_a_relay_it_is_refused(tmp_path: Path) -> None:
    """One writes, the other asks."""
    log = AccessLog(tmp_path, Audit())
    await log.start()
    with pytest.raises(BlockingIOError):
        tell(tmp_path, EVENT)
    await log.stop()
