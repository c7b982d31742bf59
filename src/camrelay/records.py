"""`/v1/audit/events` and, below `/v1/cameras/{camera}`, `access-log` and `viewings`: who watched.

Whoever runs the relay reads everything, the owner of a camera what concerns it. Reading is itself on record
before anything is shown, once for each person, who can see it there. Lines and the people beside them are
read from disk and joined in a thread, one request at a time: a reader costs the relay no more than one busy
thread, however many ask.
"""

from __future__ import annotations

import asyncio
import datetime
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from camrelay.audit.people import Identity, People, opened
from camrelay.audit.record import Record
from camrelay.audit.restriction import restricted
from camrelay.audit.search import Found, Place, search
from camrelay.audit.table import Row, row, to_csv, utc
from camrelay.audit.viewing import Viewing, pair
from camrelay.config import Camera
from camrelay.errors import BadRequest, ConfigError, NotReady
from camrelay.model import AccessEvent, EventType
from camrelay.server import Route, json_response

#: Records in an answer.
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
#: Requests that wait for their turn.
MAX_WAITING = 10

_T = TypeVar("_T")

COLUMNS = (
    "start", "end", "seconds", "name", "subject", "network", "agent", "protocol", "reason", "bytes_sent",
    "viewing",
)  # fmt: skip

_CURSOR = re.compile(r"(\d{4}-\d\d-\d\d)\.(\d{1,12})", re.ASCII)
_TEXT_LIMIT = 256
PARAMETERS = ("subject", "from", "to", "limit", "after")


class Query(msgspec.Struct, frozen=True):
    """What is asked for; times are microseconds of UTC, `end_us` not included."""

    camera: str
    subject: str
    start_us: int
    end_us: int | None
    limit: int
    after: Place | None


class Events(msgspec.Struct, frozen=True):
    """Records, oldest first, and what the next page is asked for with; None after the last."""

    events: list[Row]
    next: str | None


class Viewings(msgspec.Struct, frozen=True):
    """Viewings, oldest first, and what the next page is asked for with; None after the last."""

    viewings: list[Row]
    next: str | None


class Guard(Protocol):
    """What tells who asks, and what they may do; each raises AccessDenied for nobody."""

    def check_manager(self, request: web.Request) -> None: ...

    def manages(self, request: web.Request) -> Callable[[Camera], bool]: ...

    def subject(self, request: web.Request) -> str: ...


#: What people call a subject; "" when that is all there is.
NameOf = Callable[[str], Awaitable[str]]


async def nameless(_: str) -> str:
    """Where nobody has an account."""
    return ""


async def with_names(rows: Sequence[Row], name_of: NameOf) -> list[Row]:
    """The rows, with the `name` of each subject that has one."""
    subjects = {str(row["subject"]) for row in rows if "subject" in row}
    names = {subject: await name_of(subject) for subject in subjects}
    found = ((row, names.get(str(row.get("subject", "")))) for row in rows)
    return [{**row, "name": name} if name else row for row, name in found]


class Desk:
    """Where the record is read: one reader at a time, and a few that wait."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def read(self, act: Callable[[], _T]) -> _T:
        """What `act` returns, which blocks.

        Raises:
            NotReady: too many are waiting, or the disk failed.
        """
        if self._waiting >= MAX_WAITING:
            raise NotReady("too many are reading the record")
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(act)
        except (OSError, ConfigError):
            raise NotReady("the record cannot be read") from None
        finally:
            self._waiting -= 1


class Records:
    """The handlers.

    Args:
        directory: of the access log.
        guard: who may read what.
        cameras: the camera of an id, None when there is none.
        record: writes an access event; its awaitable is done when the event is durable.
        name_of: what people call a subject.
        url: where people are, as `opened` has it.
    """

    def __init__(
        self,
        directory: Path,
        guard: Guard,
        cameras: Callable[[str], Camera | None],
        record: Callable[[AccessEvent], Awaitable[None]],
        desk: Desk,
        name_of: NameOf = nameless,
        url: str = "",
    ) -> None:
        self._directory = directory
        self._url = url
        self._guard = guard
        self._cameras = cameras
        self._record = record
        self._desk = desk
        self._name_of = name_of

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("GET", "/v1/audit/events", self.events, gives=Events, query=(*PARAMETERS, "camera")),
            Route("GET", "/v1/cameras/{camera}/access-log", self.access_log, gives=Events, query=PARAMETERS),
            Route(
                "GET",
                "/v1/cameras/{camera}/viewings",
                self.viewings,
                gives=Viewings,
                query=(*PARAMETERS, "format"),
            ),
        ]

    async def events(self, request: web.Request) -> web.Response:
        """Records of every camera, or of the one that `camera` names."""
        self._guard.check_manager(request)
        return await self._answer(request, parse_query(request, request.query.get("camera", "")))

    async def access_log(self, request: web.Request) -> web.Response:
        """Records of one camera; of one that is gone, for whoever runs the relay."""
        return await self._answer(request, parse_query(request, self._own_camera(request)))

    async def viewings(self, request: web.Request) -> web.Response:
        """Who watched a camera, from when to when, oldest first; as CSV if that is asked for."""
        query = parse_query(request, self._own_camera(request))
        rows, next = await self._desk.read(lambda: _read_viewings(self._directory, query, self._url))
        await self._tell(request, query, rows)
        rows = await with_names(rows, self._name_of)
        if request.query.get("format") == "csv":
            return csv_response(to_csv(rows, COLUMNS), f"watched-{query.camera}.csv")
        return json_response(Viewings(rows, next))

    def _own_camera(self, request: web.Request) -> str:
        """The camera that a request names, if who asks may read about it."""
        id = request.match_info["camera"]
        camera = self._cameras(id)
        if camera is None or not self._guard.manages(request)(camera):
            self._guard.check_manager(request)
        return id

    async def _answer(self, request: web.Request, query: Query) -> web.Response:
        rows, next = await self._desk.read(lambda: _read(self._directory, query, self._url))
        await self._tell(request, query, rows)
        rows = await with_names(rows, self._name_of)
        return json_response(Events(rows, next))

    async def _tell(self, request: web.Request, query: Query, rows: Sequence[Row]) -> None:
        """Puts on record who was shown what about whom; AuditUnavailable when that cannot be."""
        reader = self._guard.subject(request)
        shown = Counter(str(each.get("subject", "")) for each in rows)
        del shown[reader]
        anybody = {about: count for about, count in shown.items() if about} or {"": len(rows)}
        now_us = time.time_ns() // 1000
        await asyncio.gather(
            *(
                self._record(
                    AccessEvent(
                        type=EventType.READ,
                        ts_us=now_us,
                        camera=query.camera,
                        outcome="allow",
                        subject=reader,
                        about=about,
                        count=count,
                    )
                )
                for about, count in anybody.items()
            )
        )


def _read(directory: Path, query: Query, url: str) -> tuple[list[Row], str | None]:
    """A page of records, and the cursor of the next if there is one. Blocks."""
    hidden = restricted(directory)
    with opened(directory, url) as people:
        found = list(
            islice(
                search(
                    directory,
                    camera=query.camera,
                    people=_pseudonyms(people, query.subject, hidden),
                    from_us=query.start_us,
                    to_us=query.end_us,
                    after=query.after,
                ),
                query.limit + 1,
            )
        )
        page = found[: query.limit]
        identities = _shown(people, [each.record for each in page], hidden)
    return list(map(row, page, identities)), cursor(found, page)


def _read_viewings(directory: Path, query: Query, url: str) -> tuple[list[Row], str | None]:
    """A page of viewings, and the cursor of the next if there is one. Blocks."""
    hidden = restricted(directory)
    with opened(directory, url) as people:
        wanted = _pseudonyms(people, query.subject, hidden)
        every = search(
            directory,
            camera=query.camera,
            people=wanted,
            from_us=query.start_us,
            to_us=query.end_us,
            after=query.after,
        )
        begun = (each for each in every if each.record.type is EventType.START)
        starts = list(islice(begun, query.limit + 1))
        page = starts[: query.limit]
        since = page[0].record.ts_us if page else 0
        later = (each.record for each in search(directory, camera=query.camera, from_us=since))
        viewings = pair([each.record for each in page], later)
        identities = _shown(people, [viewing.start for viewing in viewings], hidden)
    return list(map(_viewing_row, viewings, identities)), cursor(starts, page)


def _viewing_row(viewing: Viewing, identity: Identity) -> Row:
    start, stop = viewing.start, viewing.stop
    fields: dict[str, str | int] = {"viewing": start.viewing, "start": utc(start.ts_us)}
    fields |= {"protocol": start.protocol, **msgspec.to_builtins(identity)}
    if stop is not None:
        fields |= {"end": utc(stop.ts_us), "seconds": round(stop.duration_ms / 1000), "reason": stop.reason}
        fields["bytes_sent"] = stop.bytes_sent
    return fields


def cursor(found: Sequence[Found], page: Sequence[Found]) -> str | None:
    """What asks for the records after a page, None when more were not found."""
    return f"{page[-1].day}.{page[-1].position}" if len(found) > len(page) else None


def _pseudonyms(people: People, subject: str, hidden: set[str]) -> set[str] | None:
    """The names to look for, None for everybody's; of somebody restricted there are none."""
    if not subject:
        return None
    return set() if people.alias(subject) in hidden else people.pseudonyms(subject)


def _shown(people: People, records: Sequence[Record], hidden: set[str]) -> list[Identity]:
    """Who records are about, without those who are restricted."""
    found = people.identify(records)
    if not hidden:
        return found
    return [Identity() if people.alias(each.subject) in hidden else each for each in found]


def csv_response(text: str, name: str) -> web.Response:
    """A table for people's own programs, to be saved as a file."""
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(text=text, content_type="text/csv", headers=headers)


def parse_query(request: web.Request, camera: str) -> Query:
    """What a request asks for; BadRequest when it cannot be understood."""
    given = request.query
    if any(len(value) > _TEXT_LIMIT for value in (*given.values(), camera)):
        raise BadRequest("a parameter is too long")
    limit, cursor = given.get("limit", str(DEFAULT_LIMIT)), given.get("after", "")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 1 <= int(limit) <= MAX_LIMIT):
        raise BadRequest(f"limit is a number from 1 to {MAX_LIMIT}")
    place = _CURSOR.fullmatch(cursor)
    if cursor and place is None:
        raise BadRequest("after is the `next` of an earlier answer")
    return Query(
        camera=camera,
        subject=given.get("subject", ""),
        start_us=_moment(given.get("from", "")) or 0,
        end_us=_moment(given.get("to", "")),
        limit=int(limit),
        after=(place[1], int(place[2])) if place else None,
    )


def _moment(text: str) -> int | None:
    """Microseconds of UTC of an ISO 8601 date or time; without a zone it is UTC."""
    if not text:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return max(0, round(moment.timestamp() * 1e6))
    except (ValueError, OverflowError):
        raise BadRequest("from and to are times such as 2026-11-21T12:00:00Z") from None
