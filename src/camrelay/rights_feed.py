"""Keeps a relay up to date with what others on the same database withdraw and change.

Notifications wake it, and it looks by itself every POLL_S, so that a lost notification costs a second. What
it reads it does at once: revocations end what runs here, and cameras, shares and keys are read again. While
it cannot read, nobody knows what was withdrawn: then it closes, first to those who come, then to those who
watch. A relay that has its database to itself has nothing to hear, and never closes for that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from camrelay import metrics
from camrelay.auth.hearing import Hearing, hearing
from camrelay.auth.revocation import Revocation
from camrelay.auth.token import CLOCK_SKEW_US
from camrelay.config import Auth
from camrelay.database import Database
from camrelay.errors import NotReady, StoreUnavailable
from camrelay.news_store import CHANNEL, News, NewsStore

#: How late news is when no notification comes.
POLL_S = 1.0
#: A database that takes longer for a few rows does not answer.
READ_S = 2.0
#: How long it waits before it listens again.
LISTEN_AGAIN_S = 1.0

logger = logging.getLogger("camrelay.auth")


class RightsFeed:
    """News of other relays.

    Args:
        learn: does here what was revoked elsewhere.
        reload: reads cameras, shares and keys again.
        end_private: ends what nobody may be known to watch; how many viewings.
        now: the clock, monotonic seconds.
    """

    def __init__(
        self,
        options: Auth,
        database: Database,
        store: NewsStore,
        *,
        learn: Callable[[Revocation], object],
        reload: Callable[[], Awaitable[None]],
        end_private: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._database = database
        self._store = store
        self._learn = learn
        self._reload = reload
        self._end_private = end_private
        self._now = now
        self._number = 0
        self._heard_at = now()
        self._is_up = True
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_fed(self) -> bool:
        """Whether it is known what other relays have withdrawn."""
        return not self._database.is_shared or self._hearing() is Hearing.FED

    def check(self) -> None:
        """Returns while news is heard.

        Raises:
            NotReady: it is not.
        """
        if not self.is_fed:
            raise NotReady("it is not known which rights other relays have withdrawn: the database is silent")

    async def start(self) -> None:
        """Reads what was withdrawn of all that may be alive, and goes on reading.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        metrics.rights_feed_up.set(1)
        if not self._database.is_shared:
            return
        life_us = self._options.max_token_life_s * 1_000_000 + CLOCK_SKEW_US
        await self._store.compact(time.time_ns() // 1000 - life_us)
        self._apply(await self._store.since(0))
        self._heard_at = self._now()
        errands = (self._keep_listening(), self._keep_reading(), self._keep_closing())
        self._tasks = [asyncio.create_task(errand) for errand in errands]

    async def close(self) -> None:
        """Reads no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _hearing(self) -> Hearing:
        return hearing(self._options, self._heard_at, self._now())

    async def _keep_listening(self) -> None:
        while True:
            try:
                async with self._database.listening(CHANNEL, self._wake.set) as is_over:
                    self._wake.set()  # for what came while nobody listened
                    await is_over.wait()
            except StoreUnavailable:
                pass  # reading tells whether the database is there
            except Exception as error:
                # Whatever a driver does when its server goes, it is asked again. Its texts repeat URLs.
                logger.error("the wait for news of other relays broke off (%s)", type(error).__name__)
            await asyncio.sleep(LISTEN_AGAIN_S)

    async def _keep_reading(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._read()
            except (StoreUnavailable, TimeoutError):
                pass  # _keep_closing tells, when it lasts
            except Exception:
                # Rights that cannot be taken in are as unknown as those that are not heard of.
                logger.exception("news of other relays could not be taken in")

    async def _read(self) -> None:
        heard_at = self._now()
        async with asyncio.timeout(READ_S):
            every = await self._store.since(self._number)
        before = self._number
        self._apply(every)
        if any(news.revocation is None for news in every):
            try:
                await self._reload()
            except BaseException:
                self._number = before  # to be told again
                raise
        self._heard_at = heard_at

    def _apply(self, every: list[News]) -> None:
        for news in every:
            is_own = news.node == self._database.node
            metrics.rights_feed_events.labels("this" if is_own else "others").inc()
            if news.revocation is not None and not is_own:
                self._learn(news.revocation)
            self._number = news.number

    async def _keep_closing(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            state = self._hearing()
            is_up = state is Hearing.FED
            if is_up != self._is_up:
                self._is_up = is_up
                metrics.rights_feed_up.set(is_up)
                logger.log(*_TOLD[is_up])
            if state is Hearing.ENDED and (ended := self._end_private()):
                logger.error("%d sessions of what is not public ended: their rights are not known", ended)


_TOLD = {
    True: (logging.WARNING, "other relays are heard of again"),
    False: (logging.ERROR, "nothing is heard of other relays: nobody is admitted to what is not public"),
}
