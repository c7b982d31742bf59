"""MediaMTX, with every listener it does not need off."""

from __future__ import annotations

import json
import socket
from collections.abc import Collection, Mapping
from typing import ClassVar

import aiohttp

from benchmarks.child import free_port
from benchmarks.exposition import Page, parse, total
from benchmarks.servers.adapter import Server


class Mediamtx(Server):
    """Pulls the cameras all the time and remuxes HLS all the time, as camrelay does."""

    name = "mediamtx"
    binary = "mediamtx"
    #: Makes HLS of every camera although nobody watches.
    always_remux: ClassVar[bool] = True

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
            "hlsAlwaysRemux": self.always_remux,
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
        remux = "yes" if self.always_remux else "no"
        self.settings = {"hlsAlwaysRemux": remux, "parts": "200 ms", "segments": "2 s", "log level": "warn"}
        return [self.binary, str(path)]

    async def is_ready(self, http: aiohttp.ClientSession, cameras: Collection[str]) -> bool:
        async with http.get(self.metrics_url) as response:
            page = parse(await response.text())
        return all(page.get(f'paths{{name="{camera}",state="ready"}}') == 1 for camera in cameras)

    def whep(self, camera: str) -> str:
        return f"http://127.0.0.1:{self._whep}/{camera}/whep"

    def hls(self, camera: str) -> str:
        return f"http://127.0.0.1:{self._hls}/{camera}/index.m3u8"

    def received_bytes(self, page: Page) -> float:
        return total(page, "paths_inbound_bytes")


class MediamtxLazy(Mediamtx):
    """As its default is: HLS is made once somebody asks for it, and the first viewer waits."""

    name = "mediamtx-lazy"
    always_remux = False
