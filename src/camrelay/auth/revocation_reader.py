"""Keys and revocations that other processes of this machine write, read again twice a second."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from camrelay.auth.keys import KeyRing
from camrelay.auth.revocation import Revocation, RevocationFile
from camrelay.errors import ConfigError, NotReady

#: How late a revocation made by another process can be noticed.
POLL_S = 0.5
#: Revocations not read for this long: a grant may have been withdrawn without our knowing.
STALE_S = 5.0

logger = logging.getLogger("camrelay.auth")


async def tell_nobody(_: Revocation) -> None:
    """Where no other relay is to know."""


class RevocationReader:
    """Reads both for as long as it runs.

    Args:
        learn: is told every revocation.
        now: the clock, monotonic seconds.
    """

    def __init__(
        self,
        keys: KeyRing,
        revocations: RevocationFile,
        learn: Callable[[Revocation], object],
        now: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._revocations = revocations
        self._learn = learn
        self._now = now
        self._heard_at = -math.inf
        self._task: asyncio.Task[None] | None = None

    @property
    def is_stale(self) -> bool:
        """Whether a grant may have been withdrawn without our knowing."""
        return self._now() - self._heard_at > STALE_S

    async def start(self, horizon_us: int) -> None:
        """Drops what was revoked before `horizon_us`, reads the rest, and goes on reading.

        Raises:
            OSError: they cannot be read; without them no private camera may be shown.
        """
        await asyncio.to_thread(self._revocations.compact, horizon_us)
        await self._read()
        self._task = asyncio.create_task(self._keep_reading())

    async def close(self) -> None:
        """Reads no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def store(self, revocation: Revocation) -> None:
        """Adds a revocation that holds already.

        Raises:
            NotReady: a restart would forget it.
        """
        try:
            await asyncio.to_thread(self._revocations.append, revocation)
        except OSError:
            logger.exception("a revocation could not be stored")
            raise NotReady("the revocation holds now but could not be stored; repeat it") from None

    async def _read(self) -> None:
        for revocation in await asyncio.to_thread(self._revocations.read_new):
            self._learn(revocation)
        self._heard_at = self._now()

    async def _keep_reading(self) -> None:
        readable = True
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await asyncio.to_thread(self._keys.refresh)
                await self._read()
                readable = True
            except (OSError, ConfigError) as error:
                if readable:
                    logger.error("keys or revocations cannot be read (%s)", type(error).__name__)
                readable = False
