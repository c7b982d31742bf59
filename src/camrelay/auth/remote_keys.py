"""Fetches the keys that tenants' backends publish: regularly, and when a token names one that is unknown.

A backend is asked directly, over TLS or on this machine; it cannot send us elsewhere, keep us waiting, or
fill our memory. While it fails, its last keys count for their time, and nobody else's are touched.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import aiohttp
from aiohttp import web

from camrelay import metrics
from camrelay.auth.jwks import MAX_BYTES, KeySet
from camrelay.auth.showing import token_in
from camrelay.auth.token import VerificationKey, key_named_by
from camrelay.config import TenantKeySet
from camrelay.errors import AccessDenied, BadKeySet

#: The connect and the answer together; a request that shows an unknown key waits as long.
ANSWER_S = 5.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

logger = logging.getLogger("camrelay.auth")


class RemoteKeys:
    """The published keys of every tenant.

    Args:
        withdrawn: is told the id of a key that its backend publishes no longer.
        now: the clock, monotonic seconds.
    """

    def __init__(
        self,
        options: Sequence[TenantKeySet],
        withdrawn: Callable[[str], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sets = [KeySet(each) for each in options]
        self._withdrawn = withdrawn
        self._now = now
        self._asking: dict[KeySet, asyncio.Task[None]] = {}
        self._failing: set[KeySet] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def believed(self) -> dict[str, VerificationKey]:
        """Every key that is believed now, by id; of one id, that of the first backend."""
        now = self._now()
        return {kid: key for each in reversed(self._sets) for kid, key in each.keys(now).items()}

    def start(self) -> None:
        """Begins to fetch. Nobody waits for it: a backend that is down keeps only its own viewers out."""
        self._tasks = [asyncio.create_task(self._keep_fetching(each)) for each in self._sets]

    async def close(self) -> None:
        """Fetches no more."""
        tasks = [*self._tasks, *self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look_for(self, kid: str) -> None:
        """Returns when a key is known, or every backend that may be asked for it has answered."""
        if not self._sets or kid in self.believed():
            return
        now = self._now()
        asking = [self._ask(each) for each in self._sets if each in self._asking or each.may_ask(now)]
        if asking:
            await asyncio.wait(asking)

    def knowing(self, handler: Handler) -> Handler:
        """The handler of a route that tokens come to: their keys are looked for first."""

        async def handle(request: web.Request) -> web.StreamResponse:
            raw = None
            with suppress(AccessDenied):  # whoever judges the token says so
                raw = token_in(request, may_be_in_query=True)
            kid = None if raw is None else key_named_by(raw)
            if kid is not None:
                await self.look_for(kid)
            return await handler(request)

        return handle

    async def _keep_fetching(self, key_set: KeySet) -> None:
        while True:
            if not key_set.due_in_s(self._now()):
                await asyncio.wait([self._ask(key_set)])
            await asyncio.sleep(key_set.due_in_s(self._now()))

    def _ask(self, key_set: KeySet) -> asyncio.Task[None]:
        task = self._asking.get(key_set)
        if task is None:
            key_set.asked(self._now())
            task = self._asking[key_set] = asyncio.create_task(self._fetch(key_set))
            task.add_done_callback(lambda _: self._asking.pop(key_set))
        return task

    async def _fetch(self, key_set: KeySet) -> None:
        tenant = key_set.options.tenant
        try:
            async with asyncio.timeout(ANSWER_S):
                document = await _get(key_set.options.url)
            gone = key_set.learn(document, self._now())
        except (OSError, ValueError, TimeoutError, aiohttp.ClientError, BadKeySet) as error:
            metrics.jwks_fetches.labels(tenant, "failed").inc()
            if key_set not in self._failing:
                # The text of the error may repeat what the backend said.
                logger.error("the keys of tenant %s cannot be fetched (%s)", tenant, type(error).__name__)
            self._failing.add(key_set)
            return
        metrics.jwks_fetches.labels(tenant, "fetched").inc()
        self._failing.discard(key_set)
        for kid in gone:
            if kid not in self.believed():
                self._withdrawn(kid)


async def _get(url: str) -> bytes:
    """What stands at a URL, up to one byte too many; OSError for an answer that is not 200."""
    headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as session,
        session.get(url, headers=headers, allow_redirects=False) as answer,
    ):
        if answer.status != 200:
            raise OSError(f"the backend answered {answer.status}")
        document = b""
        while len(document) <= MAX_BYTES and (some := await answer.content.read(MAX_BYTES)):
            document += some
        return document
