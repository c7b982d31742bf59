"""How pictures play over WebRTC: through links that lose, delay and pace, and for a minute without one.

Chromium watches through one link after the other; then, for longer, Chromium and GStreamer's webrtcbin (with
libnice) watch side by side. Only media on its way to the viewer is impaired, by a generator with a seed. A
picture that Chromium cannot decode makes it ask for a key frame (PLI); those that it has no time for it drops
before it decodes them. A freeze is a gap between pictures of three times the usual, or 150 ms more than that
(webrtc-stats, freezeCount). GStreamer's complaints are the errors and warnings on its bus.

The browser shares a core with the camera and the links, and decodes in software: on a busy machine it is
late.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Route

from benchmarks import chromium
from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.link import Link
from benchmarks.result import Cell, Table
from benchmarks.servers.camrelay import Camrelay, ReachableCamrelay
from camrelay.simulate.options import Picture

#: Name -> what is done to the viewer's packets.
LINKS: dict[str, dict[str, Any]] = {
    "1 % loss": {"loss": 0.01},
    "3 % loss": {"loss": 0.03},
    "5 % loss": {"loss": 0.05},
    "3 % loss in bursts of 5": {"loss": 0.03, "burst": 5},
    "50 ms jitter": {"jitter_s": 0.05},
    "20 Mb/s": {"bps": 20_000_000},
}

OWED = {
    "links_nacks_answered_percent": "%",
    "links_freezes": "freezes",
    "play_chromium_pictures": "pictures",
    "play_chromium_undecoded": "pictures",
    "play_chromium_freezes": "freezes",
    "play_gstreamer_pictures": "pictures",
    "play_gstreamer_complaints": "complaints",
}

QUICK = ["--links", "3 % loss", "--seconds", "1", "--long", "2", "--settle", "0.2"]

_GSTREAMER = Path(__file__).parents[1] / "tests" / "whep_gst.py"
#: The system's own: GStreamer's bindings are Debian's.
_PYTHON = "/usr/bin/python3"
#: Its start, before it plays, and its end.
_GSTREAMER_SLACK_S = 30.0

_PATIENCE_MS = 30_000

#: Pictures that may be in Chromium's decoder when it is asked.
_DECODING = 3

_PAGE = r"""<!doctype html><meta charset="utf-8"><video muted autoplay playsinline></video><script>
async function watch(port) {
  window.pc = new RTCPeerConnection();
  pc.addTransceiver("video", {direction: "recvonly"});
  pc.ontrack = ({streams}) => { document.querySelector("video").srcObject = streams[0]; };
  await pc.setLocalDescription();
  const answer = await fetch("/whep/cam1", {
    method: "POST", headers: {"Content-Type": "application/sdp"}, body: pc.localDescription.sdp});
  const sdp = await answer.text();
  await pc.setRemoteDescription({
    type: "answer", sdp: sdp.replaceAll(/(a=candidate:\d+ 1 udp \d+) \S+ \d+/g, `$1 127.0.0.1 ${port}`)});
}
async function seen() {
  const reports = [...(await pc.getStats()).values()];
  return reports.find(report => report.type === "inbound-rtp") ?? {};
}
</script>"""

_COLUMNS = [
    "link", "packets lost", "asked for again", "sent again", "pictures decoded", "not decoded", "dropped",
    "PLI", "freezes", "s frozen",
]  # fmt: skip


class Account:
    """What one viewing came to: Chromium's statistics, and the relay's count of NACKs."""

    def __init__(self, name: str, lost: int, seen: dict[str, Any], asked: float, answered: float) -> None:
        self.name = name
        self.lost = lost
        self.asked, self.answered = asked, answered
        self.decoded = int(seen.get("framesDecoded", 0))
        self.dropped = int(seen.get("framesDropped", 0))
        # Dropped are those that were late before they were decoded; a few are always on their way.
        received = int(seen.get("framesReceived", 0))
        self.undecoded = max(0, received - self.decoded - self.dropped - _DECODING)
        self.requests = int(seen.get("pliCount", 0))
        self.freezes = int(seen.get("freezeCount", 0))
        self.frozen_s = float(seen.get("totalFreezesDuration", 0.0))

    def row(self) -> list[Cell]:
        """Under _COLUMNS."""
        counts = [
            self.lost,
            round(self.asked),
            round(self.answered),
            self.decoded,
            self.undecoded,
            self.dropped,
        ]
        return [self.name, *counts, self.requests, self.freezes, self.frozen_s]


async def retransmissions(server: Camrelay) -> tuple[float, float]:
    """Packets that viewers have asked for again, and those of them that were sent."""
    page = await server.metrics()
    outcomes = [
        page.get(f'camrelay_rtp_retransmissions_total{{camera="cam1",outcome="{outcome}"}}', 0.0)
        for outcome in ("answered", "forgotten")
    ]
    return sum(outcomes), outcomes[0]


async def watch(run: Run, launched: Browser, server: Camrelay, name: str, seconds: float) -> Account:
    """Plays in Chromium, through a link that is named in LINKS or through a good one."""

    async def serve(route: Route) -> None:
        await route.fulfill(body=_PAGE, content_type="text/html")

    asked, answered = await retransmissions(server)
    context = await launched.new_context()
    async with Link(server.udp_port, seed=run.options.seed, **LINKS.get(name, {})) as link:
        try:
            page = await context.new_page()
            await page.route("**/benchmark/page", serve)
            await page.goto(f"{server.url}/benchmark/page")
            await page.evaluate(f"watch({link.port})")
            playing = "() => seen().then(now => now.framesDecoded > 0)"
            await page.wait_for_function(playing, timeout=_PATIENCE_MS, polling=100)
            await asyncio.sleep(seconds)
            seen = await page.evaluate("seen()")
        finally:
            await context.close()
        asked_then, answered_then = await retransmissions(server)
        account = Account(name, link.lost, seen, asked_then - asked, answered_then - answered)
    run.say(f"{name}: {account.freezes} freezes in {seconds:g} s")
    return account


async def watch_in_gstreamer(server: Camrelay, seconds: float) -> dict[str, Any]:
    """Plays in webrtcbin; what tests/whep_gst.py prints."""
    process = await asyncio.create_subprocess_exec(
        _PYTHON, _GSTREAMER, server.whep("cam1"), str(seconds), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(seconds + _GSTREAMER_SLACK_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    found: dict[str, Any] = json.loads(output or b"{}")
    return found


async def body(run: Run) -> None:
    """The links, then the long viewing."""
    if reason := chromium.missing():
        run.say(reason)
        for word in ("links", "play"):
            run.result.give_up(word, reason)
        return
    options = run.options
    server = ReachableCamrelay(run.directory, run.cores.server)
    width = options.width
    picture = Picture(bitrate_bps=options.bitrate, width=width, height=width * 9 // 16)
    async with Feed(run.directory, run.cores.load, picture=picture) as feed:
        await server.start({"cam1": feed.url()})
        try:
            async with chromium.browser() as launched:
                run.result.servers["chromium"] = {"version": launched.version}
                await asyncio.sleep(options.settle)
                accounts = [
                    await watch(run, launched, server, name, options.seconds)
                    for name in options.links.split(",")
                ]
                summarize_links(run, accounts)
                chromium_plays = watch(run, launched, server, "none", options.long)
                if shutil.which("gst-inspect-1.0"):
                    gstreamer_plays = watch_in_gstreamer(server, options.long)
                    account, gstreamer = await asyncio.gather(chromium_plays, gstreamer_plays)
                else:
                    account, gstreamer = await chromium_plays, {}
                summarize_long(run, account, gstreamer)
        finally:
            await server.stop()


def summarize_links(run: Run, accounts: list[Account]) -> None:
    """The table of freezes."""
    asked = sum(account.asked for account in accounts)
    share = 100 * sum(account.answered for account in accounts) / asked if asked else None
    run.result.figure("links_nacks_answered_percent", share, "%", "nothing was asked for again")
    run.result.figure("links_freezes", sum(account.freezes for account in accounts), "freezes")
    title = f"Chromium through links, {run.options.seconds:g} s each"
    run.result.tables.append(Table(title, _COLUMNS, [account.row() for account in accounts]))


def summarize_long(run: Run, account: Account, gstreamer: dict[str, Any]) -> None:
    """What the players say after a minute."""
    result = run.result
    result.figure("play_chromium_pictures", account.decoded, "pictures")
    result.figure("play_chromium_undecoded", account.undecoded, "pictures")
    result.figure("play_chromium_freezes", account.freezes, "freezes")
    complaints = gstreamer.get("complaints")
    count = None if complaints is None else len(complaints)
    result.figure("play_gstreamer_pictures", gstreamer.get("pictures"), "pictures", "no GStreamer")
    result.figure("play_gstreamer_complaints", count, "complaints", "no GStreamer")
    title = f"Chromium without a poor link, {run.options.long:g} s, beside GStreamer"
    result.tables.append(Table(title, _COLUMNS, [account.row()]))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--links", default=",".join(LINKS), help="which of them, comma-separated")
    parser.add_argument("--seconds", type=float, default=20.0, help="through each link")
    parser.add_argument("--long", type=float, default=60.0, help="seconds without one, in both players")
    parser.add_argument("--settle", type=float, default=2.0, help="seconds before the first")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of the camera, bits per second")
    parser.add_argument("--width", type=int, default=640, help="of its picture, which is 16:9")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("links", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
