"""Passwords: hashed and verified with Argon2id, in threads, a bounded number at a time.

A hash costs 64 MiB and a twentieth of a second on purpose, so the event loop never does one, and a storm of
sign-ins is answered with 429 instead of being queued without end.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from camrelay.errors import TooManyRequests

#: Two at a time leave the other cores to the relay.
THREADS = 2
#: Waiting or running; the last in the queue waits about a second.
QUEUE_LIMIT = 32

T = TypeVar("T")


class Passwords:
    """Hashes passwords.

    Args:
        hasher: None means argon2-cffi's defaults, RFC 9106's second choice (64 MiB, 3 passes).
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(THREADS, "password")
        self._queued = 0
        #: What an unknown account's password is compared with, so that it takes as long as a known one's.
        self._nobody = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """The hash to keep.

        Raises:
            TooManyRequests: too many wait already.
        """
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether this is the password of a hash; with None the answer is no and takes as long.

        Raises:
            TooManyRequests: too many wait already.
        """
        known = self._nobody if password_hash is None else password_hash
        return await self._run(lambda: self._matches(known, password)) and password_hash is not None

    def close(self) -> None:
        """Lets go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (Argon2Error, InvalidHashError):
            return False

    async def _run(self, act: Callable[[], T]) -> T:
        if self._queued >= QUEUE_LIMIT:
            raise TooManyRequests("too many are signing in at the moment")
        self._queued += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, act)
        future.add_done_callback(self._done)
        # Whoever goes away leaves a thread busy, and so keeps a place in the queue.
        return await asyncio.shield(future)

    def _done(self, _: object) -> None:
        self._queued -= 1
