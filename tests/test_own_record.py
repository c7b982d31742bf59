"""What the record has of whoever asks, over a real log."""

from __future__ import annotations

import asyncio
import csv
import datetime
import io
import json
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from camrelay.audit.chain import leaf_hash, verify_inclusion
from camrelay.audit.erasure import LEDGER, erase, prepare
from camrelay.audit.log import AccessLog
from camrelay.audit.people import opened
from camrelay.audit.people_store import DATABASE
from camrelay.audit.search import Manifest
from camrelay.audit.signer import Signer
from camrelay.auth.account import Account, Role, SignedIn, WebSession
from camrelay.auth.lease import Handle
from camrelay.auth.websession import remember
from camrelay.config import Audit
from camrelay.keeping import Keeper
from camrelay.model import AccessEvent, EventType
from camrelay.own_record import OwnRecord
from camrelay.records import Desk, Records
from camrelay.server import Route, build
from test_records import Guarded

Client = TestClient[web.Request, web.Application]

CANARY = "canary-7c1e"

OPTIONS = Audit(viewings_days=1, acts_days=2)


class House:
    """A log, and everything that is asked and done about it."""

    def __init__(self, store: Path, log: AccessLog, clock: list[datetime.datetime]) -> None:
        self.store = store
        self.clock = clock
        self.log = log
        self.guard = Guarded()
        self.ended: list[str] = []
        self.forgotten: list[str] = []
        desk = Desk()
        self.keeper = Keeper(store, OPTIONS, self.guard, log.append, self._end, self._forget)
        self.routes = [
            *Records(store, self.guard, lambda _: None, log.append, desk).routes(),
            *OwnRecord(store, self.guard, self.keeper, desk).routes(),
            *self.keeper.routes(),
        ]

    async def _end(self, handle: Handle) -> int:
        self.ended.append(handle.id)
        return 0

    async def _forget(self, subject: str) -> None:
        self.forgotten.append(subject)

    async def watch(self, subject: str, n: int = 0, **more: Any) -> None:
        """A viewing begins on record."""
        event = AccessEvent(
            type=EventType.START,
            ts_us=self.log._utc_us(),
            camera="door",
            outcome="allow",
            protocol="hls",
            viewing=f"v{n}",
            subject=subject,
            address="203.0.113.77",
            agent=f"agent-of-{subject}",
        )
        await self.log.append(msgspec.structs.replace(event, **more))


@pytest.fixture
def started() -> datetime.datetime:
    """When the log began."""
    return datetime.datetime.now(datetime.UTC)


@pytest.fixture
async def house(tmp_path: Path, started: datetime.datetime) -> AsyncIterator[House]:
    clock = [started]
    log = AccessLog(tmp_path / "store", Audit(), utc_us=lambda: round(clock[0].timestamp() * 1e6))
    await log.start()
    made = House(tmp_path / "store", log, clock)
    yield made
    await made.keeper.stop()
    await log.stop()


@pytest.fixture
async def client(house: House) -> AsyncIterator[Client]:
    async with TestClient(TestServer(build(house.routes))) as client:
        yield client


async def ask(client: Client, method: str, path: str, who: str, body: Any = None, **query: str) -> Any:
    headers = {"Authorization": f"Bearer {who}"}
    async with client.request(method, path, params=query, headers=headers, json=body) as response:
        content = await response.read()
        is_json = response.content_type.endswith("json")
        return response.status, json.loads(content) if is_json and content else content


async def test_case_68_a_member_sees_who_looked(client: Client, house: House) -> None:
    """Their own viewings, and each reading of them by somebody else; not what concerns others."""
    await house.watch("anna")
    await house.watch("boris", 1)
    assert (await ask(client, "GET", "/v1/audit/events", "manager", subject="anna"))[0] == 200
    _, own = await ask(client, "GET", "/v1/me/record", "anna")
    events = [(event["type"], event["subject"]) for event in own["events"]]
    assert events == [("stream.start", "anna"), ("record.read", "manager")]
    assert own["next"] is None
    _, own = await ask(client, "GET", "/v1/me/record", "anna")
    assert len(own["events"]) == 2
    _, others = await ask(client, "GET", "/v1/me/record", "boris")
    assert [event["type"] for event in others["events"]] == ["stream.start"]
    assert (await ask(client, "GET", "/v1/me/record", "nobody"))[1]["events"] == []
    assert (await ask(client, "GET", "/v1/me/record", ""))[0] == 401
    _, table = await ask(client, "GET", "/v1/me/record", "anna", format="csv")
    assert next(csv.DictReader(io.StringIO(table.decode())))["type"] == "stream.start"


async def test_an_export_proves_itself(client: Client, house: House) -> None:
    """Records as JSON and CSV, formulas made harmless (case 40), and every line under a signed root."""
    await house.watch("=anna")
    await house.watch("=anna", 1)
    await house.log.stop()
    _, content = await ask(client, "GET", "/v1/me/record/export", "=anna")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        rows = json.loads(archive.read("record.json"))
        table = list(csv.DictReader(io.StringIO(archive.read("record.csv").decode())))
        manifest = msgspec.json.decode(archive.read("proofs.json"), type=Manifest)
    assert [row["viewing"] for row in rows] == [row["viewing"] for row in table] == ["v0", "v1"]
    assert (rows[0]["subject"], table[0]["subject"]) == ("=anna", "'=anna")
    signer = Signer.load(house.store)
    assert len(manifest.proofs) == 2
    for proof in manifest.proofs:
        assert proof.checkpoint is not None
        (checkpoint,) = signer.read([manifest.checkpoints[proof.checkpoint]])
        hashes = [bytes.fromhex(each) for each in proof.hashes]
        leaf = leaf_hash(proof.line.encode())
        verify_inclusion(leaf, proof.position, checkpoint.size, hashes, checkpoint.root)


async def test_case_66_erased_while_it_runs(client: Client, house: House) -> None:
    """No file knows the person: sessions are ended first, and the act is on record, naming nobody."""
    await house.watch(CANARY)
    await house.watch("boris", 1)
    lines = (await _lines(house))[:2]
    assert (await ask(client, "DELETE", "/v1/me/record", ""))[0] == 401
    status, receipt = await ask(client, "DELETE", "/v1/me/record", CANARY)
    assert (status, receipt["records"]) == (200, 1)
    assert (house.ended, house.forgotten) == ([CANARY], [CANARY])
    every = b"".join(path.read_bytes() for path in house.store.iterdir() if path.is_file())
    assert CANARY.encode() not in every
    after = await _lines(house)
    assert after[:2] == lines
    assert [record["target"] for record in after if record["type"] == "person.erase"] == [receipt["id"]]
    assert receipt["id"] in (house.store / LEDGER).read_text()
    assert (await ask(client, "GET", "/v1/me/record", CANARY))[1]["events"] == []
    assert len((await ask(client, "GET", "/v1/me/record", "boris"))[1]["events"]) == 1
    status, again = await ask(client, "POST", "/v1/audit/erasures", "manager", {"subject": CANARY})
    assert (status, again["records"]) == (201, 0)
    with opened(house.store) as people:
        assert people.pseudonyms(CANARY) == set()


async def _lines(house: House) -> list[dict[str, Any]]:
    """What is on record of viewings and acts."""
    every = [
        json.loads(line)
        for path in sorted(house.store.glob("access-*.jsonl"))
        for line in path.read_bytes().splitlines()[1:]
    ]
    return [record for record in every if not record["type"].startswith("node.")]


async def test_a_hold_stops_an_erasure_until_it_is_removed(client: Client, house: House) -> None:
    """Both are on record; nothing has ended meanwhile."""
    await house.watch("anna")
    wanted = {"reason": "case 4711", "approver": "the board", "ends": _in_days(30), "subject": "anna"}
    status, hold = await ask(client, "POST", "/v1/audit/holds", "manager", wanted)
    assert status == 201
    assert "anna" not in json.dumps(hold)
    status, problem = await ask(client, "DELETE", "/v1/me/record", "anna")
    assert (status, problem["code"]) == (409, "held")
    assert (house.ended, house.forgotten) == ([], [])
    assert (await ask(client, "GET", "/v1/audit/holds", "manager"))[1]["holds"] == [hold]
    assert (await ask(client, "DELETE", f"/v1/audit/holds/{hold['id']}", "manager"))[0] == 204
    assert (await ask(client, "DELETE", f"/v1/audit/holds/{hold['id']}", "manager"))[0] == 404
    assert (await ask(client, "DELETE", "/v1/me/record", "anna"))[0] == 200
    acts = [(record["type"], record["target"]) for record in await _lines(house) if "target" in record]
    assert acts[:2] == [("hold.add", hold["id"]), ("hold.remove", hold["id"])]


@pytest.mark.parametrize("missing", ["ends", "approver", "reason"])
async def test_case_76_a_hold_needs_an_end_an_approver_and_a_reason(
    client: Client, house: House, missing: str
) -> None:
    """It is refused, and not on record."""
    wanted = {"reason": "case 4711", "approver": "the board", "ends": _in_days(30)}
    for value in ({**wanted, missing: ""}, {key: wanted[key] for key in wanted if key != missing}):
        assert (await ask(client, "POST", "/v1/audit/holds", "manager", value))[0] == 400
    assert await _lines(house) == []


def _in_days(days: int) -> str:
    return str(datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=days))


async def test_a_restriction_hides_from_others_only(client: Client, house: House) -> None:
    """Whoever asked for it sees their own records all the same; beginning and end are on record."""
    await house.watch("anna")
    own = "/v1/me/record"
    assert (await ask(client, "PUT", f"{own}/restriction", "anna", {"restricted": True}))[0] == 204
    _, seen = await ask(client, "GET", "/v1/audit/events", "manager")
    assert "anna" not in json.dumps(seen)
    _, record = await ask(client, "GET", own, "anna")
    assert record["restricted"] is True
    assert [event["type"] for event in record["events"]] == ["stream.start", "person.restrict"]
    wanted = {"subject": "anna", "restricted": False}
    assert (await ask(client, "POST", "/v1/audit/restrictions", "manager", wanted))[0] == 204
    _, record = await ask(client, "GET", own, "anna")
    assert record["restricted"] is False
    assert [event.get("reason") for event in record["events"][1:]] == ["begun", "ended"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/audit/erasures"),
        ("POST", "/v1/audit/restrictions"),
        ("GET", "/v1/audit/holds"),
        ("POST", "/v1/audit/holds"),
        ("DELETE", "/v1/audit/holds/0123456789abcdef"),
    ],
)
async def test_case_67_nothing_of_others_is_done_or_shown_without_the_right(
    client: Client, house: House, method: str, path: str
) -> None:
    """Whoever the request says it is about: who asks is told by the guard alone."""
    await house.watch("anna")
    status, problem = await ask(client, method, path, "eve", {"subject": "anna"}, subject="anna")
    assert (status, problem["code"]) == (401, "token_required")
    _, own = await ask(client, "GET", "/v1/me/record", "eve", subject="anna")
    assert own["events"] == []


async def test_case_66_erased_while_an_export_is_made(client: Client, house: House) -> None:
    """Who has begun to read may get what was there; who asks afterwards gets nothing."""
    await asyncio.gather(*(house.watch(CANARY, n) for n in range(100)))
    await house.watch("boris", 1000)
    exports = [ask(client, "GET", "/v1/me/record/export", CANARY) for _ in range(3)]
    *done, (status, _) = await asyncio.gather(*exports, ask(client, "DELETE", "/v1/me/record", CANARY))
    if status != 200:
        # Old pages were being read: it says so, and is repeated.
        assert status == 503
        status, _ = await ask(client, "DELETE", "/v1/me/record", CANARY)
    assert status == 200
    assert {status for status, _ in done} <= {200, 503}
    _, content = await ask(client, "GET", "/v1/me/record/export", CANARY)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert json.loads(archive.read("record.json")) == []
    every = b"".join(path.read_bytes() for path in house.store.iterdir() if path.is_file())
    assert CANARY.encode() not in every
    assert len((await ask(client, "GET", "/v1/me/record", "boris"))[1]["events"]) == 1


async def test_case_66_an_account_that_a_backup_brings_back_is_removed_again(house: House) -> None:
    """Only where it is older than the erasure: whoever registers again is somebody new."""
    await house.watch("anna")
    receipt = await house.keeper.erase("anna", "")
    house.forgotten.clear()
    since = receipt.at_us
    await house.keeper.forget_again([("anna", since - 1), ("boris", since - 1)])
    assert house.forgotten == ["anna"]
    await house.keeper.forget_again([("anna", since + 1)])
    assert house.forgotten == ["anna"]


async def test_what_a_relay_erased_a_restored_database_forgets_at_the_start(house: House) -> None:
    """Case 66: before anybody is served."""
    await house.watch("anna")
    await house.log.stop()
    backup = (house.store / DATABASE).read_bytes()
    erase(house.store, prepare(house.store, "anna", 1, "2026-11-22"))
    (house.store / DATABASE).write_bytes(backup)
    await house.keeper.start()
    with opened(house.store) as people:
        assert people.pseudonyms("anna") == set()


@pytest.mark.parametrize("started", [datetime.datetime(2020, 1, 1, 12, tzinfo=datetime.UTC)])
async def test_old_days_are_purged_by_a_running_relay(
    client: Client, house: House, started: datetime.datetime
) -> None:
    """On record before they go; not while the clock is in doubt, nor while they are held."""
    for days in (0, 1):
        house.clock[0] = started + datetime.timedelta(days=days)
        await house.watch("anna", days)
    house.clock[0] = datetime.datetime.now(datetime.UTC)
    await house.watch("anna", 2)
    status, problem = await ask(client, "POST", "/v1/audit/purges", "manager", {})
    assert (status, problem["code"]) == (409, "held")
    sure = {"clock_is_right": True}
    hold = {"reason": "case", "approver": "board", "ends": _in_days(1), "last": "2020-01-01"}
    _, held = await ask(client, "POST", "/v1/audit/holds", "manager", hold)
    assert await ask(client, "POST", "/v1/audit/purges", "manager", sure) == (201, {"days": ["2020-01-02"]})
    await ask(client, "DELETE", f"/v1/audit/holds/{held['id']}", "manager")
    assert await ask(client, "POST", "/v1/audit/purges", "manager", sure) == (201, {"days": ["2020-01-01"]})
    acts = [record["target"] for record in await _lines(house) if record["type"] == "retention.purge"]
    assert acts == ["2020-01-02", "2020-01-01"]
    assert (await ask(client, "POST", "/v1/audit/purges", "eve", sure))[0] == 401


async def test_case_75_nobody_learns_whether_somebody_was_here(client: Client, house: House) -> None:
    """Who was erased and who never was get the same answers, and so does whoever asks about them."""
    await house.watch("anna")
    await house.keeper.erase("anna", "")
    names = ("anna", "never")
    own = [await ask(client, "GET", "/v1/me/record", name) for name in names]
    others = [await ask(client, "GET", "/v1/audit/events", "manager", subject=name) for name in names]
    assert own[0] == own[1]
    assert others[0] == others[1]
    first = (await ask(client, "DELETE", "/v1/me/record", "anna"))[1]
    second = (await ask(client, "DELETE", "/v1/me/record", "never"))[1]
    assert first.keys() == second.keys()
    assert first["records"] == second["records"] == 0


@pytest.mark.parametrize(("age_s", "status"), [(5, 200), (3600, 403)])
async def test_an_account_is_erased_when_its_password_was_just_given(
    house: House, age_s: int, status: int
) -> None:
    """A browser that somebody left open is not enough."""
    confirmed_us = time.time_ns() // 1000 - age_s * 1_000_000
    account = Account("a1", "main", Role.VIEWER, "", "Anna", "anna@cams.example", True, 0)
    session = WebSession("s1", "a1", confirmed_us, confirmed_us, confirmed_us, "Firefox", "")

    def signed_in(route: Route) -> Route:
        async def handle(request: web.Request) -> web.StreamResponse:
            remember(request, SignedIn(account, session))
            return await route.handler(request)

        return route._replace(handler=handle)

    async with TestClient(TestServer(build(map(signed_in, house.routes)))) as client:
        answer, problem = await ask(client, "DELETE", "/v1/me/record", "a1")
    assert answer == status
    assert (status == 200) == (house.forgotten == ["a1"])
    assert status == 200 or problem["code"] == "confirm_required"
