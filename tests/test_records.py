"""Reading over HTTP who watched."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from audit_builders import DAY_US, NOON_US, make_event, write_log
from camrelay import records
from camrelay.audit.people import opened
from camrelay.errors import TokenMissing
from camrelay.records import Records
from camrelay.server import build

Client = TestClient[web.Request, web.Application]


def check_manager(request: web.Request) -> None:
    if request.headers.get("Authorization") != "Bearer manager":
        raise TokenMissing("no_token")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two days of ten starts, two cameras, two people."""
    store = tmp_path / "store"
    with opened(store) as people:
        days = [
            people.separate(
                [
                    make_event(
                        day * 10 + n,
                        ts_us=NOON_US + day * DAY_US + n * 1_000_000,
                        camera=("door", "yard")[n % 2],
                        subject=("anna", "boris")[n // 5],
                    )
                    for n in range(10)
                ],
                NOON_US + day * DAY_US,
            )
            for day in range(2)
        ]
    write_log(store, days)
    return store


@pytest.fixture
async def client(store: Path) -> AsyncIterator[Client]:
    async with TestClient(TestServer(build(Records(store, check_manager).routes()))) as client:
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
