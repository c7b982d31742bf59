"""A WebRTC output on a stage: a hub fed from a clip in real time, WHEP over HTTP, no gate before it."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from aiohttp import web

from camrelay import config
from camrelay.fanout.hub import Hub
from camrelay.fanout.webrtc.server import WebrtcServer
from camrelay.model import (
    CLOCK_RATE,
    AccessUnit,
    CameraId,
    CameraState,
    CameraStatus,
    Codec,
    Protocol,
    VideoParams,
    Viewer,
)
from camrelay.server import Route, build, guarded, listen, port_of
from camrelay.simulate.clip import Clip, clip
from camrelay.simulate.options import Picture

CAMERA = CameraId("cam1")

#: Small and quick to encode, with a GOP long enough to see who waits for a key frame.
PICTURE = Picture(width=640, height=360, bitrate_bps=1_000_000, gop_pictures=50)

LIVE = CameraStatus(CameraState.LIVE, 0)

_PARAMETER_SETS = (7, 8)

_PAGE = """<!doctype html><title>stage</title><video muted autoplay playsinline></video><script>
const video = document.querySelector("video");
const times = {};
video.requestVideoFrameCallback(() => { times.shown = performance.now(); });
async function watch({kinds = ["video"], policy = "balanced", change = sdp => sdp, camera = "cam1"} = {}) {
  window.pc = new RTCPeerConnection({bundlePolicy: policy});
  for (const kind of kinds) pc.addTransceiver(kind, {direction: "recvonly"});
  pc.ontrack = ({streams, track}) => { video.srcObject = new MediaStream([track]); };
  times.start = performance.now();
  await pc.setLocalDescription();
  const answer = await fetch(`/whep/${camera}`, {
    method: "POST", headers: {"Content-Type": "application/sdp"}, body: change(pc.localDescription.sdp)});
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  window.resource = answer.headers.get("Location");
  await pc.setRemoteDescription({type: "answer", sdp: await answer.text()});
}
async function stats() {
  const reports = [...(await pc.getStats()).values()];
  const rtp = reports.find(r => r.type === "inbound-rtp" && r.kind === "video") ?? {};
  const transport = reports.find(r => r.type === "transport") ?? {};
  const codec = reports.find(r => r.id === rtp.codecId) ?? {};
  const remote = reports.find(r => r.type === "remote-outbound-rtp") ?? {};
  return {...rtp, srtp: transport.srtpCipher, fmtp: codec.sdpFmtpLine, started: times.shown - times.start,
          reports: remote.reportsSent, state: pc.connectionState,
          dtls: transport.dtlsState};
}
</script>"""


def access_units(made: Clip, fps: int, *, pts: int = 0) -> list[AccessUnit]:
    """The pictures of a clip as the hub gets them."""
    params = VideoParams(
        codec=Codec.H264,
        sps=(made.sps,),
        pps=(made.pps,),
        width=0,
        height=0,
        rfc6381=f"avc1.{made.sps[1:4].hex()}",
    )
    units = []
    for order, picture in enumerate(made.pictures):
        kept = [unit for unit in picture.nal_units if unit[0] & 31 not in _PARAMETER_SETS]
        data = b"".join(len(unit).to_bytes(4) + unit for unit in kept)
        at = pts + order * CLOCK_RATE // fps
        units.append(AccessUnit(at, at, picture.is_key, data, params, 0))
    return units


class Stage:
    """One camera that plays a clip in a loop; use as a context manager.

    Attributes:
        hub: the camera's.
        server: the output under test.
        viewers: of all posts, in order; `asked` is set with the first.
        is_playing: set False to take the camera away.
    """

    def __init__(self, picture: Picture = PICTURE, **options: Any) -> None:
        self.picture = picture
        self.options = config.Webrtc(**{"listen": "0.0.0.0:0", **options})
        self.viewers: list[Viewer] = []
        self.asked = asyncio.Event()
        self.is_playing = True

    async def __aenter__(self) -> Stage:
        self.units = access_units(await asyncio.to_thread(clip, self.picture, "CAM 1"), self.picture.fps)
        self.hub = Hub(CAMERA, config.Ring())
        self.server = WebrtcServer(self.options)
        await self.server.start()
        self.server.attach(self.hub)
        self.hub.set_status(LIVE)
        routes = [Route("GET", "/", self._page)]
        routes += [Route(*route) for route in self.server.open_routes()]
        routes += [
            Route(m, p, guarded(self._authorize, Protocol.WEBRTC, h)) for m, p, h in self.server.routes()
        ]
        self._runner = await listen(build(routes), "127.0.0.1:0")
        self.url = f"http://127.0.0.1:{port_of(self._runner)}"
        self._task = asyncio.create_task(self._play())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await self.server.stop()
        await self._runner.cleanup()

    async def _authorize(self, request: web.Request, protocol: Protocol) -> Viewer:
        viewer = Viewer(
            id=f"v{len(self.viewers)}",
            session="s",
            camera=CameraId(request.match_info["camera"]),
            protocol=protocol,
            subject="",
        )
        self.viewers.append(viewer)
        self.asked.set()
        return viewer

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        start, interval = loop.time(), 1 / self.picture.fps
        for count, unit in enumerate(itertools.cycle(self.units)):
            delay = start + count * interval - loop.time()
            await asyncio.sleep(max(0.0, delay))
            if self.is_playing:
                at = count * CLOCK_RATE // self.picture.fps
                self.hub.publish(AccessUnit(at, at, unit.is_key, unit.data, unit.params, 0))
