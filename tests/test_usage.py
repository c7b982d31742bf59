"""Reading over HTTP how much cameras are watched."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from camrelay.audit.statistic import Usage
from camrelay.audit.usage import STATISTICS
from camrelay.records import Desk
from camrelay.server import build
from camrelay.usage import UsageNumbers
from test_records import CAMERAS, Guarded

Client = TestClient[web.Request, web.Application]

DAYS = [
    Usage("2026-11-20", "door", views=15, watch_s=1200, peak=5),
    Usage("2026-11-20", "yard", views=20, watch_s=600, peak=10),
    Usage("2026-11-21", "door"),
]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    (tmp_path / STATISTICS).write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in DAYS))
    made = UsageNumbers(tmp_path, Guarded(), CAMERAS.get, Desk())
    async with TestClient(TestServer(build(made.routes()))) as client:
        yield client


async def get(client: Client, who: str, **query: str) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {who}"}
    async with client.get("/v1/statistics", params=query, headers=headers) as response:
        return response.status, await response.text()


async def test_whoever_runs_the_relay_sees_all_cameras_and_their_sum(client: Client) -> None:
    """Where there is nothing to be told, there are no numbers."""
    status, text = await get(client, "manager")
    answer = json.loads(text)
    assert (status, answer["k"], len(answer["days"])) == (200, 10, 5)
    assert answer["days"][2] == {"day": "2026-11-21", "camera": "door"}
    assert answer["days"][3] == {"day": "2026-11-20", "camera": "", "views": 35, "watch_s": 1800, "peak": 10}
    _, text = await get(client, "manager", **{"from": "2026-11-21"})
    assert [day["day"] for day in json.loads(text)["days"]] == ["2026-11-21"] * 2


async def test_an_owner_sees_their_camera(client: Client) -> None:
    """And no other, nor the sum of all."""
    status, text = await get(client, "dora", camera="door")
    assert (status, len(json.loads(text)["days"])) == (200, 2)
    for query in ({"camera": "yard"}, {}):
        assert (await get(client, "dora", **query))[0] == 401


async def test_numbers_are_a_table_or_a_plot(client: Client) -> None:
    """For other programs, and for people without one."""
    _, text = await get(client, "manager", format="csv")
    assert text.splitlines()[:2] == ["day,camera,views,watch_s,peak", "2026-11-20,door,15,1200,5"]
    _, text = await get(client, "manager", format="svg")
    assert text.count("<rect") == 1
    assert "2026-11-20: 35" in text


@pytest.mark.parametrize("query", [{"format": "exe"}, {"from": "yesterday"}, {"to": "2026-11-21T12:00"}])
async def test_case_69_nothing_finer_than_a_day_can_be_asked_for(
    client: Client, query: dict[str, str]
) -> None:
    """Nor by anything else than the camera."""
    assert (await get(client, "manager", **query))[0] == 400
