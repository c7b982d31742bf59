"""Plays one camera as a viewer would: from outside, by both protocols, down to decoded pictures.

HLS is read by libav's own demuxer and WebRTC by aiortc's peer connection, so neither shares code with the
relay that it judges. Failures say which step failed; no message holds a URL: its path is the authority.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar
from urllib.parse import urljoin

import aiohttp
import aioice.ice
import av
import msgspec
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

#: An answer longer than this is not one of ours.
_MAX_BODY_BYTES = 1 << 20

#: Between looks for a first whole segment; a tenth of the usual segment.
_SEGMENT_POLL_S = 0.2

T = TypeVar("T")

_interface_addresses = aioice.ice.get_host_addresses


def _host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """aioice leaves loopback out; on a machine without a network it is the only way to the relay."""
    return [*_interface_addresses(use_ipv4, use_ipv6), *(["127.0.0.1"] if use_ipv4 else [])]


aioice.ice.get_host_addresses = _host_addresses


class PlayFailed(Exception):
    """A step of playing failed; the text says which, and with what status."""


class Played(msgspec.Struct, frozen=True):
    """What a viewer saw. Seconds count from the request for the media session."""

    camera: str
    hls_playlist_s: float
    hls_picture_s: float
    hls_pictures: int
    webrtc_picture_s: float
    webrtc_pictures: int


class MediaSession(msgspec.Struct, frozen=True):
    """The answer to POST /v1/media/sessions."""

    id: str
    hls: str
    whep: str
    expires_at: int | str


async def play(
    base_url: str, camera: str, *, grant: str = "", pictures: int = 25, limit_s: float = 30
) -> Played:
    """Opens a media session and plays it by HLS and by WebRTC at once.

    Args:
        base_url: where the relay listens, such as "http://127.0.0.1:8080".
        grant: a grant token; "" for a public camera.
        pictures: how many decoded pictures of each protocol are enough.
        limit_s: seconds for everything together.

    Raises:
        PlayFailed: a step failed or took too long.
    """
    began = time.monotonic()
    deadline = began + limit_s
    timeout = aiohttp.ClientTimeout(total=limit_s)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        session = await _step("media session", deadline, open_session(http, base_url, camera, grant))
        hls_url, whep_url = urljoin(base_url, session.hls), urljoin(base_url, session.whep)
        hls, webrtc = await asyncio.gather(
            _step("HLS", deadline, _play_hls(http, hls_url, pictures, deadline)),
            _step("WebRTC", deadline, _play_whep(http, whep_url, pictures)),
            return_exceptions=True,
        )
    if isinstance(hls, BaseException) or isinstance(webrtc, BaseException):
        failures = [e for e in (hls, webrtc) if isinstance(e, BaseException)]
        raise PlayFailed("; ".join(str(e) for e in failures)) from failures[0]
    playlist_at, hls_picture_at = hls
    return Played(
        camera=camera,
        hls_playlist_s=playlist_at - began,
        hls_picture_s=hls_picture_at - began,
        hls_pictures=pictures,
        webrtc_picture_s=webrtc - began,
        webrtc_pictures=pictures,
    )


async def open_session(
    http: aiohttp.ClientSession, base_url: str, camera: str, grant: str = ""
) -> MediaSession:
    """Exchanges a grant, or the publicness of a camera, for a media session.

    Raises:
        PlayFailed: the relay refused.
    """
    headers = {"Authorization": f"Bearer {grant}"} if grant else {}
    body = {"camera": camera}
    async with http.post(urljoin(base_url, "/v1/media/sessions"), json=body, headers=headers) as response:
        return msgspec.json.decode(await _body(response, "media session", 200, 201), type=MediaSession)


async def _step(name: str, deadline: float, step: Coroutine[Any, Any, T]) -> T:
    """A step in the time that is left."""
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await step
    except TimeoutError:
        raise PlayFailed(f"{name}: not done in time") from None
    except aiohttp.ClientError as e:
        raise PlayFailed(f"{name}: no answer ({type(e).__name__})") from None


async def _play_hls(
    http: aiohttp.ClientSession, url: str, pictures: int, deadline: float
) -> tuple[float, float]:
    """When the first playlist that lists media was there, and when the first decoded picture."""
    multivariant = (await _text(http, url, "multivariant playlist")).splitlines()
    uri = next((line for line in multivariant if line and not line.startswith("#")), None)
    if uri is None:
        raise PlayFailed("multivariant playlist: lists nothing")
    playlist_at = 0.0
    # libav reads whole segments; just after a start there are only parts.
    while True:
        playlist = await _text(http, urljoin(url, uri), "media playlist")
        if "#EXTINF" in playlist or "#EXT-X-PART:" in playlist:
            playlist_at = playlist_at or time.monotonic()
        if "#EXTINF" in playlist:
            return playlist_at, await asyncio.to_thread(_decode_hls, url, pictures, deadline)
        await asyncio.sleep(_SEGMENT_POLL_S)


async def _text(http: aiohttp.ClientSession, url: str, what: str) -> str:
    """A playlist, waited for while the relay says that the camera is not ready yet."""
    while True:
        async with http.get(url) as response:
            if response.status != 503:
                return (await _body(response, what, 200)).decode()
            again_s = int(response.headers.get("Retry-After", "1"))
        await asyncio.sleep(again_s)


def _decode_hls(url: str, pictures: int, deadline: float) -> float:
    """When the first of `pictures` decoded pictures was there. Blocks; libav stops by itself in time."""
    left_s = max(1.0, deadline - time.monotonic())
    first_at, seen = 0.0, 0
    try:
        with av.open(url, format="hls", timeout=(left_s, left_s)) as container:
            for _ in container.decode(video=0):
                first_at = first_at or time.monotonic()
                seen += 1
                if seen >= pictures:
                    return first_at
                if time.monotonic() > deadline:
                    break
    except (av.error.FFmpegError, IndexError) as e:
        # libav's own text would repeat the URL.
        raise PlayFailed(f"HLS: libav gave up after {seen} pictures ({type(e).__name__})") from None
    raise PlayFailed(f"HLS: ended after {seen} of {pictures} pictures")


async def _play_whep(http: aiohttp.ClientSession, url: str, pictures: int) -> float:
    """When the first decoded picture was there."""
    async with _peer() as peer:
        tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
        peer.on("track", tracks.put_nowait)
        peer.addTransceiver("video", direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        headers = {"Content-Type": "application/sdp"}
        async with http.post(url, data=peer.localDescription.sdp.encode(), headers=headers) as response:
            answer = (await _body(response, "WHEP", 201)).decode()
            resource = urljoin(url, response.headers["Location"])
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        first_at = await _decode_webrtc(await tracks.get(), pictures)
        async with http.delete(resource) as response:
            await _body(response, "WHEP DELETE", 200, 204)
        return first_at


async def _decode_webrtc(track: MediaStreamTrack, pictures: int) -> float:
    first_at = 0.0
    for seen in range(pictures):
        try:
            await track.recv()
        except MediaStreamError:
            raise PlayFailed(f"WebRTC: ended after {seen} of {pictures} pictures") from None
        first_at = first_at or time.monotonic()
    return first_at


@contextlib.asynccontextmanager
async def _peer() -> AsyncIterator[RTCPeerConnection]:
    # An empty list of servers, because None would mean a public STUN server.
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        yield peer
    finally:
        await peer.close()


async def _body(response: aiohttp.ClientResponse, what: str, *expected: int) -> bytes:
    """The body of an answer with an expected status.

    Raises:
        PlayFailed: another status, with the code of its problem document, or too long a body.
    """
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _MAX_BODY_BYTES:
            raise PlayFailed(f"{what}: answer over {_MAX_BODY_BYTES} bytes")
    if response.status in expected:
        return bytes(body)
    code = ""
    if response.content_type == "application/problem+json":
        with contextlib.suppress(msgspec.DecodeError):
            code = f" {msgspec.json.decode(body, type=_Problem).code}"
    raise PlayFailed(f"{what}: answered {response.status}{code}")


class _Problem(msgspec.Struct):
    code: str = ""


def main(arguments: list[str] | None = None) -> int:
    """Plays the cameras named on the command line, prints a line for each, returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m camrelay.tools.play",
        description="Plays cameras by HLS and WebRTC. The grant token is read from CAMRELAY_TOKEN.",
    )
    parser.add_argument("base_url", help="such as http://127.0.0.1:8080")
    parser.add_argument("camera", nargs="+")
    parser.add_argument("--pictures", type=int, default=25, help="decoded pictures of each protocol (25)")
    parser.add_argument("--limit", type=float, default=30, help="seconds for each camera (30)")
    parser.add_argument("--json", action="store_true", help="one JSON object for each camera")
    options = parser.parse_args(arguments)
    grant = os.environ.get("CAMRELAY_TOKEN", "")
    failures = 0
    for camera in options.camera:
        try:
            played = asyncio.run(
                play(options.base_url, camera, grant=grant, pictures=options.pictures, limit_s=options.limit)
            )
        except PlayFailed as e:
            failures += 1
            print(f"{camera}: {e}", file=sys.stderr)
        else:
            print(msgspec.json.encode(played).decode() if options.json else _line(played))
    return 1 if failures else 0


def _line(played: Played) -> str:
    return (
        f"{played.camera}: HLS playlist {played.hls_playlist_s:.2f} s, picture {played.hls_picture_s:.2f} s; "
        f"WebRTC picture {played.webrtc_picture_s:.2f} s; {played.webrtc_pictures} pictures of each"
    )


if __name__ == "__main__":
    sys.exit(main())
