"""The queue of letters: each is sent, tried again, or given up, and none twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from auth_builders import NOW_US
from camrelay import metrics
from camrelay.database import Database
from camrelay.errors import MailFailed, StoreUnavailable
from camrelay.invitation_store import Entry, InvitationStore, Waiting
from camrelay.mail.letter import GIVE_UP_US, Letter
from camrelay.mail.postman import Postman
from camrelay.sealing import Seal

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000


class Server:
    """A way that fails as it is told, and remembers what got through."""

    def __init__(self) -> None:
        self.failures: list[MailFailed] = []
        self.sent: list[str] = []
        self.arrived = asyncio.Event()

    async def send(self, message: EmailMessage) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(str(message["Message-ID"]))
        self.arrived.set()


def write(waiting: Waiting) -> EmailMessage:
    message = EmailMessage()
    message["Message-ID"] = f"<{waiting.id}@cams.example>"
    return message


class Office:
    """A postman with a clock, on a database."""

    def __init__(self, database: Database) -> None:
        self.now_us = NOW_US
        self.server = Server()
        self.store = InvitationStore(database, Seal(bytes(32)))
        self.postman = self.another()

    def another(self) -> Postman:
        return Postman(self.store, self.server, write, lambda: self.now_us)

    async def put(self, id: str = "one") -> None:
        letter = Letter(f"{id}@post.example", "en", "Anna", "Door", self.now_us + 7 * DAY_US)
        await self.store.add(Entry(id, None, f"mark-{id}", self.now_us, letter.ends_us), letter)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'camrelay.db'}")
    await database.open()
    yield Office(database)
    await database.close()


def counted(outcome: str) -> float:
    return metrics.REGISTRY.get_sample_value("camrelay_letters_total", {"outcome": outcome}) or 0.0


async def test_a_letter_is_sent_once(office: Office) -> None:
    """After that no trace of the address is kept, and two relays do not both send it."""
    before = counted("sent")
    await office.put()
    await asyncio.gather(office.postman.round(), office.another().round())
    await office.postman.round()

    assert office.server.sent == ["<one@cams.example>"]
    assert counted("sent") == before + 1
    assert await office.store.waiting() == 0


async def test_a_failure_is_tried_again_later_and_others_go_on(office: Office) -> None:
    """Not at once, and the next letter does not wait for it."""
    office.server.failures = [MailFailed(is_final=False)]
    await office.put("one")
    await office.put("two")
    await office.postman.round()
    assert office.server.sent == ["<two@cams.example>"]

    await office.postman.round()
    assert office.server.sent == ["<two@cams.example>"]
    office.now_us += HOUR_US
    await office.postman.round()
    assert office.server.sent == ["<two@cams.example>", "<one@cams.example>"]


async def test_a_letter_that_is_not_wanted_is_given_up_at_once(office: Office) -> None:
    """The server said that it will never take it."""
    office.server.failures = [MailFailed(is_final=True)]
    await office.put()
    await office.postman.round()

    assert await office.store.waiting() == 0


async def test_a_letter_that_cannot_be_sent_for_days_is_given_up(office: Office) -> None:
    """However often it is tried: less and less."""
    before = counted("given_up")
    office.server.failures = [MailFailed(is_final=False) for _ in range(1000)]
    await office.put()
    begun_us = office.now_us
    while await office.store.waiting():
        assert office.now_us <= begun_us + GIVE_UP_US
        await office.postman.round()
        office.now_us += HOUR_US // 2

    assert 10 < 1000 - len(office.server.failures) < 30
    assert counted("given_up") == before + 1


async def test_what_is_over_is_forgotten(office: Office) -> None:
    """The line of a letter stays until the invitation ends, and no longer."""
    await office.put()
    await office.postman.round()
    assert await office.store.written_to("mark-one", NOW_US - 1) == 1
    office.now_us += 7 * DAY_US
    await office.postman.round()

    assert await office.store.written_to("mark-one", NOW_US - 1) == 0


async def test_it_goes_when_it_is_there_and_goes_on_after_a_fault(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that does not answer once stops nothing."""
    faults, asked = [StoreUnavailable("gone")], asyncio.Event()
    due = office.store.due

    async def failing(now_us: int, limit: int) -> list[Waiting]:
        if faults:
            asked.set()
            raise faults.pop()
        return await due(now_us, limit)

    monkeypatch.setattr(office.store, "due", failing)
    office.postman.start()
    async with asyncio.timeout(30):
        await asked.wait()
        await office.put()
        office.postman.wake()
        await office.server.arrived.wait()
    await office.postman.stop()
