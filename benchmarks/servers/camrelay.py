"""camrelay itself, as `camrelay serve` runs it."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import ClassVar

import aiohttp

from benchmarks.child import free_port
from benchmarks.exposition import Page, parse, total
from benchmarks.servers.adapter import Server
from camrelay.auth.keys import KeyRing
from camrelay.auth.mint import mint
from camrelay.auth.token import EVERY_CAMERA, Grant
from camrelay.config import Auth, Ingest
from camrelay.model import Action
from camrelay.places import KEYS


class Camrelay(Server):
    """Public cameras, so that viewers need no token; everything else as it comes. The access record is on."""

    name = "camrelay"
    visibility: ClassVar[str] = "public"
    #: Where WebRTC viewers find it, and what they are told of it; nothing means every address of the machine.
    webrtc_host: ClassVar[str] = "127.0.0.1"
    advertise: ClassVar[list[str]] = ["127.0.0.1"]
    cameras_per_worker: ClassVar[int] = Ingest().cameras_per_worker
    #: What else it is told about reading cameras.
    ingest: ClassVar[Mapping[str, float]] = {}

    @property
    def url(self) -> str:
        """Its HTTP side, without a slash at the end."""
        return f"http://127.0.0.1:{self._http}"

    @property
    def store(self) -> Path:
        """Where it keeps keys, revocations and records."""
        return self.directory / "data"

    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        self._http = free_port()
        metrics, self.udp_port = free_port(), free_port(socket.SOCK_DGRAM)
        self.metrics_url = f"http://127.0.0.1:{metrics}/metrics"
        sections: dict[str, dict[str, str | float | list[str]]] = {
            "server": {"listen": f"127.0.0.1:{self._http}", "log_level": "warning"},
            "metrics": {"listen": f"127.0.0.1:{metrics}"},
            "webrtc": {"listen": f"{self.webrtc_host}:{self.udp_port}", "advertise": self.advertise},
            "egress": {"allow": ["127.0.0.0/8"]},
            "ingest": {"cameras_per_worker": self.cameras_per_worker, **self.ingest},
            "store": {"directory": str(self.store)},
            "accounts": {"registration": "open"},
        }
        # A JSON string, number or list of strings is a TOML one too.
        lines = []
        for section, options in sections.items():
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in options.items())]
        for camera, url in cameras.items():
            fields = {"id": camera, "url": url, "visibility": self.visibility, **self.options(camera)}
            lines += ["[[camera]]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())]
        path = self.directory / "camrelay.toml"
        path.write_text("\n".join(lines) + "\n")
        self.settings = {
            "cameras": self.visibility,
            "parts": "200 ms",
            "segments": "2 s",
            "access record": "on",
        }
        return [sys.executable, "-m", "camrelay", "serve", "--config", str(path)]

    def options(self, camera: str) -> Mapping[str, str]:
        """What else a camera's configuration says."""
        return {}

    async def is_ready(self, http: aiohttp.ClientSession, cameras: Collection[str]) -> bool:
        async with http.get(self.metrics_url) as response:
            page = parse(await response.text())
        return all(page.get(f'camrelay_camera_up{{camera="{camera}"}}') == 1 for camera in cameras)

    def whep(self, camera: str) -> str:
        return f"{self.url}/whep/{camera}"

    def hls(self, camera: str) -> str:
        return f"{self.url}/hls/{camera}/index.m3u8"

    def received_bytes(self, page: Page) -> float:
        return total(page, "camrelay_camera_bytes_total")


class ReachableCamrelay(Camrelay):
    """Found at the machine's own addresses: libnice has no use for the loopback's."""

    webrtc_host = "0.0.0.0"  # noqa: S104 - that is the point
    advertise: ClassVar[list[str]] = []


class PrivateCamrelay(Camrelay):
    """Private cameras: a viewer needs a token, made as `camrelay token create` makes it."""

    visibility = "private"

    def token(
        self, life_s: int, subject: str = "", actions: Collection[Action] = (Action.WATCH,)
    ) -> tuple[Grant, str]:
        """A grant for every camera, and what stands behind Bearer."""
        return mint(
            KeyRing(self.store / KEYS),
            Auth(),
            cameras=(EVERY_CAMERA,),
            actions=tuple(actions),
            life_s=life_s,
            subject=subject,
            now_us=time.time_ns() // 1000,
        )
