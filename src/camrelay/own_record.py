"""`/v1/me/record`: what the record has of whoever asks, to see, to take away, to restrict and to erase.

Somebody's own records include who was shown them. The export is complete in itself: the records as JSON and
as CSV, and proofs by which anybody can check with the log's public key that they stand in it.
"""

from __future__ import annotations

import io
import time
import zipfile
from itertools import islice
from pathlib import Path

import msgspec
from aiohttp import web

from camrelay.audit.people import opened
from camrelay.audit.restriction import restricted
from camrelay.audit.search import prove, search
from camrelay.audit.signer import Signer
from camrelay.audit.table import Row, row, to_csv, to_json
from camrelay.auth.websession import signed_in
from camrelay.errors import NotConfirmed, TokenMissing
from camrelay.keeping import Keeper, Receipt
from camrelay.records import (
    PARAMETERS,
    Desk,
    Guard,
    NameOf,
    Query,
    csv_response,
    cursor,
    nameless,
    parse_query,
    with_names,
)
from camrelay.server import Route, body, json_response

COLUMNS = (
    "time", "type", "camera", "outcome", "protocol", "viewing", "session", "subject", "reason", "network",
    "address", "agent", "bytes_sent", "duration_ms", "count", "id", "person", "about", "target", "day",
    "position",
)  # fmt: skip

_README = """What the access record of a camrelay server says about you.

record.json, record.csv  every record that you made or that concerns you
proofs.json              a proof for each that it stands in the signed log: RFC 6962 inclusion proofs, against
                         the checkpoints (C2SP signed notes) in the same file. A record without a checkpoint
                         is too new to be proven; ask again a minute later.

Types of records and what every field means: docs/data-dictionary.md of camrelay.
"""


class OwnRecords(msgspec.Struct, frozen=True):
    """Somebody's records, oldest first; `next` asks for more; whether others are kept from seeing them."""

    events: list[Row]
    next: str | None
    restricted: bool


class Restriction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /v1/me/record/restriction."""

    restricted: bool


class OwnRecord:
    """The handlers.

    Args:
        directory: of the access log.
        guard: who asks.
        keeper: restricts and erases.
        name_of: what people call a subject.
        url: where people are, as `opened` has it.
    """

    def __init__(
        self,
        directory: Path,
        guard: Guard,
        keeper: Keeper,
        desk: Desk,
        name_of: NameOf = nameless,
        url: str = "",
    ) -> None:
        self._directory = directory
        self._url = url
        self._guard = guard
        self._keeper = keeper
        self._desk = desk
        self._name_of = name_of

    def routes(self) -> list[Route]:
        """The route table."""
        own = "/v1/me/record"
        return [
            Route("GET", own, self.show, gives=OwnRecords, query=(*PARAMETERS, "format")),
            Route("DELETE", own, self.erase, gives=Receipt),
            Route("GET", f"{own}/export", self.export),
            Route("PUT", f"{own}/restriction", self.restrict, takes=Restriction),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """A page of what is on record of whoever asks, and of who was shown it; as CSV if asked for."""
        subject, query = self._subject(request), parse_query(request, "")
        found, next, is_restricted = await self._desk.read(
            lambda: _read(self._directory, subject, query, self._url)
        )
        if request.query.get("format") == "csv":
            return csv_response(to_csv(found, COLUMNS), "my-record.csv")
        return json_response(OwnRecords(await with_names(found, self._name_of), next, is_restricted))

    async def export(self, request: web.Request) -> web.Response:
        """Everything that is on record of whoever asks, with proofs, as a ZIP archive."""
        subject = self._subject(request)
        content = await self._desk.read(lambda: _export(self._directory, subject, self._url))
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": 'attachment; filename="my-record.zip"',
        }
        return web.Response(body=content, content_type="application/zip", headers=headers)

    async def restrict(self, request: web.Request) -> web.Response:
        """Keeps what is on record of whoever asks from being shown, or allows it again."""
        subject = self._subject(request)
        wanted = await body(request, Restriction)
        await self._keeper.restrict(subject, subject, restricted=wanted.restricted)
        return web.Response(status=204)

    async def erase(self, request: web.Request) -> web.Response:
        """Forgets whoever asks; their account, sessions and tokens end with it."""
        person = signed_in(request)
        if person is not None and not person.session.is_confirmed(time.time_ns() // 1000):
            raise NotConfirmed("not_confirmed")
        return json_response(await self._keeper.erase(self._subject(request), ""))

    def _subject(self, request: web.Request) -> str:
        subject = self._guard.subject(request)
        if not subject:
            # Whoever has a grant without a name is nobody to the record.
            raise TokenMissing("no_name")
        return subject


def _read(directory: Path, subject: str, query: Query, url: str) -> tuple[list[Row], str | None, bool]:
    """A page of somebody's records. Blocks."""
    with opened(directory, url) as people:
        every = search(
            directory,
            people=people.pseudonyms(subject),
            from_us=query.start_us,
            to_us=query.end_us,
            after=query.after,
        )
        found = list(islice(every, query.limit + 1))
        page = found[: query.limit]
        identities = people.identify([each.record for each in page])
        is_restricted = people.alias(subject) in restricted(directory)
    return list(map(row, page, identities)), cursor(found, page), is_restricted


def _export(directory: Path, subject: str, url: str) -> bytes:
    """The archive. Blocks."""
    with opened(directory, url) as people:
        found = list(search(directory, people=people.pseudonyms(subject)))
        rows = list(map(row, found, people.identify([each.record for each in found])))
    proofs = msgspec.json.encode(prove(directory, Signer.load(directory), found))
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _README)
        archive.writestr("record.json", to_json(rows))
        archive.writestr("record.csv", to_csv(rows, COLUMNS))
        archive.writestr("proofs.json", msgspec.json.format(proofs))
    return output.getvalue()
