"""What a parser that others wrote says of our playlists: hls-parser of npm, in its strict mode."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders import SPS_720P, make_gop, make_params
from camrelay import config
from camrelay.fanout.hls import parser
from camrelay.fanout.hls.response import Content
from camrelay.model import CameraState, CameraStatus
from fanout.hls.serving import Served, serve

ROOT = Path(__file__).parents[3]
#: As make setup installs it; elsewhere the system's.
NODE = Path(sys.executable).parent / "node"
node = str(NODE) if NODE.exists() else shutil.which("node")

#: Windows long enough for delta updates, of the shortest segments.
OPTIONS = config.Hls(part_ms=100, target_duration_s=1, segment_s=1.0, window_segments=9)

pytestmark = pytest.mark.skipif(
    node is None or not (ROOT / "node_modules" / "hls-parser").is_dir(), reason="no node, or no hls-parser"
)


def opinions(texts: list[str]) -> list[dict[str, object]]:
    """What it says of each playlist."""
    assert node is not None
    done = subprocess.run(
        [node, str(Path(__file__).with_name("strict.cjs"))],
        input=json.dumps(texts),
        env={"NODE_PATH": str(ROOT / "node_modules")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def playlists(served: Served) -> list[str]:
    """This version of the media playlist, as a whole and as a delta update."""
    found = [
        served.server.find(served.viewer, b"main/stream.m3u8" + query, gzip=False)
        for query in (b"", b"?_HLS_skip=YES")
    ]
    return [answer.body[0].decode() for answer in found if isinstance(answer, Content)]


async def test_every_version_of_an_eventful_time_is_accepted() -> None:
    """Reboots, other pictures, jumps of the camera's clock; whole, as delta updates, and the multivariant."""
    changed = make_params(sps=SPS_720P)
    async with serve(OPTIONS) as served:
        texts: list[str] = []
        for second in range(24):
            is_break = second in (5, 14)
            dts = served.dts + (900_000 if second == 14 else 0)
            params = {"params": changed} if second > 9 else {}
            for au in make_gop(dts, units=25, discontinuity=is_break, **params):
                served.hub.publish(au)
                texts += playlists(served) if au.dts % 7200 == 0 else []
            served.dts = dts + 90_000
        texts.append(await served.text("index.m3u8"))

    said = await asyncio.to_thread(opinions, texts)

    assert [opinion for opinion in said if "error" in opinion] == []
    wholes = [parser.parse_media(text) for text in texts[:-1]]
    # To it, a hint at the first part of a segment is a segment.
    more = [int(str(o["count"])) - len(playlist.segments) for o, playlist in zip(said, wholes, strict=False)]
    assert set(more) <= {0, 1}
    assert any(playlist.skipped_segments for playlist in wholes)
    assert any(segment.is_discontinuity for playlist in wholes for segment in playlist.segments)
    assert said[-1]["count"] == 1


async def test_gaps_differ_in_one_thing_that_it_has_from_earlier_drafts() -> None:
    """EXT-X-GAP once needed version 8; with that number it accepts them too."""
    async with serve(OPTIONS) as served:
        served.feed(pictures=30)
        served.hub.set_status(CameraStatus(state=CameraState.OFFLINE, since_us=0, reason="unreachable"))
        msn = parser.parse_media(await served.text()).last_msn
        async with asyncio.timeout(10):
            await served.text(f"main/stream.m3u8?_HLS_msn={msn + 1}&_HLS_part=1")
        served.feed(make_gop(900_000, discontinuity=True))
        text = playlists(served)[0]
    assert parser.parse_media(text).version == 6

    now, then = await asyncio.to_thread(opinions, [text, text.replace("VERSION:6", "VERSION:8")])

    assert "8" in str(now["error"])
    assert "error" not in then
