"""What is done with the record: people are forgotten or restricted, records are held, old days are purged.

Every act is on record itself, before it takes effect. The disk is touched in threads, one act at a time. An
erasure first ends what the person has here, waits until all they did before is written, and forgets it then:
in the database, in its journal, and, by a ledger, in whatever copy is put back.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from camrelay import config
from camrelay.audit import erasure, holds, restriction, retention, usage
from camrelay.audit.holds import Hold
from camrelay.audit.people import alias_of, opened
from camrelay.audit.signer import Signer
from camrelay.auth.lease import Handle, HandleKind
from camrelay.errors import AuditError, AuditUnavailable, Held, NotFound, NotReady
from camrelay.model import AccessEvent, EventType
from camrelay.records import Guard
from camrelay.server import Route, body, json_response

#: How often it is looked what is over: days end once a day, and a relay may be started at any hour.
PURGE_S = 6 * 3600.0

logger = logging.getLogger("camrelay.audit")

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Text = Annotated[str, Meta(max_length=500)]
Day = Annotated[str, Meta(pattern=r"^(\d{4}-\d\d-\d\d)?\Z")]


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/audit/erasures: whom the record knows by that name."""

    subject: Name


class Receipt(msgspec.Struct, frozen=True):
    """What an erasure has done: its id stands in the record. `records` no longer tell who they are about."""

    id: str
    at_us: int
    records: int


class RestrictionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/audit/restrictions."""

    subject: Name
    restricted: bool


class HoldRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/audit/holds: on everybody, or on one person; on all days, or on some."""

    reason: Text
    approver: Text
    ends: Day
    first: Day = ""
    last: Day = ""
    subject: Annotated[str, Meta(max_length=256)] = ""


class PurgeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/audit/purges. The clock is right: also where the record jumps over days."""

    viewings_days: Annotated[int, Meta(ge=1, le=3660)] | None = None
    clock_is_right: bool = False


class Purged(msgspec.Struct, frozen=True):
    """The days that were purged."""

    days: list[str]


class HoldList(msgspec.Struct, frozen=True):
    """The holds of today."""

    holds: list[Hold]


class Keeper:
    """The acts, and their handlers for whoever runs the relay.

    Args:
        directory: of the access log.
        options: for how long what is kept, and where people are.
        guard: who may do that.
        record: writes an access event; its awaitable is done when the event is durable.
        end: ends what hangs on a handle.
        forget: forgets what is known of a subject elsewhere than in the record.
    """

    def __init__(
        self,
        directory: Path,
        options: config.Audit,
        guard: Guard,
        record: Callable[[AccessEvent], Awaitable[None]],
        end: Callable[[Handle], Awaitable[int]],
        forget: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._directory = directory
        self._guard = guard
        self._record = record
        self._end = end
        self._forget = forget
        self._options = options
        self._turn = asyncio.Lock()
        self._purging: asyncio.Task[None] | None = None

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("POST", "/v1/audit/erasures", self.post_erasure, takes=Person, gives=Receipt, status=201),
            Route("POST", "/v1/audit/restrictions", self.post_restriction, RestrictionRequest, status=204),
            Route("GET", "/v1/audit/holds", self.get_holds, gives=HoldList),
            Route("POST", "/v1/audit/holds", self.post_hold, takes=HoldRequest, gives=Hold, status=201),
            Route("DELETE", "/v1/audit/holds/{hold}", self.delete_hold, status=204),
            Route("POST", "/v1/audit/purges", self.post_purge, takes=PurgeRequest, gives=Purged, status=201),
        ]

    async def start(self) -> None:
        """Forgets whom an old copy of the database knows again.

        Raises:
            AuditUnavailable: that cannot be done now.
        """
        try:
            count = await asyncio.to_thread(erasure.replay, self._directory, self._options.url)
        except OSError as error:
            raise AuditUnavailable(f"erasures cannot be repeated: {error.strerror}") from None
        if count > 0:
            logger.warning("people who had been erased were known again, and are forgotten")
        self._purging = asyncio.create_task(self._keep_purging())

    async def stop(self) -> None:
        """Purges no more."""
        if self._purging is not None:
            self._purging.cancel()
            await asyncio.wait([self._purging])

    async def forget_again(self, known: Iterable[tuple[str, int]]) -> None:
        """Forgets elsewhere, too, whom an old copy knows again.

        Args:
            known: everybody known there, with the moment since when (microseconds of UTC).
        """
        if self._forget is None:
            return
        erased = {each.alias: each.at_us for each in await asyncio.to_thread(erasure.ledger, self._directory)}
        for subject, since_us in known if erased else ():
            alias = await asyncio.to_thread(alias_of, self._directory, subject)
            if since_us < erased.get(alias, 0):
                await self._forget(subject)

    async def erase(self, subject: str, by: str) -> Receipt:
        """Forgets somebody; `by` is who asked for it, "" when they did themselves.

        Raises:
            Held: somebody needs what is known of them.
            AuditUnavailable, NotReady: it is not done, or not all of it: repeat it.
        """
        async with self._turn:
            wanted = await asyncio.to_thread(erasure.prepare, self._directory, subject, _now_us(), _today())
            await self._end(Handle(HandleKind.ACCOUNT, subject))
            # What they did before is written before this is; so nothing brings them back afterwards.
            await self._tell(EventType.ERASE, by, target=wanted.id)
            logger.info(wanted.one_line())
            if self._forget is not None:
                await self._forget(subject)
            count = await asyncio.to_thread(erasure.erase, self._directory, wanted, self._options.url)
        return Receipt(wanted.id, wanted.at_us, max(0, count))

    async def restrict(self, subject: str, by: str, *, restricted: bool) -> None:
        """Begins or ends that nobody is shown what is known of somebody."""
        async with self._turn:
            change = restriction.restrict if restricted else restriction.lift
            reason = "begun" if restricted else "ended"
            alias = await asyncio.to_thread(alias_of, self._directory, subject)
            await self._tell(EventType.RESTRICT, by, about=subject, reason=reason)
            await asyncio.to_thread(change, self._directory, alias)

    async def purge(
        self, by: str = "", viewings_days: int | None = None, *, is_sure: bool = False
    ) -> list[str]:
        """Purges what is over, but for what is held; the days.

        Args:
            viewings_days: instead of what the configuration says.
            is_sure: that the clock is right.

        Raises:
            Held: the clock may have leaped.
            ChainBroken: the log is not as it was signed.
        """
        async with self._turn:
            # Before the days that are over go, for good, what is told of them is made.
            await asyncio.to_thread(usage.collect, self._directory, _today(), self._options.url)
            days = await asyncio.to_thread(self._expired, viewings_days, is_sure)
            for each in days:
                await self._tell(EventType.PURGE, by, target=each.name, count=each.lines)
            await asyncio.to_thread(self._purge, days)
            if days:
                logger.info("%d days of the access log are purged", len(days))
        return [each.day for each in days]

    async def post_purge(self, request: web.Request) -> web.Response:
        """Purges what is over now, instead of within hours."""
        self._guard.check_manager(request)
        wanted = await body(request, PurgeRequest)
        by = self._guard.subject(request)
        days = await self.purge(by, wanted.viewings_days, is_sure=wanted.clock_is_right)
        return json_response(Purged(days), status=201)

    async def post_erasure(self, request: web.Request) -> web.Response:
        """Forgets somebody by the name that the record has of them."""
        self._guard.check_manager(request)
        wanted = await body(request, Person)
        by = self._guard.subject(request)
        return json_response(await self.erase(wanted.subject, by if by != wanted.subject else ""), status=201)

    async def post_restriction(self, request: web.Request) -> web.Response:
        """Keeps somebody's records from use, or allows it again."""
        self._guard.check_manager(request)
        wanted = await body(request, RestrictionRequest)
        await self.restrict(wanted.subject, self._guard.subject(request), restricted=wanted.restricted)
        return web.Response(status=204)

    async def get_holds(self, request: web.Request) -> web.Response:
        """What is held today."""
        self._guard.check_manager(request)
        return json_response(HoldList(await asyncio.to_thread(holds.active, self._directory, _today())))

    async def post_hold(self, request: web.Request) -> web.Response:
        """Begins a hold."""
        self._guard.check_manager(request)
        wanted = await body(request, HoldRequest)
        async with self._turn:
            alias = ""
            if wanted.subject:
                alias = await asyncio.to_thread(alias_of, self._directory, wanted.subject)
            hold = Hold(
                secrets.token_hex(8),
                wanted.reason,
                wanted.approver,
                wanted.ends,
                wanted.first,
                wanted.last,
                alias,
            )
            holds.check(hold, _today())
            by = self._guard.subject(request)
            await self._tell(EventType.HOLD_ADD, by, target=hold.id, about=wanted.subject)
            await asyncio.to_thread(holds.add, self._directory, hold, _today())
        return json_response(hold, status=201)

    async def delete_hold(self, request: web.Request) -> web.Response:
        """Ends a hold."""
        self._guard.check_manager(request)
        id = request.match_info["hold"]
        async with self._turn:
            held = await asyncio.to_thread(holds.active, self._directory, _today())
            if id not in {hold.id for hold in held}:
                raise NotFound("no such hold")
            await self._tell(EventType.HOLD_REMOVE, self._guard.subject(request), target=id)
            await asyncio.to_thread(holds.remove, self._directory, id, _today())
        return web.Response(status=204)

    async def _keep_purging(self) -> None:
        while True:
            try:
                await self.purge()
            except (AuditError, Held, NotReady) as error:
                logger.error("the access log cannot be purged: %s", error)
            except OSError as error:
                logger.error("the access log cannot be purged (%s)", error.strerror)
            await asyncio.sleep(PURGE_S)

    def _expired(self, viewings_days: int | None, is_sure: bool) -> list[retention.Expired]:
        today, directory = _today(), self._directory
        before = retention.days_ago(today, viewings_days or self._options.viewings_days)
        acts_before = min(before, retention.days_ago(today, self._options.acts_days))
        held = holds.active(directory, today)
        days = retention.expired(
            directory,
            Signer.load(directory),
            before,
            acts_before,
            lambda day: any(hold.covers(day) for hold in held),
        )
        if days and not is_sure:
            retention.check_clock(directory, today)
        return days

    def _purge(self, days: list[retention.Expired]) -> None:
        ends = retention.details_ends(self._directory, self._options, _today())
        if days or any(ends):
            with opened(self._directory, self._options.url) as people:
                retention.purge(self._directory, Signer.load(self._directory), people, days, *ends)

    async def _tell(
        self,
        type: EventType,
        by: str,
        *,
        target: str = "",
        about: str = "",
        reason: str = "",
        count: int = 1,
    ) -> None:
        await self._record(
            AccessEvent(
                type=type,
                ts_us=_now_us(),
                camera="",
                outcome="info",
                subject=by,
                target=target,
                about=about,
                reason=reason,
                count=count,
            )
        )


def _now_us() -> int:
    return time.time_ns() // 1000


def _today() -> str:
    return str(datetime.datetime.now(datetime.UTC).date())
