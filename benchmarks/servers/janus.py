"""Janus with its streaming plugin, one RTSP mountpoint per camera.

Two things need a detour. Janus makes the offer where WHEP viewers do; the translation below gives each
side the other's credentials, so that both believe they were answered. And Janus never uses the loopback
interface for media: it needs an address of its own on an interface that leads nowhere, made once with

    ip link add bench0 type veth peer name bench1
    ip addr add 198.18.0.1/32 dev bench0 && ip link set bench0 up && ip link set bench1 up
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import socket
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.child import accepts, free_port
from benchmarks.servers.adapter import Server

INTERFACE = "bench0"

#: netdevice(7).
_SIOCGIFADDR = 0x8915

#: A mountpoint whose last packet is younger than this has a camera.
_FRESH_MS = 1000

_LIBRARIES = Path("/usr/lib/x86_64-linux-gnu/janus")


def interface_address() -> str:
    """The IPv4 address of INTERFACE, "" when there is no such interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        request = struct.pack("256s", INTERFACE.encode())
        return socket.inet_ntoa(fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)[20:24])
    return ""


class Janus(Server):
    """ICE-lite, only the streaming plugin and its HTTP transport."""

    name = "janus"
    binary = "janus"

    @classmethod
    def missing(cls) -> str:
        reason = super().missing()
        return reason or (
            "" if interface_address() else f"Janus needs an interface {INTERFACE}, see its adapter"
        )

    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        self._http, self._whep = free_port(), free_port()
        self.viewer_address = interface_address()
        self._mountpoints = {camera: number for number, camera in enumerate(cameras, 1)}
        unused = {
            kind: ",".join(
                path.name for path in (_LIBRARIES / kind).glob("*.so") if path.name != f"libjanus_{used}.so"
            )
            for kind, used in (("plugins", "streaming"), ("transports", "http"))
        }
        mountpoints = (
            f'{camera}: {{ type = "rtsp", id = {number}, audio = false, video = true, '
            f'url = "{cameras[camera]}", rtspiface = "127.0.0.1", rtsp_failcheck = false }}\n'
            for camera, number in self._mountpoints.items()
        )
        files = {
            "janus.jcfg": f'general: {{ configs_folder = "{self.directory}", session_timeout = 0, '
            f'plugins_folder = "{_LIBRARIES}/plugins", transports_folder = "{_LIBRARIES}/transports", '
            "debug_level = 3 }\n"
            f'nat: {{ ice_lite = true, ice_enforce_list = "{interface_address()}", full_trickle = false }}\n'
            f'plugins: {{ disable = "{unused["plugins"]}" }}\n'
            f'transports: {{ disable = "{unused["transports"]}" }}\n',
            "janus.transport.http.jcfg": 'general: { json = "compact", base_path = "/janus", http = true, '
            f'port = {self._http}, ip = "127.0.0.1", https = false }}\n'
            "admin: { admin_http = false, admin_https = false }\n",
            "janus.plugin.streaming.jcfg": "".join(mountpoints),
        }
        for name, text in files.items():
            (self.directory / name).write_text(text)
        self.settings = {"plugins": "streaming", "ICE": "lite", "cameras": "RTSP mountpoints, UDP"}
        return [self.binary, "-C", str(self.directory / "janus.jcfg"), "-F", str(self.directory)]

    async def is_ready(self, http: aiohttp.ClientSession, cameras: Collection[str]) -> bool:
        if not await accepts(self._http):
            return False
        # Its own retry of an RTSP source; before it there is no video to watch.
        return all([await self._has_video(http, camera) for camera in cameras])

    def whep(self, camera: str) -> str:
        return f"http://127.0.0.1:{self._whep}/{camera}"

    async def start(self, cameras: Mapping[str, str]) -> None:
        await super().start(cameras)
        app = web.Application()
        app.router.add_post("/{camera}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._whep).start()

    async def stop(self) -> None:
        if hasattr(self, "_runner"):
            await self._session.close()
            await self._runner.cleanup()
        await super().stop()

    async def _has_video(self, http: aiohttp.ClientSession, camera: str) -> bool:
        session, handle = await self._attach(http)
        body = {"request": "info", "id": self._mountpoints[camera]}
        answer = await self._post(http, f"/{session}/{handle}", janus="message", body=body)
        await self._post(http, f"/{session}", janus="destroy")
        media = answer["plugindata"]["data"]["info"]["media"]
        return any(0 <= stream.get("age_ms", -1) < _FRESH_MS for stream in media)

    async def _answer(self, request: web.Request) -> web.Response:
        """POST of a viewer's offer: Janus is asked for its own, and each gets the other's."""
        offer, http = await request.text(), self._session
        session, handle = await self._attach(http)
        path = f"/{session}/{handle}"
        body: dict[str, Any] = {"request": "watch", "id": self._mountpoints[request.match_info["camera"]]}
        await self._post(http, path, janus="message", body=body)
        theirs = (await self._event(http, session))["jsep"]["sdp"]
        jsep = {"type": "answer", "sdp": as_answer(theirs, offer)}
        await self._post(http, path, janus="message", body={"request": "start"}, jsep=jsep)
        text = theirs.replace("a=setup:actpass", "a=setup:passive")
        return web.Response(status=201, text=text, content_type="application/sdp")

    async def _attach(self, http: aiohttp.ClientSession) -> tuple[int, int]:
        session = (await self._post(http, "", janus="create"))["data"]["id"]
        plugin = "janus.plugin.streaming"
        handle = (await self._post(http, f"/{session}", janus="attach", plugin=plugin))["data"]["id"]
        return session, handle

    async def _event(self, http: aiohttp.ClientSession, session: int) -> dict[str, Any]:
        async with http.get(f"http://127.0.0.1:{self._http}/janus/{session}?maxev=1") as response:
            return dict(await response.json(content_type=None))

    async def _post(self, http: aiohttp.ClientSession, path: str, **message: object) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._http}/janus{path}"
        async with http.post(url, json={"transaction": "t", **message}) as response:
            return dict(await response.json(content_type=None))


def as_answer(janus_offer: str, viewer_offer: str) -> str:
    """An answer to Janus with the viewer's credentials, candidate and fingerprint: its DTLS client."""
    kept = (
        "v=",
        "o=",
        "s=",
        "t=",
        "a=group",
        "m=",
        "c=",
        "a=mid",
        "a=rtcp-mux",
        "a=rtpmap",
        "a=fmtp",
        "a=rtcp-fb",
    )
    lines = [line for line in janus_offer.splitlines() if line.startswith(kept)]
    theirs = re.findall(r"^a=(?:ice-ufrag|ice-pwd|fingerprint|candidate):.*$", viewer_offer, re.MULTILINE)
    own = [line.strip() for line in theirs]
    return "\r\n".join([*lines, "a=recvonly", "a=setup:active", *own]) + "\r\n"
