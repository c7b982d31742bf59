"""`/v1/audit/events` and `/v1/cameras/{camera}/access-log`: who watched, for those who may manage cameras.

Lines and the people beside them are read from disk and joined here, in a thread, one request at a time: a
reader costs the relay no more than one busy thread, however many ask.
"""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec
from aiohttp import web

from camrelay.audit.people import opened
from camrelay.audit.search import Place, search
from camrelay.audit.table import Row, row
from camrelay.errors import BadRequest, NotReady
from camrelay.server import Route, json_response

#: Records in an answer.
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
#: Requests that wait for their turn.
MAX_WAITING = 10

_CURSOR = re.compile(r"(\d{4}-\d\d-\d\d)\.(\d{1,12})", re.ASCII)
_TEXT_LIMIT = 256


class Query(msgspec.Struct, frozen=True):
    """What is asked for; times are microseconds of UTC, `end_us` not included."""

    camera: str
    subject: str
    start_us: int
    end_us: int | None
    limit: int
    after: Place | None


class Records:
    """The handlers.

    Args:
        directory: of the access log.
        check_manager: raises when a request may not read it.
    """

    def __init__(self, directory: Path, check_manager: Callable[[web.Request], None]) -> None:
        self._directory = directory
        self._check_manager = check_manager
        self._turn = asyncio.Lock()
        self._waiting = 0

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("GET", "/v1/audit/events", self.events),
            Route("GET", "/v1/cameras/{camera}/access-log", self.access_log),
        ]

    async def events(self, request: web.Request) -> web.Response:
        """Records of every camera, or of the one that `camera` names."""
        self._check_manager(request)
        return await self._answer(_query(request, request.query.get("camera", "")))

    async def access_log(self, request: web.Request) -> web.Response:
        """Records of one camera, also of one that is gone."""
        self._check_manager(request)
        return await self._answer(_query(request, request.match_info["camera"]))

    async def _answer(self, query: Query) -> web.Response:
        if self._waiting >= MAX_WAITING:
            raise NotReady("too many are reading the record")
        self._waiting += 1
        try:
            async with self._turn:
                rows, cursor = await asyncio.to_thread(_read, self._directory, query)
        except OSError:
            raise NotReady("the record cannot be read") from None
        finally:
            self._waiting -= 1
        return json_response({"events": rows, "next": cursor})


def _read(directory: Path, query: Query) -> tuple[list[Row], str | None]:
    """A page of records, and the cursor of the next if there is one. Blocks."""
    with opened(directory) as people:
        found = list(
            islice(
                search(
                    directory,
                    camera=query.camera,
                    people=people.pseudonyms(query.subject) if query.subject else None,
                    from_us=query.start_us,
                    to_us=query.end_us,
                    after=query.after,
                ),
                query.limit + 1,
            )
        )
        page = found[: query.limit]
        identities = people.identify([each.record for each in page])
    cursor = f"{page[-1].day}.{page[-1].position}" if len(found) > len(page) else None
    return list(map(row, page, identities)), cursor


def _query(request: web.Request, camera: str) -> Query:
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
