"""Reading over HTTP who watched."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from audit_builders import DAY_US, NOON_US, make_event, write_log
from camrelay import records
from camrelay.audit.people import opened
from camrelay.audit.restriction import lift, restrict
from camrelay.config import Camera
from camrelay.errors import TokenMissing
from camrelay.model import AccessEvent, EventType
from camrelay.records import Desk, Records
from camrelay.server import build

Client = TestClient[web.Request, web.Application]

#: Whose cameras these are.
OWNERS = {"door": "dora", "yard": "yuri"}

CAMERAS = {id: Camera(id=id, url="rtsp://192.168.1.2/") for id in OWNERS}


class Guarded:
    """A guard who believes what a request says, and remembers what was put on record."""

    def __init__(self) -> None:
        self.told: list[AccessEvent] = []

    def check_manager(self, request: web.Request) -> None:
        if self.subject(request) != "manager":
            raise TokenMissing("no_token")

    def manages(self, request: web.Request) -> Callable[[Camera], bool]:
        subject = self.subject(request)
        return lambda camera: OWNERS.get(camera.id) == subject

    def subject(self, request: web.Request) -> str:
        return request.headers.get("Authorization", "").removeprefix("Bearer").strip()

    async def record(self, event: AccessEvent) -> None:
        self.told.append(event)


END = make_event(0, type=EventType.STOP, ts_us=NOON_US + 30_000_000, reason="expired", address="", agent="")


@pytest.fixture
def more() -> list[AccessEvent]:
    """What comes to the first day of the store."""
    return []


@pytest.fixture
def store(tmp_path: Path, more: list[AccessEvent]) -> Path:
    """Two days of ten starts, two cameras, two people."""
    store = tmp_path / "store"
    days = [
        [
            make_event(
                day * 10 + n,
                ts_us=NOON_US + day * DAY_US + n * 1_000_000,
                camera=("door", "yard")[n % 2],
                subject=("anna", "boris")[n // 5],
            )
            for n in range(10)
        ]
        for day in range(2)
    ]
    days[0] += more
    with opened(store) as people:
        write_log(store, [people.separate(day, NOON_US + n * DAY_US) for n, day in enumerate(days)])
    return store


@pytest.fixture
def guard() -> Guarded:
    return Guarded()


@pytest.fixture
async def client(store: Path, guard: Guarded) -> AsyncIterator[Client]:
    made = Records(store, guard, CAMERAS.get, guard.record, Desk())
    async with TestClient(TestServer(build(made.routes()))) as client:
        yield client


async def get(client: Client, path: str, token: str = "manager", **query: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    async with client.get(path, params=query, headers=headers) as response:
        return response.status, await response.json()


def viewings(answer: dict[str, Any]) -> list[str]:
    return [event["viewing"] for event in answer["events"]]


async def test_a_camera_has_an_access_log(client: Client) -> None:
    """Who watched it, from which network, when, and where that stands in the log; oldest first."""
    status, answer = await get(client, "/v1/cameras/door/access-log")
    assert (status, answer["next"]) == (200, None)
    assert viewings(answer) == ["v0", "v2", "v4", "v6", "v8", "v10", "v12", "v14", "v16", "v18"]
    event = answer["events"][0]
    assert (event["subject"], event["network"], event["agent"]) == ("anna", "203.0.113.0/24", "VLC")
    place = (event["time"], event["day"], event["position"])
    assert place == ("2026-11-21T12:00:00.000000Z", "2026-11-21", 1)
    assert (await get(client, "/v1/cameras/gone/access-log"))[1]["events"] == []


async def test_events_are_selected(client: Client) -> None:
    """By camera, person and time."""
    _, answer = await get(client, "/v1/audit/events", camera="yard", subject="boris")
    assert viewings(answer) == ["v5", "v7", "v9", "v15", "v17", "v19"]
    limits = {"from": "2026-11-21T12:00:07Z", "to": "2026-11-22T13:00:02+01:00"}
    assert viewings((await get(client, "/v1/audit/events", **limits))[1]) == ["v7", "v8", "v9", "v10", "v11"]
    assert viewings((await get(client, "/v1/audit/events", subject="eve"))[1]) == []
    assert len(viewings((await get(client, "/v1/audit/events", **{"from": "2026-11-22"}))[1])) == 10


async def test_long_answers_come_in_pages(client: Client) -> None:
    """Each begins where the last one ended, across days; the last says that it is."""
    seen, query = [], {"limit": "3"}
    while True:
        _, answer = await get(client, "/v1/audit/events", **query)
        assert len(answer["events"]) <= 3
        seen += viewings(answer)
        if answer["next"] is None:
            break
        query["after"] = answer["next"]
    assert seen == [f"v{n}" for n in range(20)]


async def test_who_was_forgotten_is_not_in_the_answer(client: Client, store: Path) -> None:
    """The record is, without whom it is about."""
    with opened(store) as people:
        people.erase("anna")
    _, answer = await get(client, "/v1/cameras/door/access-log")
    assert len(answer["events"]) == 10
    assert not {"subject", "network", "agent"} & answer["events"][0].keys()
    assert (await get(client, "/v1/audit/events", subject="anna"))[1]["events"] == []


async def test_an_owner_reads_about_their_own_camera(client: Client) -> None:
    """And about no other, known or not."""
    assert (await get(client, "/v1/cameras/door/access-log", "dora"))[0] == 200
    assert (await get(client, "/v1/cameras/door/viewings", "dora"))[0] == 200
    for path in ("/v1/cameras/yard/viewings", "/v1/cameras/gone/access-log", "/v1/audit/events"):
        assert (await get(client, path, "dora"))[0] == 401


async def test_case_68_whoever_reads_is_on_record_for_each_person_shown(
    client: Client, guard: Guarded
) -> None:
    """With whom, about whom and how much; also when there was nothing to be seen, and not about oneself."""
    await get(client, "/v1/cameras/door/access-log", "dora")
    events = [(event.type, event.subject, event.about, event.camera, event.count) for event in guard.told]
    assert events == [
        (EventType.READ, "dora", "anna", "door", 6),
        (EventType.READ, "dora", "boris", "door", 4),
    ]
    guard.told.clear()
    await get(client, "/v1/audit/events", subject="nobody")
    assert [(event.about, event.count) for event in guard.told] == [("", 0)]


async def test_who_is_restricted_is_not_shown(client: Client, store: Path, guard: Guarded) -> None:
    """Their records are, as anybody's; until the restriction ends."""
    with opened(store) as people:
        alias = people.alias("anna")
    restrict(store, alias)
    _, answer = await get(client, "/v1/audit/events")
    assert {event.get("subject", "") for event in answer["events"]} == {"", "boris"}
    assert len(answer["events"]) == 20
    assert {event.about for event in guard.told} == {"boris"}
    assert viewings((await get(client, "/v1/audit/events", subject="anna"))[1]) == []
    lift(store, alias)
    assert len(viewings((await get(client, "/v1/audit/events", subject="anna"))[1])) == 10


@pytest.mark.parametrize("more", [[msgspec.structs.replace(END, duration_ms=30_000)]])
async def test_viewings_have_a_start_and_an_end(client: Client) -> None:
    """Or none while they run; in pages, of days, and as a table for other programs."""
    _, answer = await get(client, "/v1/cameras/door/viewings", "dora", limit="4")
    assert [each["viewing"] for each in answer["viewings"]] == ["v0", "v2", "v4", "v6"]
    first = answer["viewings"][0]
    assert (first["subject"], first["network"], first["agent"]) == ("anna", "203.0.113.0/24", "VLC")
    assert first["start"] == "2026-11-21T12:00:00.000000Z"
    assert (first["end"], first["seconds"], first["reason"]) == ("2026-11-21T12:00:30.000000Z", 30, "expired")
    assert "end" not in answer["viewings"][1]
    _, answer = await get(client, "/v1/cameras/door/viewings", "dora", after=answer["next"], to="2026-11-22")
    assert ([each["viewing"] for each in answer["viewings"]], answer["next"]) == (["v8"], None)
    headers = {"Authorization": "Bearer dora"}
    async with client.get("/v1/cameras/door/viewings?format=csv", headers=headers) as response:
        assert response.content_type == "text/csv"
        table = list(csv.DictReader(io.StringIO(await response.text())))
    assert [row["viewing"] for row in table][:2] == ["v0", "v2"]
    assert (table[0]["seconds"], table[1]["end"]) == ("30", "")


@pytest.mark.parametrize("path", ["/v1/audit/events", "/v1/cameras/door/access-log"])
async def test_only_managers_may_read(client: Client, path: str) -> None:
    """Case 72: whatever else the request says."""
    status, problem = await get(client, path, token="viewer", limit="nonsense")
    assert (status, problem["code"]) == (401, "token_required")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "-1"},
        {"limit": "٣"},
        {"after": "../../etc/passwd"},
        {"after": "2026-11-21.x"},
        {"after": "2026-11-21.1' OR 1=1"},
        {"from": "yesterday"},
        {"to": "9999-99-99"},
        {"subject": "x" * 300},
        {"camera": "x" * 300},
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(client: Client, query: dict[str, str]) -> None:
    """Case 72: with what would be right, and nothing repeated."""
    status, problem = await get(client, "/v1/audit/events", **query)
    assert (status, problem["code"]) == (400, "bad_request")
    assert not any(value in problem["title"] for value in query.values() if len(value) > 4)


async def test_case_72_no_parameter_opens_another_camera(client: Client) -> None:
    """Not its name, not a place of its records, no order and no second camera."""
    _, theirs = await get(client, "/v1/cameras/yard/access-log", "yuri", limit="2")
    for query in (
        {"camera": "yard"},
        {"after": theirs["next"]},
        {"order": "camera", "sort": "subject; DROP TABLE people"},
        {"subject": "boris", "camera": "*"},
    ):
        status, answer = await get(client, "/v1/cameras/door/access-log", "dora", **query)
        assert status == 200
        assert {event["camera"] for event in answer["events"]} == {"door"}
    assert (await get(client, "/v1/cameras/yard/access-log", "dora", after=theirs["next"]))[0] == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_case_68_nobody_edits_the_record(client: Client, method: str) -> None:
    """There is no such request, whoever makes it; nor can one's own reading be taken back."""
    headers = {"Authorization": "Bearer manager"}
    for path in ("/v1/audit/events", "/v1/cameras/door/access-log", "/v1/cameras/door/viewings"):
        async with client.request(method, path, headers=headers, json={}) as response:
            assert response.status in (404, 405)


async def test_readers_wait_for_each_other_and_not_forever(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a number nobody waits any more."""
    monkeypatch.setattr(records, "MAX_WAITING", 0)
    assert (await get(client, "/v1/audit/events"))[0] == 503


async def test_a_record_that_cannot_be_read_is_a_matter_of_time(client: Client, store: Path) -> None:
    """The disk failed: not the asker's fault."""
    shutil.move(store / "people.db", store / "elsewhere")
    (store / "people.db").mkdir()
    status, problem = await get(client, "/v1/audit/events")
    assert status == 503
    assert "people.db" not in problem["title"]
