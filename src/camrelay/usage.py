"""`/v1/statistics`: how much cameras are watched, in numbers that isolate nobody."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
from aiohttp import web

from camrelay.audit.statistic import K, Usage, plot, total
from camrelay.audit.usage import told
from camrelay.config import Camera
from camrelay.errors import BadRequest
from camrelay.records import Desk, Guard, csv_response
from camrelay.server import Route, json_response

_DAY = re.compile(r"(\d{4}-\d\d-\d\d)?", re.ASCII)
_COLUMNS = ("day", "camera", "views", "watch_s", "peak")


class Statistics(msgspec.Struct, frozen=True):
    """By day and camera. Where fewer than `k` people watched there are no numbers."""

    k: int
    days: list[Usage]


class UsageNumbers:
    """The handlers.

    Args:
        directory: of the access log.
        guard: who may see what.
        cameras: the camera of an id, None when there is none.
    """

    def __init__(
        self, directory: Path, guard: Guard, cameras: Callable[[str], Camera | None], desk: Desk
    ) -> None:
        self._directory = directory
        self._guard = guard
        self._cameras = cameras
        self._desk = desk

    def routes(self) -> list[Route]:
        """The route table."""
        query = ("camera", "from", "to", "format")
        return [Route("GET", "/v1/statistics", self.statistics, gives=Statistics, query=query)]

    async def statistics(self, request: web.Request) -> web.Response:
        """The days of one camera, or of all with their sum; as JSON, as CSV, or as a plot of views (SVG)."""
        given = request.query
        id, first, last = given.get("camera", ""), given.get("from", ""), given.get("to", "")
        camera = self._cameras(id) if id else None
        if camera is None or not self._guard.manages(request)(camera):
            self._guard.check_manager(request)
        if not (_DAY.fullmatch(first) and _DAY.fullmatch(last)):
            raise BadRequest("from and to are days such as 2026-11-21")
        every = await self._desk.read(lambda: told(self._directory, first, last))
        days = [each for each in every if id in ("", each.camera)]
        match given.get("format", "json"):
            case "csv":
                return csv_response(_csv(days), "statistics.csv")
            case "svg":
                picture = plot(days if id else total(days))
                headers = {"Cache-Control": "no-store"}
                return web.Response(text=picture, content_type="image/svg+xml", headers=headers)
            case "json":
                return json_response(Statistics(K, days if id else [*days, *total(days)]))
            case _:
                raise BadRequest("format is json, csv or svg")


def _csv(days: list[Usage]) -> str:
    output = io.StringIO()
    writer = csv.writer(output)
    writer.writerow(_COLUMNS)
    for each in days:
        values = (getattr(each, name) for name in _COLUMNS)
        writer.writerow(["" if value is None else value for value in values])
    return output.getvalue()
