"""A person who watches: <camera-player> in a real Chromium."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page

#: Nothing here waits for the network of a person; a loaded machine is all there is to be patient with.
LIMIT_S = 40.0

CHROMIUM = "/usr/bin/chromium"

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--autoplay-policy=no-user-gesture-required",
]

#: Remembers every peer connection, so that a test can ask for its statistics.
_REMEMBER_PEERS = """
window.peers = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) { super(...args); window.peers.push(this); }
};
"""

_SHOW = """
async ({camera, protocol, token}) => {
  await import("/player.js");
  const player = document.createElement("camera-player");
  Object.assign(player.style, {display: "block", width: "640px", height: "360px"});
  player.setAttribute("camera", camera);
  player.setAttribute("protocol", protocol);
  player.setAttribute("controls", "");
  player.setAttribute("muted", "");
  player.token = token;
  window.states = [];
  player.addEventListener("state", ({detail}) => window.states.push(detail.state));
  document.body.replaceChildren(player);
  window.player = player;
  window.video = player.shadowRoot.querySelector("video");
}
"""

_RTP = """
async () => {
  const reports = [...(await window.peers.at(-1).getStats()).values()];
  const video = reports.find(r => r.type === "inbound-rtp" && r.kind === "video");
  return {...video, mimeType: reports.find(r => r.id === video.codecId)?.mimeType};
}
"""


_SOUND_RTP = """
async ({packets, limit}) => {
  for (const end = performance.now() + limit; performance.now() < end;) {
    const reports = [...(await window.peers.at(-1).getStats()).values()];
    const sound = reports.find(r => r.type === "inbound-rtp" && r.kind === "audio");
    if (sound?.packetsReceived >= packets) {
      return {...sound, mimeType: reports.find(r => r.id === sound.codecId).mimeType};
    }
    await new Promise(resolve => setTimeout(resolve, 50));
  }
  throw new Error("no sound");
}
"""


class Watching:
    """One player on a page of its own.

    Attributes:
        requests: every URL the page asked for.
        complaints: what the browser wrote on its console as errors.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, line: ConsoleMessage) -> None:
        # The empty page has no icon; browsers ask all the same.
        if line.type == "error" and not line.location["url"].endswith("/favicon.ico"):
            self.complaints.append(line.text)

    @classmethod
    async def open(cls, browser: Browser, url: str, camera: str, protocol: str, token: str) -> Watching:
        """Shows a camera by "webrtc" or "hls", on an otherwise empty page of the relay at `url`."""
        page = await browser.new_page(bypass_csp=True)
        page.set_default_timeout(LIMIT_S * 1000)
        await page.add_init_script(_REMEMBER_PEERS)
        watching = cls(page)
        await page.goto(f"{url}healthz")
        await page.evaluate(_SHOW, {"camera": camera, "protocol": protocol, "token": token})
        return watching

    async def quality(self) -> dict[str, Any]:
        """getVideoPlaybackQuality, and the picture's size."""
        found: dict[str, Any] = await self.page.evaluate(
            "() => { const q = video.getVideoPlaybackQuality(); return {total: q.totalVideoFrames,"
            " dropped: q.droppedVideoFrames, width: video.videoWidth, height: video.videoHeight}; }"
        )
        return found

    async def rtp(self) -> dict[str, Any]:
        """The inbound-rtp report of the newest peer connection, with its codec's mimeType."""
        found: dict[str, Any] = await self.page.evaluate(_RTP)
        return found

    async def reached_sound(self, packets: int) -> dict[str, Any]:
        """The inbound-rtp report of the sound, with its codec's mimeType, once so many packets have come."""
        found: dict[str, Any] = await self.page.evaluate(
            _SOUND_RTP, {"packets": packets, "limit": LIMIT_S * 1000}
        )
        return found

    async def more_pictures(self, count: int, limit_s: float = LIMIT_S) -> None:
        """Waits until `count` more pictures were shown than when asked."""
        await self.page.evaluate("() => { window.from = video.getVideoPlaybackQuality().totalVideoFrames }")
        await self.page.wait_for_function(
            "count => video.getVideoPlaybackQuality().totalVideoFrames >= window.from + count",
            arg=count,
            polling=50,
            timeout=limit_s * 1000,
        )

    async def more_sound(self, count: int, limit_s: float = LIMIT_S) -> None:
        """Waits until `count` more bytes of sound were decoded than when asked."""
        await self.page.evaluate("() => { window.heard = video.webkitAudioDecodedByteCount }")
        await self.page.wait_for_function(
            "count => video.webkitAudioDecodedByteCount >= window.heard + count",
            arg=count,
            polling=50,
            timeout=limit_s * 1000,
        )

    async def state(self, *states: str, limit_s: float = LIMIT_S) -> None:
        """Waits until the player is in one of these states."""
        await self.page.wait_for_function(
            "states => states.includes(player.state)", arg=list(states), polling=50, timeout=limit_s * 1000
        )

    async def silence(self, limit_s: float = LIMIT_S) -> None:
        """Waits until no picture was shown for a second."""
        await self.page.wait_for_function(
            """() => {
              const total = video.getVideoPlaybackQuality().totalVideoFrames;
              if (total !== window.total) { window.total = total; window.movedAt = performance.now(); }
              return performance.now() - window.movedAt > 1000;
            }""",
            polling=50,
            timeout=limit_s * 1000,
        )

    async def peers(self) -> int:
        """Peer connections made so far."""
        count: int = await self.page.evaluate("() => window.peers.length")
        return count

    def paths(self, part: str) -> list[str]:
        """The requests whose URL has `part` in it."""
        return [url for url in self.requests if part in url]
