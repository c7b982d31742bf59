"""Asks a relay over HTTP as a program would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urljoin

import aiohttp

from processes import Relay

#: One section of video, as browsers write it; candidates and further sections are added by tests.
SESSION = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=setup:actpass\r\n"
)
VIDEO = (
    "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=recvonly\r\na=rtcp-mux\r\n"
    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
)
CANDIDATE = "a=candidate:{n} 1 udp 2122260223 192.0.2.1 {port} typ host\r\n"


def offer(*, sections: int = 1, candidates: int = 0, filler_bytes: int = 0) -> str:
    """An offer that is fine but for what is asked for."""
    sdp = SESSION + "".join(VIDEO.format(mid=mid) for mid in range(sections))
    sdp += "".join(CANDIDATE.format(n=n, port=10_000 + n) for n in range(candidates))
    return sdp + f"a=x-filler:{'x' * filler_bytes}\r\n" * (filler_bytes > 0)


class Answer(NamedTuple):
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> dict[str, Any]:
        """The body as an object."""
        found: dict[str, Any] = json.loads(self.text)
        return found

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document without what differs from request to request (RFC 9457)."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), self.text
        document = self.json
        assert document["status"] == self.status
        assert document["code"]
        assert document.pop("request_id")
        return document


async def ask(
    relay: Relay, method: str, path: str, *, token: str = "", body: str | None = None, **headers: str
) -> Answer:
    """Asks for `path`; headers are written with _ for -."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as http,
        http.request(method, relay.url(path), data=body, headers=sent, allow_redirects=False) as answer,
    ):
        return Answer(answer.status, dict(answer.headers), await answer.text(errors="replace"))


async def open_session(relay: Relay, camera: str, token: str = "") -> Answer:
    """POST /v1/media/sessions."""
    body = json.dumps({"camera": camera})
    return await ask(
        relay, "POST", "/v1/media/sessions", token=token, body=body, Content_Type="application/json"
    )


async def media_playlist(relay: Relay, hls: str) -> str:
    """The path of the media playlist behind a session's multivariant playlist."""
    answer = await ask(relay, "GET", hls)
    assert answer.status == 200, answer.text
    uri = next(line for line in answer.text.splitlines() if line and not line.startswith("#"))
    return urljoin(hls, uri)
