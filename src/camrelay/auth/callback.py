"""Asks the operator's service who may watch, as MediaMTX does, and asks again before the answer is too old.

An answer counts for `lease_s`. What runs by it is asked about again, and ends when the service refuses or has
been silent until the lease is over. Credentials are sent to the service and kept in memory for as long as the
session lives; they go nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable

import aiohttp
import msgspec
from aiohttp import web

from camrelay import config, metrics
from camrelay.auth.journal import Attempt
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.policy import Authority
from camrelay.auth.question import Question, admits, authority, question
from camrelay.auth.session import MediaSession
from camrelay.auth.sessions import Sessions
from camrelay.errors import AccessDenied, CallbackFailed, TokenMissing
from camrelay.model import EndReason

#: At this part of a lease it is asked for again; the rest is for a service that fails, tried RETRIES times.
RENEW_AT = 0.7
RETRIES = 3

logger = logging.getLogger("camrelay.auth")


class Callback:
    """The service behind a URL.

    Args:
        now: the clock of leases, monotonic seconds.
    """

    def __init__(self, options: config.Callback, now: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._now = now
        self._asking = 0
        self._is_failing = False

    def question(self, request: web.Request, attempt: Attempt) -> Question | None:
        """What to ask about a request; None when it is ours to refuse."""
        if not self._options.url:
            return None
        return question(
            request.headers.getall("Authorization", ()),
            query=request.query_string,
            ip=attempt.client.address,
            path=attempt.camera,
            # A media session is for both, and its path is that of HLS.
            protocol=attempt.protocol or "hls",
            id=str(uuid.uuid4()),
        )

    async def ask(self, asked: Question) -> tuple[Authority, float]:
        """The authority that the service gives, and the monotonic second it ends at.

        Raises:
            TokenMissing: it refuses.
            CallbackFailed: it does not answer, or has too much to answer already.
        """
        now = self._now()
        if self._asking >= self._options.max_questions:
            metrics.callback_answers.labels("crowded").inc()
            raise CallbackFailed("too many questions to the service of [callback] are without an answer")
        self._asking += 1
        try:
            answer = await self._post(asked)
        finally:
            self._asking -= 1
        if answer is None:
            metrics.callback_answers.labels("failed").inc()
            raise CallbackFailed("the service of [callback] that decides who may watch does not answer")
        metrics.callback_answers.labels("admitted" if answer else "refused").inc()
        if not answer:
            raise TokenMissing("callback_refused")
        return authority(asked), now + self._options.lease_s

    def keep(self, session: MediaSession, asked: Question | None, sessions: Sessions) -> None:
        """Asks the same again for as long as a session lives; nothing more is asked for one without."""
        if session.renewing is not None:
            session.renewing.cancel()
        session.renewing = (
            None if asked is None else asyncio.create_task(self._keep_asking(session, asked, sessions))
        )

    async def _keep_asking(self, session: MediaSession, asked: Question, sessions: Sessions) -> None:
        # The end of the session, its lease's too, cancels this.
        lease_s = self._options.lease_s
        wait_s = lease_s * RENEW_AT
        while True:
            await asyncio.sleep(wait_s)
            try:
                given, deadline = await self.ask(asked)
            except CallbackFailed:
                wait_s = lease_s * (1 - RENEW_AT) / RETRIES
            except AccessDenied:
                sessions.revoke(Handle(HandleKind.SESSION, session.id), EndReason.REVOKED)
                return
            else:
                sessions.renew(session, given, deadline)
                wait_s = lease_s * RENEW_AT

    async def _post(self, asked: Question) -> bool | None:
        """What the service says; None when it fails."""
        headers = {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(self._options.timeout_s),
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
                client.post(
                    self._options.url,
                    data=msgspec.json.encode(asked),
                    headers=headers,
                    allow_redirects=False,
                ) as answer,
            ):
                verdict = admits(answer.status)
        except (OSError, ValueError, TimeoutError, aiohttp.ClientError) as error:
            self._tell_failure(type(error).__name__)
            return None
        if verdict is None:
            self._tell_failure(str(answer.status))
        else:
            self._is_failing = False
        return verdict

    def _tell_failure(self, how: str) -> None:
        # Once, and without the error's text, which has the URL in it.
        if not self._is_failing:
            logger.error("the service of [callback] does not answer (%s); nobody is admitted by it", how)
        self._is_failing = True


#: Where the operator has named no service.
NOBODY_TO_ASK = Callback(config.Callback())
