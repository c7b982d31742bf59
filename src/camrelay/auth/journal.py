"""What the gate puts on record: the start and stop of every viewing, and denials.

A start is waited for; stops and denials are handed over without waiting, and the log counts what it loses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import msgspec

from camrelay import metrics
from camrelay.auth.flood import Flood
from camrelay.auth.session import Client, Viewing
from camrelay.errors import AccessDenied, CamrelayError, SessionEnded
from camrelay.model import CAMERA_ID_PATTERN, AccessEvent, EndReason, EventType

Record = Callable[[AccessEvent], Awaitable[None]]

#: An attack on the gate may write so many denials at once, then so many a second: 100 MB a day at most.
DENY_BURST = 100
DENY_PER_SECOND = 5.0


class Attempt(msgspec.Struct):
    """A request on its way through the gate; it knows more the further it comes."""

    camera: str
    protocol: str
    client: Client
    subject: str = ""
    session: str = ""


class Journal:
    """Turns what happens at the gate into access events and decision metrics.

    Args:
        record: writes an event; its awaitable is done when the event is durable.
        now, utc_us: the clocks, monotonic seconds and microseconds of UTC.
    """

    def __init__(self, record: Record, now: Callable[[], float], utc_us: Callable[[], int]) -> None:
        self._record = record
        self._now = now
        self._utc_us = utc_us
        self._flood = Flood(burst=DENY_BURST, per_second=DENY_PER_SECOND)
        self._writes: set[asyncio.Future[None]] = set()

    async def start(self, viewing: Viewing, client: Client) -> None:
        """Returns when the start is durable; AuditError when it could not be made so."""
        event = self._event(viewing, EventType.START, viewing.started_us)
        await self._record(msgspec.structs.replace(event, address=client.address, agent=client.agent))

    def stop(self, viewing: Viewing, reason: EndReason) -> None:
        """Tells the end of a viewing."""
        self._write(
            msgspec.structs.replace(
                self._event(viewing, EventType.STOP, self._utc_us()),
                reason=reason,
                bytes_sent=viewing.viewer.bytes_sent,
                duration_ms=round((self._now() - viewing.began) * 1000),
            )
        )

    def allow(self, method: str) -> None:
        """Counts an authority that was accepted; the viewing it leads to is what goes on record."""
        metrics.auth_decisions.labels("allow", method).inc()

    @contextmanager
    def denials_of(self, attempt: Attempt) -> Iterator[None]:
        """What is refused inside is on record."""
        try:
            yield
        except CamrelayError as error:
            self.deny(attempt, error)
            raise

    def deny(self, attempt: Attempt, error: CamrelayError) -> None:
        """Tells that a request got nothing, and counts it."""
        if isinstance(error, SessionEnded):
            # Its stop record says why already, and a player asks again and again.
            metrics.auth_decisions.labels("deny", f"session_{error.reason}").inc()
            return
        outcome, reason = ("deny", error.reason) if isinstance(error, AccessDenied) else ("error", error.code)
        metrics.auth_decisions.labels(outcome, reason).inc()
        if not self._flood.admit(reason, self._now()):
            return
        self._write(
            AccessEvent(
                type=EventType.DENY,
                ts_us=self._utc_us(),
                # Anything else in this place may be a mistyped URL with a credential in it.
                camera=attempt.camera if CAMERA_ID_PATTERN.fullmatch(attempt.camera) else "?",
                outcome=outcome,
                protocol=attempt.protocol,
                session=attempt.session,
                subject=attempt.subject,
                reason=reason,
                address=attempt.client.address,
                agent=attempt.client.agent,
            )
        )

    def summarize_denials(self) -> None:
        """Tells, by reason, how many denials got no line of their own since the last call."""
        for reason, count in self._flood.drain().items():
            self._write(
                AccessEvent(
                    type=EventType.DENY,
                    ts_us=self._utc_us(),
                    camera="*",
                    outcome="deny",
                    reason=reason,
                    count=count,
                )
            )

    async def flush(self) -> None:
        """Returns when everything handed over is durable or lost."""
        if self._writes:
            await asyncio.wait(self._writes)

    def _event(self, viewing: Viewing, type: EventType, ts_us: int) -> AccessEvent:
        viewer = viewing.viewer
        return AccessEvent(
            type=type,
            ts_us=ts_us,
            camera=viewer.camera,
            outcome="allow",
            protocol=viewer.protocol,
            viewing=viewer.id,
            session=viewer.session,
            subject=viewer.subject,
        )

    def _write(self, event: AccessEvent) -> None:
        write = asyncio.ensure_future(self._record(event))
        self._writes.add(write)
        write.add_done_callback(self._written)

    def _written(self, write: asyncio.Future[None]) -> None:
        self._writes.discard(write)
        consume(write)


def consume(future: asyncio.Future[None]) -> None:
    """Takes note of a failure, so that the loop does not report it as one nobody heard of."""
    if not future.cancelled():
        future.exception()
