"""What must not get out, and what must not grow: credentials, and the names that strangers make up."""

from __future__ import annotations

import json

import aiohttp
import pytest

from asking import ask
from benchmarks.child import free_port
from processes import Relay, StartRelay, camrelay

pytestmark = pytest.mark.e2e

PASSWORD = "canary-S3cret-4f1d"
URL_PASSWORD = "Canary-In-Url-77aa"


@pytest.fixture
async def relay(start_relay: StartRelay) -> Relay:
    """A relay that logs everything it can, with a camera that does not answer."""
    return await start_relay(
        {"cam1": f"rtsp://127.0.0.1:{free_port()}/live"},
        {"server": 'log_level = "debug"'},
        f'username = "admin"\npassword = "{PASSWORD}"',
    )


async def test_case_61_credentials_get_out_nowhere(relay: Relay) -> None:
    """Not by the log at DEBUG, an answer, an error, a metric, a command or the record."""
    manager = await relay.token("*", "1h", "--action", "manage")
    said = [await relay.get("/metrics", port=relay.metrics_port) or ""]
    hidden = f"rtsp://admin:{URL_PASSWORD}@127.0.0.1:{free_port()}/live"
    wanted = {"username": "admin", "password": PASSWORD}
    for method, path, body in (
        ("POST", "/v1/probe", {"url": hidden}),
        ("POST", "/v1/probe", {"url": f"rtsp://127.0.0.1:{free_port()}/live", **wanted}),
        ("POST", "/v1/probe", {"host": "127.0.0.1", "port": free_port(), **wanted}),
        ("POST", "/v1/cameras", {"id": "cam2", "url": hidden}),
        ("POST", "/v1/cameras", {"id": "cam3", "url": "rtsp://127.0.0.1:1/", "password": PASSWORD, "id2": 1}),
        ("PATCH", "/v1/cameras/cam1", {"password": PASSWORD}),
        ("GET", "/v1/cameras/cam1", None),
        ("GET", f"/v1/cameras?token={URL_PASSWORD}", None),
        ("GET", f"/hls/{URL_PASSWORD}/index.m3u8", None),
    ):
        content = None if body is None else json.dumps(body)
        answer = await ask(relay, method, path, token=manager, body=content, Content_Type="application/json")
        said.append(answer.text + str(answer.headers))
    said += map(str, await camrelay("camera", "list", "--config", str(relay.config)))
    said += map(str, await camrelay("audit", "export", "--config", str(relay.config)))
    broken = relay.folder / "broken.toml"
    broken.write_text(f'[store]\nurl = "mysql://relay:{URL_PASSWORD}@h/d"\ndirectory = "{relay.folder}/x"\n')
    said += map(str, await camrelay("serve", "--config", str(broken)))
    broken.unlink()
    kept = [path for path in relay.folder.rglob("*") if path.is_file() and path != relay.config]

    assert relay.log in kept
    for secret in (PASSWORD, URL_PASSWORD):
        assert [text for text in said if secret in text] == []
        assert [path.name for path in kept if secret.encode() in path.read_bytes()] == []


async def test_case_71_what_strangers_make_up_is_no_label(relay: Relay) -> None:
    """Names of cameras that are not there, browsers and paths: metrics stay as many as they were."""
    async with aiohttp.ClientSession() as session:

        async def come(n: int) -> None:
            for path in (f"/hls/strange{n}/index.m3u8", f"/m/strange{n}/cam1/index.m3u8", f"/strange{n}"):
                async with session.get(relay.url(path), headers={"User-Agent": f"Strange/{n}"}) as answer:
                    assert answer.status in {401, 404, 410}

        await come(0)
        before = await labels(relay)
        for n in range(1, 50):
            await come(n)
    after = await labels(relay)

    assert "strange" not in "".join(after).lower()
    assert len(after) - len(before) < 10


async def labels(relay: Relay) -> set[str]:
    """Every metric with its labels."""
    text = await relay.get("/metrics", port=relay.metrics_port)
    assert text is not None
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}
