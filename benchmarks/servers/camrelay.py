"""camrelay itself, as `camrelay serve` runs it."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Collection, Mapping

import aiohttp

from benchmarks.child import free_port
from benchmarks.exposition import Page, parse, total
from benchmarks.servers.adapter import Server


class Camrelay(Server):
    """Public cameras, so that viewers need no token; everything else as it comes. The access record is on."""

    name = "camrelay"

    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        self._http = free_port()
        metrics, udp = free_port(), free_port(socket.SOCK_DGRAM)
        self.metrics_url = f"http://127.0.0.1:{metrics}/metrics"
        sections: dict[str, dict[str, str | list[str]]] = {
            "server": {"listen": f"127.0.0.1:{self._http}", "log_level": "warning"},
            "metrics": {"listen": f"127.0.0.1:{metrics}"},
            "webrtc": {"listen": f"127.0.0.1:{udp}", "advertise": ["127.0.0.1"]},
            "egress": {"allow": ["127.0.0.0/8"]},
            "store": {"directory": str(self.directory / "data")},
        }
        # A JSON string, number or list of strings is a TOML one too.
        lines = []
        for section, options in sections.items():
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in options.items())]
        for camera, url in cameras.items():
            lines += ["[[camera]]", f'id = "{camera}"', f'url = "{url}"', 'visibility = "public"']
        path = self.directory / "camrelay.toml"
        path.write_text("\n".join(lines) + "\n")
        self.settings = {"cameras": "public", "parts": "200 ms", "segments": "2 s", "access record": "on"}
        return [sys.executable, "-m", "camrelay", "serve", "--config", str(path)]

    async def is_ready(self, http: aiohttp.ClientSession, cameras: Collection[str]) -> bool:
        async with http.get(self.metrics_url) as response:
            page = parse(await response.text())
        return all(page.get(f'camrelay_camera_up{{camera="{camera}"}}') == 1 for camera in cameras)

    def whep(self, camera: str) -> str:
        return f"http://127.0.0.1:{self._http}/whep/{camera}"

    def hls(self, camera: str) -> str:
        return f"http://127.0.0.1:{self._http}/hls/{camera}/index.m3u8"

    def received_bytes(self, page: Page) -> float:
        return total(page, "camrelay_camera_bytes_total")
