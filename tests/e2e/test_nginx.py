"""config/nginx.conf as it is shipped: TLS, HTTP/2, blocked reloads, client addresses, no secret logged."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from asking import media_playlist, open_session
from benchmarks.child import free_port
from camrelay.simulate.server import Simulator
from processes import Relay, StartRelay, until

pytestmark = pytest.mark.e2e

SHIPPED = Path(__file__).parents[2] / "config" / "nginx.conf"


class Nginx(NamedTuple):
    """A running nginx and the relay behind it."""

    relay: Relay
    port: int
    folder: Path

    async def get(self, path: str, *more: str) -> tuple[str, str]:
        """Head and body of a GET by curl, which says which HTTP it was."""
        url = f"https://127.0.0.1:{self.port}{path}"
        command = ("curl", "--silent", "--insecure", "--http2", "--max-time", "15", "--include", *more, url)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        head, _, body = output.decode("utf-8", "replace").partition("\r\n\r\n")
        return head, body


@pytest.fixture
async def nginx(start_relay: StartRelay, simulator: Simulator, tmp_path: Path) -> AsyncIterator[Nginx]:
    """The shipped file with this test's addresses and files in it, and nothing else changed."""
    relay = await start_relay(
        {"cam1": simulator.url(1)}, {"server": 'trusted_proxies = ["127.0.0.1"]'}, 'visibility = "public"'
    )
    await relay.live("cam1")
    port = free_port()
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=cams.example"
    )
    command = [*make.split(), "-keyout", key, "-out", certificate]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    text = SHIPPED.read_text()
    for shipped, here in (
        ("127.0.0.1:8080", f"127.0.0.1:{relay.port}"),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/ssl/cams.example.pem", str(certificate)),
        ("/etc/ssl/cams.example.key", str(key)),
        ("/var/log/nginx", str(tmp_path)),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    (tmp_path / "camrelay.conf").write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr; events {{}}"
        f"http {{ {temporary} include {tmp_path}/camrelay.conf; }}"
    )
    process = await asyncio.create_subprocess_exec("nginx", "-c", str(tmp_path / "nginx.conf"))
    running = Nginx(relay, port, tmp_path)

    async def answers() -> bool:
        return " 200" in (await running.get("/readyz"))[0]

    await until(answers, "nginx answers")
    yield running
    process.terminate()
    await process.wait()


async def test_blocked_reloads_and_parts_pass_over_http2(nginx: Nginx) -> None:
    """A reload for the next part is held and answered; the part named in it is there at once."""
    session = (await open_session(nginx.relay, "cam1")).json
    path = await media_playlist(nginx.relay, session["hls"])
    head, playlist = await nginx.get(path)
    assert head.startswith("HTTP/2 200")
    msn = int(re.findall(r"MEDIA-SEQUENCE:(\d+)", playlist)[0]) + playlist.count("#EXTINF")
    parts = playlist.rpartition("#EXTINF")[2].count("#EXT-X-PART:")

    head, later = await nginx.get(f"{path}?_HLS_msn={msn}&_HLS_part={parts + 1}")

    assert head.startswith("HTTP/2 200")
    part = re.findall(r'#EXT-X-PART:URI="([^"]+)"', later)[-1]
    assert f'URI="{part}"' not in playlist
    head, _ = await nginx.get(path.rpartition("/")[0] + "/" + part)
    assert head.startswith("HTTP/2 200")


async def test_the_record_has_the_viewers_network_and_not_the_proxys(nginx: Nginx) -> None:
    """camrelay believes the proxy it was told to trust; a header that the viewer made up is overwritten."""
    head, _ = await nginx.get(
        "/hls/cam1/index.m3u8", "--location", "--header", "X-Forwarded-For: 203.0.113.9"
    )
    assert "HTTP/2 200" in head or "HTTP/2 307" in head

    (record,) = nginx.relay.records(type="stream.start")
    assert "203.0.113" not in json.dumps(record)


async def test_no_capability_is_logged(nginx: Nginx) -> None:
    """The path of a media session would let whoever reads the log watch."""
    session = (await open_session(nginx.relay, "cam1")).json
    secret = session["hls"].split("/")[2]

    await nginx.get(session["hls"])
    await nginx.get(f"/m/{secret}/cam1/main/nothing")

    log = "".join(file.read_text() for file in nginx.folder.glob("camrelay*.log"))
    assert "/m/***/cam1/index.m3u8" in log
    assert secret not in log
