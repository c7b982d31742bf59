"""Cameras registered while the relay runs: by the API, by the command line, and gone without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from asking import Answer, ask, open_session
from cameras.onvif_device import OnvifDevice
from camrelay.simulate.options import Options, Picture
from camrelay.simulate.server import Simulator
from processes import Relay, StartRelay, camrelay, until
from watching import Watching

pytestmark = pytest.mark.e2e

CANARY = "S3cret-canary-9000"
PICTURE = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)


async def manage(relay: Relay, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
    """Asks with a grant to manage."""
    token = next(iter(relay.tokens), "") or await relay.token("*", "1h", "--action", "manage")
    text = None if body is None else json.dumps(body)
    return await ask(relay, method, path, token=token, body=text, Content_Type="application/json")


def everything_on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def test_a_camera_with_a_password_plays_and_the_password_is_nowhere(start_relay: StartRelay) -> None:
    """Registered by the API it is live at once, by SHA-256; no file and no answer shows the password."""
    options = Options(cameras=1, picture=PICTURE, password=CANARY, auth="digest-sha256")
    async with Simulator(options) as camera:
        relay = await start_relay({}, {"server": 'log_level = "debug"'})
        fields = {"id": "gate", "url": camera.url(1), "username": "admin", "password": CANARY}

        added = await manage(relay, "POST", "/v1/cameras", fields)
        assert added.status == 201, added.text
        await relay.live("gate")
        shown = await manage(relay, "GET", "/v1/cameras/gate")
        metrics = await relay.get("/metrics", port=relay.metrics_port)

        assert shown.json["state"] == "live"
        for text in (added.text, shown.text, metrics or ""):
            assert CANARY not in text
        assert CANARY.encode() not in everything_on_disk(relay.folder)


async def test_the_command_line_adds_changes_and_removes_without_touching_others(relay: Relay) -> None:
    """cam1 goes on over everything that happens to the new one."""
    reconnects = await relay.metric("camrelay_camera_reconnects_total", camera="cam1")
    config = ("--config", str(relay.config))
    view = json.loads((await camrelay("camera", "show", *config, "cam1"))[1])
    url = "rtsp://127.0.0.1:1/nobody"

    status, output, errors = await camrelay("camera", "add", *config, "pier", url, "--title", "The pier")
    assert (status, errors) == (0, "")
    assert "pier is added" in output
    status, output, _ = await camrelay("camera", "list", *config)
    assert status == 0
    assert "The pier" in output
    change = ("camera", "change", *config, "pier", "--visibility", "public")
    assert (await camrelay(*change))[0] == 1, "nobody confirmed it"
    assert (await camrelay(*change, "--yes"))[0] == 0
    assert (await open_session(relay, "pier")).status == 201
    assert (await camrelay("camera", "remove", *config, "--yes", "pier"))[0] == 0

    assert (await open_session(relay, "pier")).status == 401
    after = json.loads((await camrelay("camera", "show", *config, "cam1"))[1])
    assert (after["state"], after["since_us"]) == ("live", view["since_us"])
    assert await relay.metric("camrelay_camera_reconnects_total", camera="cam1") == reconnects


async def test_a_registered_camera_is_back_after_a_restart(start_relay: StartRelay) -> None:
    """The database remembers what the configuration file does not say."""
    async with Simulator(Options(cameras=1, picture=PICTURE)) as camera:
        relay = await start_relay({})
        await manage(relay, "POST", "/v1/cameras", {"id": "gate", "url": camera.url(1)})
        await relay.stop()
        await relay.start()
        await relay.live("gate")


async def test_a_refused_password_is_shown_twice_whatever_happens(start_relay: StartRelay) -> None:
    """Camera fault F11: not after a restart, not by a probe, not over ONVIF; nothing shows it anywhere."""
    shown: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                if "Authorization:" in head:
                    shown.append(head)
                number = next(line for line in head.split("\r\n") if line.startswith("CSeq:"))
                challenge = 'WWW-Authenticate: Digest realm="camera", nonce="1"'
                writer.write(f"RTSP/1.0 401 Unauthorized\r\n{number}\r\n{challenge}\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server, OnvifDevice(password="right") as device:
        relay = await start_relay({}, {"server": 'log_level = "debug"'})
        url = f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        account = {"username": "admin", "password": CANARY}

        async def held() -> bool:
            view = (await manage(relay, "GET", "/v1/cameras/gate")).json
            minutes = ((view["retry_at_us"] or 0) / 1e6 - time.time()) / 60
            return view["reason"].startswith("credentials_") and 25 < minutes <= 30

        await manage(relay, "POST", "/v1/cameras", {"id": "gate", "url": url, **account})
        await until(held, "two refusals")
        await relay.stop()
        await relay.start()
        await until(held, "the hold after a restart")
        over_rtsp = await manage(relay, "POST", "/v1/probe", {"url": url, **account})
        over_onvif = await manage(
            relay, "POST", "/v1/probe", {"host": "127.0.0.1", "port": device.port, **account}
        )
        metrics = await relay.get("/metrics", port=relay.metrics_port)

        assert over_rtsp.json["stream"]["reason"] == "credentials_on_hold"
        assert over_onvif.json["reason"] == "credentials_on_hold"
        assert over_onvif.json["retry_at_us"] > time.time_ns() // 1000
        assert len(shown) == 2
        assert device.calls == []
        for text in (over_rtsp.text, over_onvif.text, metrics or ""):
            assert CANARY not in text
        assert CANARY.encode() not in everything_on_disk(relay.folder)


async def test_what_cannot_be_registered_says_why(relay: Relay) -> None:
    """Abuse cases 37, 43, 44, 54: refused with a problem, and nothing is stored."""
    for body, status, code in (
        ({"id": "cam1", "url": "rtsp://127.0.0.1/"}, 409, "camera_exists"),
        ({"id": "new", "url": "rtsp://169.254.169.254/"}, 422, "egress_denied"),
        ({"id": "new", "url": "rtsp://admin:x@127.0.0.1/"}, 422, "config"),
        ({"id": "new", "url": "file:///etc/passwd"}, 422, "config"),
        ({"id": "../new", "url": "rtsp://127.0.0.1/"}, 400, "bad_request"),
        ({"id": "new", "url": "rtsp://127.0.0.1/", "role": "admin"}, 400, "bad_request"),
        ({"url": "rtsp://127.0.0.1/"}, 400, "bad_request"),
    ):
        answer = await manage(relay, "POST", "/v1/cameras", body)
        assert (answer.status, answer.problem["code"]) == (status, code), body
    cameras = (await manage(relay, "GET", "/v1/cameras")).json["cameras"]
    assert [each["id"] for each in cameras] == ["cam1", "cam2"]


async def test_a_viewer_may_not_manage(relay: Relay) -> None:
    """A grant to watch every camera changes none; without a grant nobody learns anything."""
    watcher = await relay.token("*")
    for token, status in ((watcher, 403), ("", 401)):
        answer = await ask(relay, "DELETE", "/v1/cameras/cam1", token=token)
        assert answer.status == status


async def test_removing_a_camera_ends_its_viewings_with_a_reason(
    relay: Relay, start_relay: StartRelay
) -> None:
    """Who watched a camera that is taken away is cut, and the record says why."""
    config = ("--config", str(relay.config))
    url = "rtsp://127.0.0.1:1/nobody"
    assert (await camrelay("camera", "add", *config, "pier", url, "--visibility", "public"))[0] == 0
    session = (await open_session(relay, "pier")).json

    assert (await camrelay("camera", "remove", *config, "--yes", "pier"))[0] == 0

    answer = await ask(relay, "GET", session["hls"])
    assert (answer.status, answer.problem["code"]) == (410, "session_ended")


async def test_an_on_demand_camera_runs_while_somebody_watches(
    start_relay: StartRelay, simulator: Simulator, chromium: Browser
) -> None:
    """The player asks for a camera that stands by, either way; after the last viewer it stands by again."""
    options = {"ingest": "linger_s = 1"}
    relay = await start_relay({"cam1": simulator.url(1)}, options, 'connect = "on_demand"')
    token = await relay.token("cam1")

    async def standing_by() -> bool:
        shown = (await ask(relay, "GET", "/v1/cameras/cam1", token=token)).json
        return (shown["connect"], shown["state"]) == ("on_demand", "standby")

    for protocol in ("webrtc", "hls"):
        await until(standing_by, "the camera stands by")
        watching = await Watching.open(chromium, relay.url(), "cam1", protocol, token)
        await watching.more_pictures(10)
        assert await relay.metric("camrelay_camera_up", camera="cam1") == 1
        await watching.page.evaluate("() => player.remove()")
        if protocol == "webrtc":
            await until(standing_by, "the camera stands by again", 10)
