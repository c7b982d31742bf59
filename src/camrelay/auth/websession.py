"""Web sessions: a signed-in browser, known by a cookie that says nothing.

The cookie is 256 random bits; only its hash is kept. There is none before somebody signs in, and it changes
whenever they show again who they are, so a cookie that was put into a browser beforehand is worth nothing.
Whoever ends a session ends the media that hang on it in the same tick.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from camrelay.account_store import AccountStore
from camrelay.auth.account import (
    ABSOLUTE_US,
    IDLE_US,
    KEPT_ABSOLUTE_US,
    KEPT_IDLE_US,
    Account,
    SignedIn,
    WebSession,
)
from camrelay.auth.session import Client
from camrelay.errors import StoreUnavailable

#: Browsers that one account can be signed in with; the next one ends the oldest.
MAX_SESSIONS = 50
#: A use is noted when the last note is older: once a minute instead of with every request.
NOTED_US = 60 * 1_000_000
#: How late the end of an unused session can be noticed by what hangs on it.
SWEEP_S = 15.0

_SIGNED_IN = web.RequestKey("signed_in", SignedIn)

logger = logging.getLogger("camrelay.auth")


def signed_in(request: web.Request) -> SignedIn | None:
    """Who sends a request; None when nobody is signed in, or on a route that knows no cookies."""
    return request.get(_SIGNED_IN)


def remember(request: web.Request, person: SignedIn) -> None:
    """Lets the handlers of a request know who sends it."""
    request[_SIGNED_IN] = person


class WebSessions:
    """The sessions of every account.

    Args:
        ended: is told the id of a session that is over, before anything is waited for.
        utc_us: the clock, microseconds of UTC.
    """

    def __init__(
        self,
        store: AccountStore,
        ended: Callable[[str], Awaitable[object]],
        utc_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._store = store
        self._ended = ended
        self._utc_us = utc_us
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look for sessions that are over."""
        self._sweeping = asyncio.create_task(self._keep_sweeping())

    def stop(self) -> None:
        """Looks no more."""
        if self._sweeping is not None:
            self._sweeping.cancel()

    async def begin(self, account: Account, client: Client, *, keep: bool) -> tuple[SignedIn, str]:
        """A new session, and the cookie it is known by; `keep`: it outlives the browser's end."""
        now_us, cookie = self._utc_us(), secrets.token_urlsafe(32)
        session = WebSession(
            id=secrets.token_hex(8),
            account=account.id,
            created_us=now_us,
            used_us=now_us,
            confirmed_us=now_us,
            agent=client.agent,
            network=client.ip_prefix,
            is_kept=keep,
        )
        for oldest in (await self._store.sessions(account.id))[MAX_SESSIONS - 1 :]:
            await self.end(account.id, only=oldest.id)
        await self._store.add_session(session, _digest(cookie))
        return SignedIn(account, session), cookie

    async def find(self, cookie: str) -> SignedIn | None:
        """Who a cookie belongs to, None when it is nobody's or its session is over."""
        found = await self._store.find_session(_digest(cookie))
        now_us = self._utc_us()
        if found is None or not found[0].is_active or not found[1].is_alive(now_us):
            return None
        account, session = found
        if now_us - session.used_us > NOTED_US:
            await self._store.use_session(session.id, now_us)
        return SignedIn(account, session)

    async def confirm(self, session: WebSession) -> str:
        """The new cookie of a session whose owner has shown again who they are; the old one is void."""
        cookie = secrets.token_urlsafe(32)
        await self._store.rotate_session(session.id, _digest(cookie), self._utc_us())
        return cookie

    async def end(self, account: str, *, only: str = "", but: str = "") -> int:
        """Ends the sessions of an account, `only` one, or all `but` one; how many there were."""
        if only:
            await self._ended(only)  # also while the database does not answer
        return await self._tell(await self._store.end_sessions(account=account, only=only, but=but))

    async def sweep(self) -> None:
        """Ends every session whose time is over, and forgets invitations nobody came by."""
        now_us = self._utc_us()
        for kept, lives in ((False, (ABSOLUTE_US, IDLE_US)), (True, (KEPT_ABSOLUTE_US, KEPT_IDLE_US))):
            absolute_us, idle_us = lives
            over = await self._store.end_unused(now_us - absolute_us, now_us - idle_us, kept=kept)
            await self._tell(over)
        await self._store.drop_invitations(now_us)

    async def _tell(self, ids: list[str]) -> int:
        for id in ids:
            await self._ended(id)
        return len(ids)

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except StoreUnavailable:
                logger.warning("sessions that are over cannot be ended: the database does not answer")


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode(errors="replace")).digest()
