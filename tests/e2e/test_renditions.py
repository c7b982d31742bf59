"""A camera with two streams, H.265 and a smaller one in H.264, from its registration to its variants."""

from __future__ import annotations

import json

import pytest

from asking import ask, open_session
from camrelay.fanout.hls.parser import parse_multivariant
from camrelay.fanout.hls.playlist import Variant
from camrelay.simulate.options import Options, Picture
from camrelay.simulate.server import Simulator
from processes import Relay, StartRelay
from whep_client import offer

pytestmark = pytest.mark.e2e

MAIN = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25, codec="h265")
SUB = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)


async def variants(relay: Relay, token: str) -> tuple[tuple[Variant, ...], str]:
    """What the camera's multivariant playlist lists, and where a viewer posts an offer."""
    session = json.loads((await open_session(relay, "two", token)).text)
    answer = await ask(relay, "GET", session["hls"])
    assert answer.status == 200, answer.text
    return parse_multivariant(answer.text), session["whep"]


async def test_two_streams_of_a_camera(start_relay: StartRelay) -> None:
    """Both are offered, each by its codec, until the smaller one is taken away from the running camera."""
    async with Simulator(Options(picture=MAIN)) as main, Simulator(Options(picture=SUB)) as sub:
        relay = await start_relay({})
        token = await relay.token("*", "1h", "--action", "manage")
        camera = {"id": "two", "url": main.url(1), "sub_url": sub.url(1)}
        json_type = {"Content_Type": "application/json"}
        added = await ask(relay, "POST", "/v1/cameras", token=token, body=json.dumps(camera), **json_type)
        assert added.status == 201, added.text
        for stream in ("two", "two/sub"):
            await relay.live(stream)

        found, whep = await variants(relay, token)
        posted = {
            rendition: await ask(
                relay, "POST", f"{whep}?rendition={rendition}", body=offer(), Content_Type="application/sdp"
            )
            for rendition in ("main", "sub", "huge")
        }

        assert [variant.uri for variant in found] == ["main/stream.m3u8", "sub/stream.m3u8"]
        assert [(variant.codecs or "")[:5] for variant in found] == ["hvc1.", "avc1."]
        # This viewer offers no H.265.
        assert [posted[name].status for name in ("main", "sub", "huge")] == [422, 201, 404]

        changed = await ask(
            relay, "PATCH", "/v1/cameras/two", token=token, body=json.dumps({"sub_url": ""}), **json_type
        )
        assert json.loads(changed.text)["sub"] is None
        assert await relay.metric("camrelay_camera_up", camera="two/sub") == 0
        found, _ = await variants(relay, token)
        assert [variant.uri for variant in found] == ["main/stream.m3u8"]
