"""The playing client sees what a viewer would see, and says which step failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import av
import msgspec
import pytest
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import VideoStreamTrack

from camrelay.tools import play as tool
from camrelay.tools.play import PlayFailed, play

SECRET = "s3cr3t-path"
HLS = f"/m/{SECRET}/yard/index.m3u8"
WHEP = f"/m/{SECRET}/yard/whep"

#: Long enough for a machine with other things to do; every test but the last ends long before.
LIMIT_S = 20


class FakeRelay:
    """The contract's three paths, with libav's muxer and aiortc's sender behind them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.offers = 0
        self.deleted: list[str] = []
        self.answers: dict[str, list[web.Response]] = {}
        self.peers: list[RTCPeerConnection] = []
        self.sends_media = True
        self.base_url = ""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/media/sessions", self.scripted(self.session)),
            web.get("/m/{secret}/{camera}/{name:.+}", self.scripted(self.file)),
            web.post(WHEP, self.scripted(self.whep)),
            web.delete("/whep-resource", self.delete),
        ]

    def scripted(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """First the answers a test put in the way, then the real one."""

        async def answer(request: web.Request) -> web.StreamResponse:
            waiting = self.answers.get(request.path, [])
            return waiting.pop(0) if waiting else await handler(request)

        return answer

    async def session(self, request: web.Request) -> web.Response:
        assert await request.json() == {"camera": "yard"}
        assert request.headers["Authorization"] == "Bearer grant"
        body = {"id": "1", "hls": HLS, "whep": WHEP, "expires_at": 4_102_444_800}
        return web.json_response(body, status=201)

    async def file(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(self.folder / request.match_info["name"])

    async def whep(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/sdp"
        self.offers += 1
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peers.append(peer)
        await peer.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        if self.sends_media:
            peer.addTrack(VideoStreamTrack())
        await peer.setLocalDescription(await peer.createAnswer())
        return web.Response(
            status=201,
            text=peer.localDescription.sdp,
            content_type="application/sdp",
            headers={"Location": "/whep-resource"},
        )

    async def delete(self, request: web.Request) -> web.Response:
        self.deleted.append(request.path)
        return web.Response(status=200)


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished HLS stream of 50 small pictures."""
    folder = tmp_path_factory.mktemp("hls")
    options = {"hls_time": "1", "hls_list_size": "0"}
    with av.open(str(folder / "stream.m3u8"), "w", format="hls", options=options) as container:
        stream = container.add_stream("libx264", rate=25, width=64, height=64, pix_fmt="yuv420p")
        for number in range(50):
            picture = av.VideoFrame(64, 64, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes([number]) * plane.buffer_size)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    (folder / "index.m3u8").write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\nstream.m3u8\n")
    return folder


@pytest.fixture
async def relay(recording: Path) -> AsyncIterator[FakeRelay]:
    fake = FakeRelay(recording)
    app = web.Application()
    app.add_routes(fake.routes())
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    for peer in fake.peers:
        await peer.close()
    await runner.cleanup()


def problem(status: int, code: str) -> web.Response:
    return web.json_response(
        {"code": code, "title": SECRET}, status=status, content_type="application/problem+json"
    )


async def failure(relay: FakeRelay, *, limit_s: float = LIMIT_S, pictures: int = 3) -> str:
    """Why playing failed; never a place that opens the camera."""
    with pytest.raises(PlayFailed) as caught:
        await play(relay.base_url, "yard", grant="grant", pictures=pictures, limit_s=limit_s)
    assert SECRET not in str(caught.value)
    return str(caught.value)


async def test_plays_both_protocols_to_decoded_pictures(relay: FakeRelay) -> None:
    """Times count from the request, a playlist comes before its picture, and the WHEP resource is let go."""
    played = await play(relay.base_url, "yard", grant="grant", pictures=5, limit_s=LIMIT_S)

    assert played.camera == "yard"
    assert 0 < played.hls_playlist_s < played.hls_picture_s < LIMIT_S
    assert 0 < played.webrtc_picture_s < LIMIT_S
    assert (played.hls_pictures, played.webrtc_pictures) == (5, 5)
    assert relay.deleted == ["/whep-resource"]


async def test_waits_for_a_camera_that_is_not_ready(relay: FakeRelay) -> None:
    """503 with Retry-After means the same request later."""
    late = web.Response(status=503, headers={"Retry-After": "0"})
    relay.answers[HLS] = [late]

    played = await play(relay.base_url, "yard", grant="grant", pictures=1, limit_s=LIMIT_S)

    assert relay.answers[HLS] == []
    assert played.hls_pictures == 1


async def test_waits_for_a_whole_segment(relay: FakeRelay) -> None:
    """The first playlist may list parts alone, which libav does not read; its time counts all the same."""
    parts = '#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PART:DURATION=0.2,URI="p0.m4s"\n'
    path = HLS.replace("index", "stream")
    relay.answers[path] = [web.Response(text=parts), web.Response(text=parts)]

    played = await play(relay.base_url, "yard", grant="grant", pictures=1, limit_s=LIMIT_S)

    assert relay.answers[path] == []
    assert played.hls_picture_s - played.hls_playlist_s >= 2 * tool._SEGMENT_POLL_S


async def test_a_playlist_that_stays_empty(relay: FakeRelay) -> None:
    """Is waited for no longer than the limit."""
    empty = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n"
    relay.answers[HLS.replace("index", "stream")] = [web.Response(text=empty) for _ in range(100)]

    assert await failure(relay, limit_s=2) == "HLS: not done in time"


async def test_a_refused_session_is_told_by_status_and_code(relay: FakeRelay) -> None:
    """Nothing is played without a session."""
    relay.answers["/v1/media/sessions"] = [problem(404, "not_found")]

    assert await failure(relay) == "media session: answered 404 not_found"
    assert relay.offers == 0


async def test_both_failures_are_told(relay: FakeRelay) -> None:
    """One broken protocol does not hide the other."""
    relay.answers[HLS] = [web.Response(status=410)]
    relay.answers[WHEP] = [problem(422, "negotiation_failed")]

    assert (
        await failure(relay) == "multivariant playlist: answered 410; WHEP: answered 422 negotiation_failed"
    )


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (HLS, "#EXTM3U\n", "multivariant playlist: lists nothing"),
        (HLS, "x" * (tool._MAX_BODY_BYTES + 1), "multivariant playlist: answer over 1048576 bytes"),
    ],
)
async def test_a_playlist_that_plays_nothing(relay: FakeRelay, path: str, text: str, expected: str) -> None:
    """What is wrong with it is said before libav is asked."""
    relay.answers[path] = [web.Response(text=text)]

    assert expected in await failure(relay)


async def test_a_stream_that_ends_early(relay: FakeRelay) -> None:
    """The recording has 50 pictures."""
    relay.answers[WHEP] = [problem(422, "negotiation_failed")]

    assert "HLS: ended after 50 of 60 pictures" in await failure(relay, pictures=60)


async def test_media_that_libav_cannot_read(relay: FakeRelay) -> None:
    """libav's own words would repeat the URL."""
    relay.answers[HLS] = [web.Response(text="#EXTM3U\nstream.m3u8\n"), web.Response(text="nonsense")]

    assert "HLS: libav gave up after 0 pictures (InvalidDataError)" in await failure(relay)


async def test_no_picture_in_time(relay: FakeRelay) -> None:
    """A WHEP answer without media is waited for no longer than the limit."""
    relay.sends_media = False

    assert await failure(relay, limit_s=2) == "WebRTC: not done in time"


async def test_nobody_there() -> None:
    """A relay that is not running is said to be that."""
    with pytest.raises(PlayFailed, match="media session: no answer"):
        await play("http://127.0.0.1:1", "yard", limit_s=5)


def test_the_command_prints_what_was_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for people or JSON for programs; a failure goes to stderr and into the exit status."""

    async def fake_play(
        base_url: str, camera: str, *, grant: str, pictures: int, limit_s: float
    ) -> tool.Played:
        assert (base_url, grant, pictures, limit_s) == ("http://x", "g", 7, 3.0)
        if camera == "gone":
            raise PlayFailed("media session: answered 404 not_found")
        return tool.Played(camera, 0.1, 0.2, 7, 0.3, 7)

    monkeypatch.setattr(tool, "play", fake_play)
    monkeypatch.setenv("CAMRELAY_TOKEN", "g")
    arguments = ["--pictures", "7", "--limit", "3", "http://x", "yard"]

    assert tool.main(arguments) == 0
    assert capsys.readouterr().out.startswith(
        "yard: HLS playlist 0.10 s, picture 0.20 s; WebRTC picture 0.30 s"
    )
    assert tool.main(["--json", *arguments, "gone"]) == 1
    printed = capsys.readouterr()
    assert msgspec.json.decode(printed.out, type=tool.Played).webrtc_picture_s == 0.3
    assert printed.err == "gone: media session: answered 404 not_found\n"
