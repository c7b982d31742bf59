"""MediaMTX, with every listener it does not need off."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping

import aiohttp

from benchmarks.child import free_port
from benchmarks.servers.adapter import Server


class Mediamtx(Server):
    """Pulls the cameras all the time and remuxes HLS all the time, as camrelay does."""

    name = "mediamtx"
    binary = "mediamtx"

    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        self._hls, self._whep = free_port(), free_port()
        metrics, udp = free_port(), free_port(socket.SOCK_DGRAM)
        self.metrics_url = f"http://127.0.0.1:{metrics}/metrics"
        unused = dict.fromkeys(("api", "pprof", "playback", "rtsp", "rtmp", "srt", "moq"), False)
        options = {
            **unused,
            "logLevel": "warn",
            "metrics": True,
            "metricsAddress": f"127.0.0.1:{metrics}",
            "hls": True,
            "hlsAddress": f"127.0.0.1:{self._hls}",
            "hlsAlwaysRemux": True,
            "hlsVariant": "lowLatency",
            "hlsSegmentCount": 7,
            "hlsSegmentDuration": "2s",
            "hlsPartDuration": "200ms",
            "webrtc": True,
            "webrtcAddress": f"127.0.0.1:{self._whep}",
            "webrtcLocalUDPAddress": f"127.0.0.1:{udp}",
            "webrtcIPsFromInterfaces": True,
            "webrtcIPsFromInterfacesList": ["lo"],
            "paths": {
                camera: {"source": url, "rtspTransport": "tcp", "sourceOnDemand": False}
                for camera, url in cameras.items()
            },
        }
        path = self.directory / "mediamtx.yml"
        path.write_text(json.dumps(options, indent=1))  # JSON is YAML.
        self.settings = {"hlsAlwaysRemux": "yes", "parts": "200 ms", "segments": "2 s", "log level": "warn"}
        return [self.binary, str(path)]

    async def is_live(self, http: aiohttp.ClientSession, camera: str) -> bool:
        async with http.get(self.hls(camera)) as response:
            return response.status == 200

    def whep(self, camera: str) -> str:
        return f"http://127.0.0.1:{self._whep}/{camera}/whep"

    def hls(self, camera: str) -> str:
        return f"http://127.0.0.1:{self._hls}/{camera}/index.m3u8"
