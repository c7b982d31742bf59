"""config/Caddyfile as it is shipped: TLS, HTTP/2 and blocked reloads. Runs where caddy is installed."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asking import media_playlist, open_session
from benchmarks.child import free_port
from camrelay.simulate.server import Simulator
from processes import Relay, StartRelay, until

CADDY = shutil.which("caddy")
pytestmark = [pytest.mark.e2e, pytest.mark.skipif(CADDY is None, reason="no caddy on PATH")]

SHIPPED = Path(__file__).parents[2] / "config" / "Caddyfile"


class Caddy:
    """A running Caddy and the relay behind it."""

    def __init__(self, relay: Relay, port: int) -> None:
        self.relay = relay
        self._url = f"https://127.0.0.1:{port}"

    async def get(self, path: str, *more: str) -> tuple[str, str]:
        """Head and body of a GET by curl, which says which HTTP it was."""
        command = ("curl", "--silent", "--insecure", "--http2", "--max-time", "15", "--include", *more)
        process = await asyncio.create_subprocess_exec(
            *command, self._url + path, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        head, _, body = output.decode("utf-8", "replace").partition("\r\n\r\n")
        return head, body


@pytest.fixture
async def caddy(start_relay: StartRelay, simulator: Simulator, tmp_path: Path) -> AsyncIterator[Caddy]:
    """The shipped file with this test's addresses and a certificate of its own, and nothing else changed."""
    relay = await start_relay(
        {"cam1": simulator.url(1)}, {"server": 'trusted_proxies = ["127.0.0.1"]'}, 'visibility = "public"'
    )
    await relay.live("cam1")
    port, key, certificate = free_port(), tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=cams.example"
    )
    command = [*make.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    text = SHIPPED.read_text()
    for shipped, here in (
        ("cams.example {", f"https://127.0.0.1:{port} {{\n\ttls {certificate} {key}"),
        ("127.0.0.1:8080", f"127.0.0.1:{relay.port}"),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    (tmp_path / "Caddyfile").write_text(
        f"{{\n\tadmin off\n\tauto_https off\n\tstorage file_system {tmp_path}\n}}\n{text}"
    )
    process = await asyncio.create_subprocess_exec(
        str(CADDY), "run", "--adapter", "caddyfile", "--config", str(tmp_path / "Caddyfile"),
        env={"HOME": str(tmp_path)}, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    running = Caddy(relay, port)

    async def answers() -> bool:
        return " 200" in (await running.get("/readyz"))[0]

    await until(answers, "caddy answers")
    yield running
    process.terminate()
    await process.wait()


async def test_blocked_reloads_pass_and_records_name_the_viewers_network(caddy: Caddy) -> None:
    """Over HTTP/2, held and answered; the address that a viewer made up is not believed."""
    session = (await open_session(caddy.relay, "cam1")).json
    path = await media_playlist(caddy.relay, session["hls"])
    head, playlist = await caddy.get(path)
    assert head.startswith("HTTP/2 200")
    msn = int(re.findall(r"MEDIA-SEQUENCE:(\d+)", playlist)[0]) + playlist.count("#EXTINF")
    parts = playlist.rpartition("#EXTINF")[2].count("#EXT-X-PART:")

    head, later = await caddy.get(f"{path}?_HLS_msn={msn}&_HLS_part={parts + 1}")

    assert head.startswith("HTTP/2 200")
    part = re.findall(r'#EXT-X-PART:URI="([^"]+)"', later)[-1]
    assert f'URI="{part}"' not in playlist
    head, _ = await caddy.get(path.rpartition("/")[0] + "/" + part)
    assert head.startswith("HTTP/2 200")

    await caddy.get("/hls/cam1/index.m3u8", "--location", "--header", "X-Forwarded-For: 203.0.113.9")
    assert "203.0.113" not in json.dumps(caddy.relay.records(type="stream.start"))
