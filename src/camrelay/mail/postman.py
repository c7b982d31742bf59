"""Sends the letters that wait, in the background: no request waits for a mail server.

The queue is in the database, so letters outlive a restart. A failure is tried again after longer and longer
times, and given up after two days; a letter that the server does not want is given up at once. Of two relays
on one database one sends a letter. If it dies while it does, the letter is sent once more: a person may
get a letter twice, with the same Message-ID, and never none because of that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from email.message import EmailMessage

from camrelay import metrics
from camrelay.errors import CamrelayError, MailFailed, StoreUnavailable
from camrelay.invitation_store import InvitationStore, Waiting
from camrelay.mail.letter import retry_us
from camrelay.mail.transport import Transport

#: At most so late does a letter go that waits for another attempt.
ROUND_S = 30.0
#: Letters of one round; the next begins at once when there are more.
_AT_ONCE = 20

logger = logging.getLogger("camrelay.server")


class Postman:
    """Sends letters.

    Args:
        write: makes the message of a letter.
        utc_us: the clock, microseconds of UTC.
    """

    def __init__(
        self,
        store: InvitationStore,
        transport: Transport,
        write: Callable[[Waiting], EmailMessage],
        utc_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._store = store
        self._transport = transport
        self._write = write
        self._utc_us = utc_us
        self._woken = asyncio.Event()
        self._going: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to send."""
        self._going = asyncio.create_task(self._keep_going())

    async def stop(self) -> None:
        """Sends no more; what is under way may be sent again after the next start."""
        if self._going is not None:
            self._going.cancel()
            await asyncio.wait([self._going])  # or the database closes with a connection in use

    def wake(self) -> None:
        """There is a letter."""
        self._woken.set()

    async def round(self) -> int:
        """Tries every letter that is due, up to a limit, and forgets what is over; how many it tried."""
        now_us = self._utc_us()
        await self._store.sweep(now_us)
        due = await self._store.due(now_us, _AT_ONCE)
        for waiting in due:
            await self._try(waiting, now_us)
        return len(due)

    async def _try(self, waiting: Waiting, now_us: int) -> None:
        next_us = retry_us(waiting.tries + 1, waiting.created_us, now_us)
        if not await self._store.claim(waiting, now_us if next_us is None else next_us):
            return
        outcome = "sent"
        try:
            await self._transport.send(self._write(waiting))
        except MailFailed as e:
            outcome = "refused" if e.is_final else "given_up" if next_us is None else "put_off"
        metrics.letters.labels(outcome).inc()
        if outcome != "put_off":
            await self._store.close(waiting.id)
        if outcome != "sent":
            logger.warning("a letter could not be sent: %s", outcome, extra={"letter": waiting.id})

    async def _keep_going(self) -> None:
        while True:
            self._woken.clear()
            try:
                while await self.round() == _AT_ONCE:
                    pass
            except StoreUnavailable:
                logger.warning("letters wait: the database does not answer")
            except CamrelayError as e:
                logger.error("letters wait: %s", e.code)
            try:
                async with asyncio.timeout(ROUND_S):
                    await self._woken.wait()
            except TimeoutError:
                continue
