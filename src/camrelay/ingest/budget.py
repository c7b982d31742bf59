"""Who may show credentials to a camera now: one budget of refusals for RTSP and ONVIF, kept across restarts.

Rules:

- Nobody shows an account that was refused twice, until half an hour has passed (camera fault F11).
- As many show an unproven account at once as it has refusals left: sixteen channels of a recorder with a
  wrong password are two attempts, not sixteen. One that was accepted is proven, and waits for nobody.
- While a camera plays with an account, a refusal of it elsewhere is that place's own: the channel of a
  recorder that the account may not watch does not take the others along.
- What is remembered names no account: an address, name and password become a mark that tells nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from camrelay.errors import CameraAuthFailed, CredentialsOnHold, StoreUnavailable
from camrelay.ingest.refusals import HOLD_US, Refusals
from camrelay.model import Refusal
from camrelay.sealing import KEY_BYTES, Seal

logger = logging.getLogger("camrelay.ingest")


class Ledger(Protocol):
    """Where refusals outlive the process. Its errors are StoreUnavailable."""

    async def refusals(self) -> dict[str, Refusal]:
        """All that is kept."""

    async def keep_refusal(self, account: str, refusal: Refusal, *, forget_before_us: int) -> None:
        """Keeps one, and forgets those that are older than a moment."""

    async def forget_refusal(self, account: str) -> None:
        """Forgets one."""


class Budget:
    """The refusals that every account has left.

    Args:
        ledger: where they are kept; without one, in this object.
        seal: makes the marks; without one, they mean nothing outside this object.
    """

    def __init__(self, ledger: Ledger | None = None, seal: Seal | None = None) -> None:
        self._ledger = ledger
        self._seal = seal or Seal(secrets.token_bytes(KEY_BYTES))
        self._refusals = Refusals()
        self._proven: set[str] = set()
        self._showing: Counter[str] = Counter()
        self._playing: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    async def open(self) -> None:
        """Learns what was kept.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        if self._ledger is not None:
            self._refusals = Refusals(await self._ledger.refusals())

    def account(self, address: str, username: str, password: str) -> str:
        """The mark of an account at an IP address; "" of nobody, who can be refused as often as you like."""
        return self._seal.mark(f"{address}\n{username}\n{password}") if username or password else ""

    @contextlib.asynccontextmanager
    async def showing(self, account: str) -> AsyncIterator[None]:
        """Around an attempt that shows an account; counts the CameraAuthFailed that ends it.

        Raises:
            CredentialsOnHold: it must not be shown now.
        """
        if not account:
            yield
            return
        async with self._changed:
            await self._changed.wait_for(lambda: self._may_show(account))
        self._showing[account] += 1
        try:
            yield
        except CameraAuthFailed:
            await self._refused(account)
            raise
        finally:
            self._showing -= Counter((account,))
            await self._tell()

    async def accepted(self, account: str) -> None:
        """A camera took an account."""
        if not account or account in self._proven:
            return
        self._proven.add(account)
        if self._refusals.accepted(account) and self._ledger is not None:
            with _warning():
                await self._ledger.forget_refusal(account)
        await self._tell()

    @contextlib.contextmanager
    def playing(self, account: str) -> Iterator[None]:
        """While a camera plays with an account."""
        self._playing[account] += 1
        try:
            yield
        finally:
            self._playing -= Counter((account,))

    def _may_show(self, account: str) -> bool:
        now_us = _now_us()
        held_until_us = self._refusals.held_until_us(account, now_us)
        if held_until_us is not None:
            raise CredentialsOnHold(held_until_us)
        return account in self._proven or self._showing[account] < self._refusals.left(account, now_us)

    async def _refused(self, account: str) -> None:
        if self._playing[account]:
            return
        self._proven.discard(account)
        now_us = _now_us()
        refusal = self._refusals.refused(account, now_us)
        if self._ledger is not None:
            with _warning():
                await self._ledger.keep_refusal(account, refusal, forget_before_us=now_us - HOLD_US)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@contextlib.contextmanager
def _warning() -> Iterator[None]:
    """What cannot be kept still counts until the process ends."""
    try:
        yield
    except StoreUnavailable:
        logger.warning("a refused password cannot be remembered across a restart: no database")


def _now_us() -> int:
    return time.time_ns() // 1000
