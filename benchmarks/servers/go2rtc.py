"""go2rtc. It pulls a camera when the first viewer comes; its HLS is not low-latency and not measured."""

from __future__ import annotations

import json
import socket
from collections.abc import Collection, Mapping

import aiohttp

from benchmarks.child import accepts, free_port
from benchmarks.servers.adapter import Server


class Go2rtc(Server):
    """Only the modules a WHEP viewer needs, no STUN server, loopback candidates."""

    name = "go2rtc"
    binary = "go2rtc"

    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        self._http = free_port()
        udp = free_port(socket.SOCK_DGRAM)
        options = {
            "app": {"modules": ["api", "rtsp", "webrtc"]},
            "log": {"level": "warn"},
            "api": {"listen": f"127.0.0.1:{self._http}"},
            "rtsp": {"listen": ""},
            "webrtc": {
                "listen": f"127.0.0.1:{udp}/udp",
                "ice_servers": [],
                "filters": {"loopback": True, "networks": ["udp4"]},
            },
            "streams": dict(cameras),
        }
        path = self.directory / "go2rtc.yaml"
        path.write_text(json.dumps(options, indent=1))  # JSON is YAML.
        self.settings = {"modules": "api, rtsp, webrtc", "cameras": "pulled on demand", "log level": "warn"}
        return [self.binary, "-config", str(path)]

    async def is_ready(self, http: aiohttp.ClientSession, cameras: Collection[str]) -> bool:
        return await accepts(self._http)

    def whep(self, camera: str) -> str:
        return f"http://127.0.0.1:{self._http}/api/webrtc?src={camera}"
