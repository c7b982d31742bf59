"""A WebRTC output on a stage: a hub fed from a clip in real time, WHEP over HTTP, no gate before it."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from aiohttp import web
from playwright.async_api import Browser, Page

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

LIMIT_S = 40.0

LIVE = CameraStatus(CameraState.LIVE, 0)

_PARAMETER_SETS = (7, 8)

_PAGE = r"""<!doctype html><title>stage</title><video muted autoplay playsinline></video><script>
const video = document.querySelector("video");
const times = {};
video.requestVideoFrameCallback(() => { times.shown = performance.now(); });
async function watch({kinds = ["video"], policy = "balanced", link = 0} = {}) {
  window.pc = new RTCPeerConnection({bundlePolicy: policy});
  for (const kind of kinds) pc.addTransceiver(kind, {direction: "recvonly"});
  pc.ontrack = ({streams, track}) => { video.srcObject = new MediaStream([track]); };
  times.start = performance.now();
  await pc.setLocalDescription();
  const answer = await fetch("/whep/cam1", {
    method: "POST", headers: {"Content-Type": "application/sdp"}, body: pc.localDescription.sdp});
  let sdp = await answer.text();
  if (answer.status !== 201) throw new Error(`${answer.status} ${sdp}`);
  if (link) sdp = sdp.replaceAll(/(a=candidate:\d+ 1 udp \d+) \S+ \d+/g, `$1 127.0.0.1 ${link}`);
  await pc.setRemoteDescription({type: "answer", sdp});
}
async function stats() {
  const reports = [...(await pc.getStats()).values()];
  const rtp = reports.find(r => r.type === "inbound-rtp" && r.kind === "video") ?? {};
  const transport = reports.find(r => r.type === "transport") ?? {};
  const codec = reports.find(r => r.id === rtp.codecId) ?? {};
  const remote = reports.find(r => r.type === "remote-outbound-rtp") ?? {};
  return {...rtp, srtp: transport.srtpCipher, fmtp: codec.sdpFmtpLine,
          reports: remote.reportsSent, state: pc.connectionState,
          dtls: transport.dtlsState};
}
async function reached(condition) {
  for (;;) {
    const now = await stats();
    if (condition(now)) return now;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
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
        await self.show(self.picture)
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

    async def show(self, picture: Picture) -> None:
        """Plays another clip from now on, from its first picture."""
        made = await asyncio.to_thread(clip, picture, "CAM 1")
        self.units = access_units(made, picture.fps)
        self._position = 0

    @property
    def udp_port(self) -> int:
        """Where media comes from."""
        return self.server._port.number

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
        for count in itertools.count():
            delay = start + count * interval - loop.time()
            await asyncio.sleep(max(0.0, delay))
            unit = self.units[self._position % len(self.units)]
            self._position += 1
            if self.is_playing:
                at = count * CLOCK_RATE // self.picture.fps
                self.hub.publish(AccessUnit(at, at, unit.is_key, unit.data, unit.params, 0))


async def watch(browser: Browser, stage: Stage, options: str = "{}") -> Page:
    page = await browser.new_page()
    await page.goto(stage.url)
    await page.evaluate(f"watch({options})")
    return page


async def stats(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate("stats()")
    return found


async def decoded(page: Page, count: int) -> dict[str, Any]:
    """Statistics once `count` pictures are decoded."""
    return await reached(page, f"now => now.framesDecoded >= {count}")


async def reached(page: Page, condition: str) -> dict[str, Any]:
    """Statistics once a function of them is true."""
    async with asyncio.timeout(LIMIT_S):
        found: dict[str, Any] = await page.evaluate(f"reached({condition})")
        return found


async def more(page: Page, count: int) -> dict[str, Any]:
    return await decoded(page, (await stats(page)).get("framesDecoded", 0) + count)
