"""Finding, probing and picturing cameras of a running relay, over HTTP and from the command line."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from asking import Answer, ask
from cameras.onvif_device import OnvifDevice
from cameras.onvif_discovery import Discoverable
from camrelay.simulate.options import Options, Picture
from camrelay.simulate.server import Simulator
from processes import Relay, StartRelay, camrelay, until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("multicast")]

CANARY = "canary-pa55"
JPEG = b"\xff\xd8\xff"


async def manager(relay: Relay) -> str:
    """A token that may change cameras."""
    return await relay.token("*", "1h", "--action", "manage")


async def post(relay: Relay, path: str, body: object, token: str) -> Answer:
    """Asks with a JSON body."""
    return await ask(relay, "POST", path, token=token, body=json.dumps(body), Content_Type="application/json")


async def test_a_device_is_searched_asked_and_looked_at(start_relay: StartRelay) -> None:
    """From the network to a picture; its password is nowhere afterwards."""
    picture = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)
    options = Options(cameras=1, user="admin", password=CANARY, picture=picture)
    relay = await start_relay({})
    token = await manager(relay)
    async with (
        Simulator(options) as simulator,
        OnvifDevice({"main": simulator.url(1)}, password=CANARY, clock_ahead_s=3600) as device,
        Discoverable(f"http://0.0.0.0:{device.port}/onvif/device_service", port=3702),
    ):
        search = {"seconds": 3, "host": "127.0.0.1"}
        found = await post(relay, "/v1/discover", search, token)
        (line,) = found.text.splitlines()
        who = {"host": json.loads(line)["host"], "port": json.loads(line)["port"]}
        who |= {"username": "admin", "password": CANARY}
        described = await post(relay, "/v1/probe", who, token)
        previewed = await post(relay, "/v1/probe", who | {"profile": "main"}, token)

    assert found.headers["Content-Type"] == "application/x-ndjson"
    (profile,) = described.json["device"]["profiles"]
    assert profile["rtsp_url"] == simulator.url(1)
    stream = previewed.json["stream"]
    assert (stream["reason"], stream["video"]["width"], stream["hls"]["works"]) == ("", 320, True)
    assert base64.b64decode(stream["jpeg"]).startswith(JPEG)
    seen = (described.text, previewed.text, relay.log.read_text())
    assert not any(CANARY in text for text in seen)


async def test_finding_is_for_managers(relay: Relay) -> None:
    """Nobody else makes camrelay talk to addresses of their choice."""
    token = await relay.token("*", "1h")
    for path, refused in (("/v1/discover", 403), ("/v1/probe", 403), ("/v1/cameras/cam1/probe", 404)):
        assert (await post(relay, path, {}, "")).status == 401
        assert (await post(relay, path, {}, token)).status == refused


REFUSED: list[tuple[dict[str, object], int]] = [
    ({}, 400),
    ({"url": "rtsp://127.0.0.1/x", "host": "127.0.0.1"}, 400),
    ({"url": "rtsp://169.254.169.254/x"}, 422),
    ({"url": "file:///etc/passwd"}, 422),
    ({"url": "rtsp://0x7f000001/x"}, 422),
    ({"host": "a b"}, 422),
    ({"host": "127.0.0.1", "port": 0}, 400),
    ({"hots": "127.0.0.1"}, 400),
]


async def test_what_cannot_be_probed_is_refused(start_relay: StartRelay) -> None:
    """Before anything is sent anywhere (abuse cases 43 and 44)."""
    relay = await start_relay({})
    token = await manager(relay)

    for body, status in REFUSED:
        assert (body, status) == (body, (await post(relay, "/v1/probe", body, token)).status)


async def test_a_live_camera_is_reported_from_what_it_sends(relay: Relay) -> None:
    """Without a second connection to it."""
    token = await manager(relay)

    answer = await post(relay, "/v1/cameras/cam1/probe", {}, token)

    stream = answer.json["stream"]
    assert (stream["video"]["codec"], stream["video"]["gop_s"]) == ("h264", 1.0)
    assert base64.b64decode(stream["jpeg"]).startswith(JPEG)
    assert (await post(relay, "/v1/cameras/nobody/probe", {}, token)).status == 404


async def test_a_snapshot_is_a_viewing(relay: Relay) -> None:
    """It needs the action, and stands in the record with its bytes."""
    token = await relay.token("cam1", "1h", "--action", "snapshot")
    await relay.live("cam1")

    answer = await ask(relay, "GET", "/snapshot/cam1.jpg", token=token)

    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")

    async def stopped() -> list[dict[str, Any]] | None:
        return relay.records(type="stream.stop", protocol="snapshot") or None

    (stop,) = await until(stopped, "the viewing's end is on record")
    assert (stop["camera"], stop["bytes_sent"] > 1000) == ("cam1", True)
    watcher = await relay.token("cam2", "1h")
    assert (await ask(relay, "GET", "/snapshot/cam1.jpg")).status == 401
    assert (await ask(relay, "GET", "/snapshot/cam1.jpg", token=watcher)).status == 404
    assert (await ask(relay, "GET", "/snapshot/..%2fcam1.jpg", token=token)).status == 404


async def test_the_command_line_probes(relay: Relay) -> None:
    """A registered camera by its id, in words, with a picture."""
    picture = relay.folder / "cam1.jpg"

    status, output, errors = await camrelay(
        "camera", "probe", "cam1", "--config", str(relay.config), "--picture", str(picture)
    )

    assert (status, errors.strip()) == (0, "looking; this takes up to half a minute")
    assert "h264 Main, 320x180" in output
    assert "WebRTC     works" in output
    assert picture.read_bytes().startswith(JPEG)


async def test_the_command_line_asks_devices(start_relay: StartRelay) -> None:
    """By the service that `camrelay discover` prints; failures are words and an exit status."""
    relay = await start_relay({})
    async with OnvifDevice(username="", password="") as device:
        target = f"http://127.0.0.1:{device.port}/onvif/device_service"
        _, output, _ = await camrelay("camera", "probe", target, "--config", str(relay.config))
    status, gone, _ = await camrelay("camera", "probe", target, "--config", str(relay.config))

    assert "it refuses the user name" in output
    assert (status, gone.strip()) == (1, "device     it does not answer")
