"""aiortc's own path: one RTCPeerConnection per viewer, packets passed through undecoded.

The reference for what camrelay's send path saves. As a program it is that server: aiohttp and aiortc as their
documentation uses them, with two departures: no STUN server, and loopback as the only candidate.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Mapping

import aiohttp
import aioice.ice
import uvloop
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer, MediaRelay

from benchmarks.child import accepts, free_port
from benchmarks.servers.adapter import Server


class AiortcPath(Server):
    """The program below, in a process of its own."""

    name = "aiortc"

    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        self._http = free_port()
        self.settings = {"path": "MediaPlayer(decode=False), MediaRelay, RTCPeerConnection", "loop": "uvloop"}
        pairs = [f"{camera}={url}" for camera, url in cameras.items()]
        return [sys.executable, "-m", "benchmarks.servers.aiortc_path", str(self._http), *pairs]

    async def is_ready(self, http: aiohttp.ClientSession, cameras: Collection[str]) -> bool:
        return await accepts(self._http)

    def whep(self, camera: str) -> str:
        return f"http://127.0.0.1:{self._http}/whep/{camera}"


def application(cameras: Mapping[str, str]) -> web.Application:
    """POST /whep/{camera}."""
    relay = MediaRelay()
    players = {
        camera: MediaPlayer(url, options={"rtsp_transport": "tcp"}, decode=False)
        for camera, url in cameras.items()
    }
    peers: set[RTCPeerConnection] = set()

    async def whep(request: web.Request) -> web.Response:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peers.add(peer)
        track = players[request.match_info["camera"]].video
        assert track is not None, "a camera has a picture"
        peer.addTrack(relay.subscribe(track))
        await peer.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return web.Response(status=201, text=peer.localDescription.sdp, content_type="application/sdp")

    app = web.Application()
    app.router.add_post("/whep/{camera}", whep)
    return app


async def serve(port: int, cameras: Mapping[str, str]) -> None:
    """Serves until killed."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    runner = web.AppRunner(application(cameras), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    pairs = dict(argument.split("=", 1) for argument in sys.argv[2:])
    uvloop.run(serve(int(sys.argv[1]), pairs))
