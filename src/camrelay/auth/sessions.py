"""The media sessions that are alive, and what ends them: expiry, revocation, silence.

Nothing here waits while it changes state, so a revocation never meets a half-made session. The end of a
viewing is on its way to the log before its outputs hear of it; a session takes its viewings along in the same
tick.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import secrets
from collections import Counter
from collections.abc import Callable

from camrelay import metrics
from camrelay.auth.journal import Journal, consume
from camrelay.auth.lease import Handle, HandleKind, Leases, disguised
from camrelay.auth.policy import Authority
from camrelay.auth.session import Client, MediaSession, SessionInfo, Viewing
from camrelay.errors import AuditError, Overloaded, ScopeDenied, SessionEnded
from camrelay.model import CameraId, EndReason, Protocol, Viewer

#: A session nobody uses keeps its place this long; a paused player may come back to it.
SESSION_IDLE_S = 600.0
#: Enough for a page that reconnects over and over while its old connections time out.
MAX_VIEWINGS = 8
#: Ended sessions that are told apart from ones that never were: about 3 MB.
DEAD_LIMIT = 20_000

logger = logging.getLogger("camrelay.auth")


class Sessions:
    """Every media session, by id, by the hash of its secret and by what its authority hangs on.

    Args:
        max_sessions: beyond it, opening raises Overloaded.
        hls_idle_timeout_s: an HLS viewing without a request for this long is over.
        now, utc_us: the clocks, monotonic seconds and microseconds of UTC.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        max_sessions: int,
        hls_idle_timeout_s: float,
        now: Callable[[], float],
        utc_us: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._max_sessions = max_sessions
        self._hls_idle_timeout_s = hls_idle_timeout_s
        self._now = now
        self._utc_us = utc_us
        self._closing = False
        self._sessions: dict[str, MediaSession] = {}
        self._by_digest: dict[bytes, MediaSession] = {}
        self._dead: dict[bytes, EndReason] = {}
        self._viewings: dict[str, Viewing] = {}
        #: Viewings running now, by camera.
        self.viewers: Counter[CameraId] = Counter()
        #: Until when sessions may go on, and until when they and their HLS viewings may stay silent.
        self._leases = Leases()
        self._silences = Leases()

    def get(self, id: str) -> MediaSession | None:
        """The session of a public id."""
        return self._sessions.get(id)

    def by_secret(self, secret: str) -> MediaSession | None:
        """The session whose URLs carry `secret`, alive or due to end at the next tick."""
        return self._by_digest.get(_digest(secret))

    def admit(self, secret: str) -> MediaSession:
        """The living session whose URLs carry `secret`.

        Raises:
            SessionEnded: there was one.
            ScopeDenied: there was none, or too long ago.
        """
        digest = _digest(secret)
        session = self._by_digest.get(digest)
        if session is not None and self._now() >= session.deadline:
            self.end(session, EndReason.EXPIRED)
        if digest in self._dead:
            raise SessionEnded(self._dead[digest])
        if session is None:
            raise ScopeDenied("unknown_session")
        return session

    def open(
        self,
        camera: CameraId,
        authority: Authority,
        deadline: float,
        client: Client,
        secret: str | None = None,
    ) -> MediaSession:
        """A new session until `deadline`; without a secret it carries one viewing and ends with it."""
        if self._closing:
            raise Overloaded("the server is stopping")
        if len(self._sessions) >= self._max_sessions:
            raise Overloaded("too many media sessions")
        session = MediaSession(
            id=secrets.token_hex(8),
            camera=camera,
            authority=authority,
            deadline=deadline,
            client=client,
            opened_us=self._utc_us(),
            digest=None if secret is None else _digest(secret),
        )
        self._sessions[session.id] = session
        self._leases.add(session.id, deadline, _handles(session))
        self._silences.add(session.id, self._now() + SESSION_IDLE_S)
        if session.digest is not None:
            self._by_digest[session.digest] = session
        metrics.media_sessions.set(len(self._sessions))
        logger.info("media session opened", extra={"camera": camera, "session": session.id})
        return session

    def renew(self, session: MediaSession, authority: Authority, deadline: float) -> None:
        """Gives a living session another authority and its end."""
        session.authority, session.deadline = authority, deadline
        self._leases.renew(session.id, deadline, _handles(session))

    def begin(self, session: MediaSession, client: Client, protocol: Protocol) -> Viewing:
        """A new viewing in a living session; its media may be sent once `recorded` is done."""
        if len(session.viewings) >= MAX_VIEWINGS:
            raise Overloaded("too many viewings in this media session")
        viewer = Viewer(
            id=secrets.token_hex(8),
            session=session.id,
            camera=session.camera,
            protocol=protocol,
            subject=session.authority.subject,
        )
        viewing = Viewing(viewer, self._now(), self._utc_us())
        session.viewings[viewer.id] = self._viewings[viewer.id] = viewing
        self._silences.remove(session.id)
        if protocol is Protocol.HLS:
            session.hls = viewing
            self._silences.add(viewer.id, self._now() + self._hls_idle_timeout_s)
        self.viewers[session.camera] += 1
        metrics.viewers.labels(session.camera, protocol).inc()
        # First of all callbacks, so that no output can come between the end and its record.
        viewer.on_end(functools.partial(self._ended, session, viewing))
        viewing.recorded = asyncio.ensure_future(self._record_start(viewing, client))
        # Whoever waits hears of a failure; when nobody does any more, it is no fault.
        viewing.recorded.add_done_callback(consume)
        return viewing

    def end(self, session: MediaSession, reason: EndReason) -> None:
        """Ends a session and its viewings; nothing happens when it is over."""
        if self._sessions.pop(session.id, None) is None:
            return
        self._leases.remove(session.id)
        self._silences.remove(session.id)
        if session.renewing is not None:
            session.renewing.cancel()
        if session.digest is not None:
            del self._by_digest[session.digest]
            if len(self._dead) >= DEAD_LIMIT:
                del self._dead[next(iter(self._dead))]
            self._dead[session.digest] = reason
        for viewing in list(session.viewings.values()):
            try:
                viewing.viewer.end(reason)
            except Exception:
                # One output that fails to stop must not keep the others running.
                logger.exception("a viewing did not end cleanly", extra={"session": session.id})
        metrics.media_sessions.set(len(self._sessions))
        logger.info("media session over: %s", reason, extra={"camera": session.camera, "session": session.id})

    def revoke(self, handle: Handle, reason: EndReason) -> int:
        """Ends every session that hangs on `handle`; returns how many."""
        ids = self._leases.revoke(disguised(handle))
        for id in ids:
            self.end(self._sessions[id], reason)
        return len(ids)

    def end_private(self, reason: EndReason) -> int:
        """Ends every session but those of public cameras; returns how many."""
        private = [each for each in self._sessions.values() if each.authority.method != "public"]
        for session in private:
            self.end(session, reason)
        return len(private)

    def tick(self) -> None:
        """Ends what is over by now: leases first, then viewings and sessions that have gone silent."""
        now = self._now()
        for id in self._leases.expire(now):
            self.end(self._sessions[id], EndReason.EXPIRED)
        for id in self._silences.expire(now):
            viewing = self._viewings.get(id)
            if viewing is None:
                self.end(self._sessions[id], EndReason.CLIENT_GONE)
            elif (until := self._silent_until(viewing, now)) > now:
                self._silences.add(id, until)
            else:
                viewing.viewer.end(EndReason.CLIENT_GONE)

    def next_deadline(self) -> float | None:
        """When a lease may end next."""
        return self._leases.next_deadline()

    def close(self, reason: EndReason) -> None:
        """Ends every session and opens no more."""
        self._closing = True
        for session in list(self._sessions.values()):
            self.end(session, reason)

    def infos(self) -> list[SessionInfo]:
        """Every session as the API shows it, oldest first."""
        return [session.info() for session in self._sessions.values()]

    async def _record_start(self, viewing: Viewing, client: Client) -> None:
        try:
            await self._journal.start(viewing, client)
        except AuditError:
            viewing.viewer.end(EndReason.AUDIT_UNAVAILABLE)
            raise
        viewing.recorded = None

    def _ended(self, session: MediaSession, viewing: Viewing, reason: EndReason) -> None:
        viewer = viewing.viewer
        del self._viewings[viewer.id], session.viewings[viewer.id]
        if session.hls is viewing:
            session.hls = None
            self._silences.remove(viewer.id)
        self.viewers[viewer.camera] -= 1
        metrics.viewers.labels(viewer.camera, viewer.protocol).dec()
        # A start that could not be made durable in time the log closes itself.
        if reason is not EndReason.AUDIT_UNAVAILABLE:
            self._journal.stop(viewing, reason)
        if session.digest is None:
            self.end(session, reason)
        elif not session.viewings and session.id in self._sessions:
            self._silences.add(session.id, self._now() + SESSION_IDLE_S)

    def _silent_until(self, viewing: Viewing, now: float) -> float:
        # A slow viewer can need longer than the timeout for one segment; it is there while bytes move.
        if viewing.viewer.bytes_sent != viewing.bytes_seen:
            viewing.bytes_seen = viewing.viewer.bytes_sent
            viewing.used_at = now
        return viewing.used_at + self._hls_idle_timeout_s


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _handles(session: MediaSession) -> tuple[Handle, ...]:
    # What is withdrawn elsewhere comes without names.
    return (Handle(HandleKind.SESSION, session.id), *map(disguised, session.authority.handles))
