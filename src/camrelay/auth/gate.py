"""The gate: the only maker of a Viewer. No record, no media; no lease, no more media.

A request shows a path secret or a grant token, comes from somebody who is signed in, or asks for a public
camera. The first use of a media session by a protocol waits until its start is on record; after that a
request costs one hash and one lookup. Whatever ends the authority ends the session, and its viewers hear of
it in the same tick.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from aiohttp import web

from camrelay import metrics
from camrelay.auth.api_key import ApiKeys
from camrelay.auth.callback import NOBODY_TO_ASK, Callback
from camrelay.auth.client import address_prefix, agent_family, client_address, parse_networks
from camrelay.auth.journal import Attempt, Journal
from camrelay.auth.keys import KeyRing
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.permission import Permissions
from camrelay.auth.policy import Authority, decide
from camrelay.auth.question import Question
from camrelay.auth.revocation import Revocation, RevocationFile
from camrelay.auth.revocation_reader import RevocationReader, tell_nobody
from camrelay.auth.sent_away import SentAway
from camrelay.auth.session import Client, MediaSession, OpenedSession, SessionInfo
from camrelay.auth.sessions import Sessions
from camrelay.auth.share import NOTHING_SHARED, Book
from camrelay.auth.showing import check_site
from camrelay.auth.token import CLOCK_SKEW_US
from camrelay.auth.verifier import Verifier
from camrelay.auth.websession import signed_in
from camrelay.config import Auth, Camera
from camrelay.errors import (
    AccessDenied,
    Overloaded,
    ScopeDenied,
    SessionEnded,
    TokenError,
)
from camrelay.model import AccessEvent, Action, CameraId, EndReason, Protocol, Viewer

#: How late an expiry can be noticed; a request after the deadline is refused without waiting for it.
TICK_S = 0.25
#: One summary a minute for denials that got no line of their own.
SUMMARY_S = 60.0

#: Revocations of these outlive a restart; the others end what runs now.
_LASTING = {HandleKind.TOKEN, HandleKind.KEY, HandleKind.ACCOUNT, HandleKind.TENANT}

logger = logging.getLogger("camrelay.auth")


class Gate:
    """Turns requests into viewers, for as long as their authority lasts.

    Args:
        keys, revocations: what tokens are checked against; both are read again and again.
        cameras: the camera of an id, None when there is none.
        record: writes an access event; its awaitable is done when the event is durable.
        book: what owners have given to others.
        api_keys: what programs show for months.
        callback: whom to ask about what is not judged here.
        publish: tells other relays of a revocation; its awaitable is done when they can know.
        is_fed: whether what other relays revoke is heard of.
        trusted_proxies: addresses and networks whose X-Forwarded-For is believed.
        hls_idle_timeout_s: an HLS viewing without a request for this long is over.
        now, utc_us: the clocks, monotonic seconds and microseconds of UTC.

    Attributes:
        permissions: what requests may do besides watching.
    """

    def __init__(
        self,
        options: Auth,
        keys: KeyRing,
        revocations: RevocationFile,
        cameras: Callable[[str], Camera | None],
        record: Callable[[AccessEvent], Awaitable[None]],
        *,
        book: Book = NOTHING_SHARED,
        api_keys: ApiKeys | None = None,
        callback: Callback = NOBODY_TO_ASK,
        publish: Callable[[Revocation], Awaitable[None]] = tell_nobody,
        is_fed: Callable[[], bool] = lambda: True,
        trusted_proxies: Collection[str] = (),
        hls_idle_timeout_s: float = 30.0,
        now: Callable[[], float] = time.monotonic,
        utc_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._options = options
        self._reader = RevocationReader(keys, revocations, self.learn, now)
        self._cameras = cameras
        self._book = book
        self._callback = callback
        self._publish = publish
        self._is_fed = is_fed
        self._trusted_proxies = parse_networks(trusted_proxies)
        self._now = now
        self._utc_us = utc_us
        self._verifier = Verifier(options, lambda: keys.verification, api_keys)
        self.permissions = Permissions(self._verifier, options, book, now, utc_us)
        self._journal = Journal(record, now, utc_us)
        self._sessions = Sessions(
            self._journal,
            max_sessions=options.max_sessions,
            hls_idle_timeout_s=hls_idle_timeout_s,
            now=now,
            utc_us=utc_us,
        )
        self._sent_away = SentAway()
        self._summary_at = now() + SUMMARY_S
        self._timer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Reads the revocations, then keeps time until `close`.

        Raises:
            OSError: they cannot be read; without them no private camera may be shown.
        """
        horizon_us = self._utc_us() - self._options.max_token_life_s * 1_000_000 - CLOCK_SKEW_US
        await self._reader.start(horizon_us)
        self._timer = asyncio.create_task(self._keep_time())

    async def close(self, reason: EndReason = EndReason.SERVER_STOP) -> None:
        """Ends every session, admits nobody any more, and returns when the stops are on record."""
        await self._reader.close()
        if self._timer is not None:
            self._timer.cancel()
        self._sessions.close(reason)
        self._journal.summarize_denials()
        await self._journal.flush()

    async def open_session(self, request: web.Request, camera: str) -> OpenedSession:
        """Exchanges a grant, or a public camera, for a media session.

        Raises:
            AccessDenied: the request has no authority over this camera.
            Overloaded: there are `max_sessions` already.
        """
        attempt = self._attempt(request, camera)
        with self._journal.denials_of(attempt):
            secret = secrets.token_urlsafe(20)
            session = await self._open(request, attempt, Action.WATCH, secret)
        return OpenedSession(session.id, secret, session.camera, session.expires_us)

    async def renew_session(self, request: web.Request, id: str) -> SessionInfo:
        """Moves a session's end to that of the request's grant, without a gap.

        Raises:
            ScopeDenied: no such session, or the grant does not reach its camera.
            AccessDenied: the grant is somebody else's.
        """
        session = self._sessions.get(id)
        attempt = self._attempt(request, session.camera if session else "")
        with self._journal.denials_of(attempt):
            if session is None:
                raise ScopeDenied("unknown_session")
            attempt.session = id
            authority, deadline, question = await self._judge(request, attempt, Action.WATCH)
            if (authority.subject, authority.method) != (session.authority.subject, session.authority.method):
                raise AccessDenied("another_subject")
            self._sessions.renew(session, authority, deadline)
            self._callback.keep(session, question, self._sessions)
        return session.info()

    async def authorize(
        self, request: web.Request, camera: str, protocol: Protocol, action: Action = Action.WATCH
    ) -> Viewer:
        """The viewing that this request belongs to, or begins.

        HLS requests of one media session share a viewing, which ends by itself when they stop; any other
        request begins its own, and whoever gets it ends it.

        Raises:
            SessionEnded: the media session is over.
            AccessDenied: there is no authority.
            Overloaded, AuditUnavailable: there is, but no room, or no record.
        """
        secret = request.match_info.get("secret")
        if secret is not None and protocol is Protocol.HLS and action is Action.WATCH:
            viewer = self.running(secret, camera)
            if viewer is not None:
                return viewer
        return await self._admit(request, secret, camera, protocol, action)

    def may_begin(self, request: web.Request) -> bool:
        """Whether a request may begin a viewing with `authorize`; not when it belongs to one that runs."""
        camera, secret = request.match_info["camera"], request.match_info.get("secret")
        if secret is not None:
            session = self._sessions.by_secret(secret)
            return session is not None and session.camera == camera and session.hls is None
        if (found := self._cameras(camera)) is None:
            return False
        with suppress(AccessDenied):
            if self.permissions.may_watch(request)(found):
                return True
        return self._callback.question(request, self._attempt(request, camera)) is not None

    def running(self, secret: str, camera: str) -> Viewer | None:
        """The HLS viewing that a media session's secret leads to; None when `authorize` has to decide.

        Being asked counts as a request of the viewing.
        """
        session = self._sessions.by_secret(secret)
        if session is None or (viewing := session.hls) is None or viewing.recorded is not None:
            return None
        if self._options.bind_network:
            return None  # where the request comes from is not known here
        now = self._now()
        if now >= session.deadline or session.camera != camera:
            return None
        viewing.used_at = now
        return viewing.viewer

    async def revoke(self, handle: Handle, reason: EndReason = EndReason.REVOKED) -> int:
        """Ends every session that hangs on `handle` before the first wait, and returns how many.

        A token, a key, an account's or a tenant's earlier tokens stay refused, after a restart too.

        Raises:
            NotReady: it holds here but could not be stored: a restart would forget it, or other relays do not
                know of it.
        """
        revocation = Revocation(handle.kind, handle.id, self._utc_us())
        ended = self._withdraw(revocation, reason)
        try:
            await self._publish(revocation)
        finally:
            if handle.kind in _LASTING:
                await self._reader.store(revocation)
        return ended

    def learn(self, revocation: Revocation) -> int:
        """Does here what was revoked elsewhere; returns how many sessions ended."""
        return self._withdraw(revocation, EndReason.REVOKED)

    def cut(self, handle: Handle, reason: EndReason = EndReason.REVOKED) -> int:
        """Ends every session that hangs on `handle` here, and returns how many. Others may begin by it."""
        return self._sessions.revoke(handle, reason)

    def cut_private(self) -> int:
        """Ends every session of what is not public, whose rights nobody knows; returns how many."""
        return self._sessions.end_private(EndReason.RIGHTS_UNKNOWN)

    async def send_away(self, id: str) -> bool:
        """Ends a session, and keeps its viewer from the camera for a while, unless it is their own.

        Returns:
            False when there is no such session.
        """
        session = self._sessions.get(id)
        if session is None:
            return False
        if session.authority.method != "account":
            self._sent_away.add(session.camera, session.authority.subject, self._now())
        await self.revoke(Handle(HandleKind.SESSION, id))
        return True

    def sessions(self) -> list[SessionInfo]:
        """Every session that is alive, oldest first."""
        return self._sessions.infos()

    def viewers(self, camera: str) -> int:
        """How many viewings of a camera are running."""
        return self._sessions.viewers[CameraId(camera)]

    async def _admit(
        self, request: web.Request, secret: str | None, camera: str, protocol: Protocol, action: Action
    ) -> Viewer:
        attempt = self._attempt(request, camera, protocol)
        with self._journal.denials_of(attempt):
            session = await self._session(request, secret, attempt, action)
            viewing = session.hls if protocol is Protocol.HLS else None
            viewing = viewing or self._sessions.begin(session, attempt.client, protocol)
            viewing.used_at = self._now()
            viewer = viewing.viewer
            try:
                if viewing.recorded is not None:
                    await asyncio.shield(viewing.recorded)
            except asyncio.CancelledError:
                # Whoever should have ended it has gone away; an HLS viewing is for others too.
                if protocol is not Protocol.HLS:
                    viewer.end(EndReason.CLIENT_GONE)
                raise
            if viewer.end_reason is not None:
                raise SessionEnded(viewer.end_reason)
        return viewer

    async def _session(
        self, request: web.Request, secret: str | None, attempt: Attempt, action: Action
    ) -> MediaSession:
        camera = CameraId(attempt.camera)
        if secret is None:
            return await self._open(request, attempt, action)
        session = self._sessions.admit(secret)
        attempt.session, attempt.subject = session.id, session.authority.subject
        if session.camera != camera:
            raise ScopeDenied("camera_not_granted")
        if self._options.bind_network and attempt.client.ip_prefix != session.client.ip_prefix:
            raise AccessDenied("another_network")
        if action not in session.authority.actions:
            raise AccessDenied("action_not_granted")
        return session

    async def _open(
        self, request: web.Request, attempt: Attempt, action: Action, secret: str | None = None
    ) -> MediaSession:
        authority, deadline, question = await self._judge(request, attempt, action)
        session = self._sessions.open(CameraId(attempt.camera), authority, deadline, attempt.client, secret)
        self._callback.keep(session, question, self._sessions)
        return session

    async def _judge(
        self, request: web.Request, attempt: Attempt, action: Action
    ) -> tuple[Authority, float, Question | None]:
        """The authority of a request without a secret, the monotonic second it ends at, what was asked."""
        try:
            return *self._decide(request, attempt, action), None
        except TokenError:
            question = self._callback.question(request, attempt)
            if question is None:
                raise
        authority, deadline = await self._callback.ask(question)
        attempt.subject = authority.subject
        if self._cameras(attempt.camera) is None:
            raise ScopeDenied("unknown_camera")
        return *self._lasting(attempt, authority, deadline), question

    def _decide(self, request: web.Request, attempt: Attempt, action: Action) -> tuple[Authority, float]:
        """The authority that is known here, and the monotonic second it ends at."""
        check_site(request, self._book.origins(attempt.camera))
        raw, grant, deadline = self.permissions.token(request), None, math.inf
        if raw is not None:
            grant, deadline = self._verifier.verify(raw, self._now(), self._utc_us())
            attempt.subject = grant.subject
        person = signed_in(request) if raw is None else None
        if person is not None:
            attempt.subject = person.account.id
        now_us, found = self._utc_us(), self._cameras(attempt.camera)
        authority = decide(CameraId(attempt.camera), found, action, grant, person, self._book, now_us)
        if authority.expires_us is not None:
            # A token seen once keeps its own end on the monotonic clock.
            deadline = min(deadline, self._now() + (authority.expires_us - now_us) / 1e6)
        return self._lasting(attempt, authority, deadline)

    def _lasting(self, attempt: Attempt, authority: Authority, deadline: float) -> tuple[Authority, float]:
        if self._sent_away.is_away(attempt.camera, authority.subject, self._now()):
            raise SessionEnded(EndReason.REVOKED)
        if authority.method != "public" and (self._reader.is_stale or not self._is_fed()):
            raise Overloaded("revocations cannot be read")
        self._journal.allow(authority.method)
        return authority, deadline

    def _withdraw(self, revocation: Revocation, reason: EndReason) -> int:
        if revocation.kind in _LASTING:
            self._verifier.revoke(revocation.handle, revocation.at_us)
        ended = self._sessions.revoke(revocation.handle, reason)
        if ended:
            metrics.revocation.observe(max(0, self._utc_us() - revocation.at_us) / 1e6)
        return ended

    def client(self, request: web.Request) -> Client:
        """Where a request comes from."""
        forwarded_for = request.headers.getall("X-Forwarded-For", ())
        address = client_address(request.remote, forwarded_for, self._trusted_proxies)
        text, agent = "" if address is None else str(address), request.headers.get("User-Agent", "")
        return Client(text, address_prefix(address), agent_family(agent))

    def _attempt(self, request: web.Request, camera: str, protocol: str = "") -> Attempt:
        return Attempt(camera, protocol, self.client(request))

    async def _keep_time(self) -> None:
        while True:
            try:
                self._sessions.tick()
                if self._now() >= self._summary_at:
                    self._summary_at = self._now() + SUMMARY_S
                    self._journal.summarize_denials()
            except Exception:
                logger.exception("the gate could not end everything that is over")
            deadline = self._sessions.next_deadline()
            wait_s = TICK_S if deadline is None else min(TICK_S, max(0.0, deadline - self._now()))
            await asyncio.sleep(wait_s)
