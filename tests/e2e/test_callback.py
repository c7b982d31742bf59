"""A relay that asks a service who may watch: the one that docs/callback.md shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from camrelay.simulate.server import Simulator
from processes import StartRelay

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).parent.parent.parent / "docs" / "callback.md"


async def test_the_example_of_the_docs_decides(start_relay: StartRelay, simulator: Simulator) -> None:
    """Its user watches, others and everybody without the service do not."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    example: dict[str, Any] = {}
    exec(code.split("web.run_app")[0], example)  # noqa: S102 - the page is ours
    service = TestServer(example["app"])
    await service.start_server()
    url = service.make_url("/check")
    relay = await start_relay({"cam1": simulator.url(1)}, {"callback": f'url = "{url}"'})
    await relay.live("cam1")

    async with aiohttp.ClientSession(relay.url()) as client:

        async def begin(password: str) -> tuple[int, dict[str, str]]:
            shown = {"Authorization": f"Bearer anna:{password}"}
            async with client.post("/v1/media/sessions", json={"camera": "cam1"}, headers=shown) as answer:
                return answer.status, await answer.json(content_type=None)

        status, session = await begin("correct horse battery")
        assert status == 201
        async with client.get(session["hls"]) as playlist:
            assert playlist.status == 200
        assert (await begin("wrong"))[0] == 401
        await service.close()
        status, problem = await begin("correct horse battery")
        assert (status, problem["code"]) == (503, "callback_failed")
    assert relay.records(type="stream.start")
    assert "correct horse" not in relay.log.read_text()
