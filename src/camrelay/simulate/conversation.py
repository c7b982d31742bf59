"""One RTSP connection's conversation: each request gets its response, and the session follows from it.

The states are those of RFC 2326 §A.2. A connection has at most one session at a time, and it ends with the
connection. The shell writes what `answer` returns, then looks at `session` to see what is to be sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

import msgspec

from camrelay.simulate import credentials as auth
from camrelay.simulate.credentials import Credentials
from camrelay.simulate.rtsp import Request, Transport, parse_transport, response
from camrelay.simulate.timeline import Cue

#: A UDP session nobody speaks for ends after this long; the value is RFC 2326's default (§12.37).
SESSION_TIMEOUT_S = 60

TRACK = "trackID=1"
SOUND_TRACK = "trackID=2"

_METHODS = ("OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "GET_PARAMETER", "SET_PARAMETER", "TEARDOWN")

_URL = re.compile(
    rf"(?:rtsps?://[^/]*)?/cam([1-9]\d{{0,3}})(?:/|/{TRACK}|/{SOUND_TRACK})?(?:\?.*)?", re.ASCII
)


class Site(Protocol):
    """What a conversation has to know of the cameras."""

    #: Server ports of RTP and RTCP datagrams.
    udp_ports: tuple[int, int]

    def sdp(self, camera: int) -> bytes | None:
        """The camera's description, None when there is no such camera."""
        ...

    def cue(self, camera: int) -> Cue:
        """The first packet a receiver that starts now will get."""
        ...


class Session(msgspec.Struct, frozen=True):
    """A session that was set up; `sound` is where its second track goes, if that was set up too."""

    id: str
    camera: int
    transport: Transport
    is_playing: bool = False
    sound: Transport | None = None


class _Refused(Exception):
    """Carries the status of a response that says no."""

    def __init__(self, status: int, *headers: tuple[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.headers = list(headers)


def camera_number(url: str) -> int | None:
    """The camera a request URL names, whether or not it exists."""
    found = _URL.fullmatch(url)
    return int(found[1]) if found else None


class Conversation:
    """The server's side of one connection.

    Args:
        site: the cameras.
        credentials: None when nobody is asked.
        nonce: of this connection's Digest challenges.
        new_id: makes a session id.
    """

    def __init__(
        self, site: Site, credentials: Credentials | None, nonce: str, new_id: Callable[[], str]
    ) -> None:
        self.session: Session | None = None
        self._site = site
        self._credentials = credentials
        self._nonce = nonce
        self._new_id = new_id

    def answer(self, request: Request) -> bytes:
        """The response to a request, having done to `session` what it asks for."""
        sequence = ("CSeq", request.headers.get("cseq", "0"))
        try:
            headers, body = self._answer(request)
        except _Refused as refused:
            return response(refused.status, [sequence, *refused.headers])
        return response(200, [sequence, *headers], body)

    def _answer(self, request: Request) -> tuple[list[tuple[str, str]], bytes]:
        if request.version != "RTSP/1.0":
            raise _Refused(505)
        if not re.fullmatch(r"\d{1,10}", request.headers.get("cseq", ""), re.ASCII):
            raise _Refused(400)
        if "require" in request.headers:
            raise _Refused(551, ("Unsupported", request.headers["require"]))
        match request.method:
            case "OPTIONS":
                return [("Public", ", ".join(_METHODS))], b""
            case "DESCRIBE":
                return self._describe(request)
            case "SETUP":
                return self._set_up(request), b""
            case "PLAY":
                return self._play(request), b""
            case "PAUSE":
                return self._pause(request), b""
            case "GET_PARAMETER" | "SET_PARAMETER":
                return self._parameter(request), b""
            case "TEARDOWN":
                return self._tear_down(request), b""
        raise _Refused(501, ("Public", ", ".join(_METHODS)))

    def _camera(self, request: Request) -> tuple[int, bytes]:
        """Number and description of the camera the request names, once the password is proven."""
        if self._credentials is not None:
            given = request.headers.get("authorization", "")
            if not auth.accepts(self._credentials, self._nonce, request.method, request.url, given):
                offered = auth.challenges(self._credentials, self._nonce)
                raise _Refused(401, *(("WWW-Authenticate", challenge) for challenge in offered))
        camera = camera_number(request.url)
        sdp = None if camera is None else self._site.sdp(camera)
        if camera is None or sdp is None:
            raise _Refused(404)
        return camera, sdp

    def _named_session(self, request: Request) -> Session:
        """The session the request names, which must be this connection's and of this camera."""
        camera, _ = self._camera(request)
        given = request.headers.get("session", "").partition(";")[0]
        if self.session is None:
            # Nothing was set up: without a name it is the order that is wrong, with one it is the name.
            raise _Refused(454 if given else 455)
        if (given, camera) != (self.session.id, self.session.camera):
            raise _Refused(454)
        return self.session

    def _describe(self, request: Request) -> tuple[list[tuple[str, str]], bytes]:
        _, sdp = self._camera(request)
        accepted = request.headers.get("accept", "*/*")
        if "application/sdp" not in accepted and "*/*" not in accepted:
            raise _Refused(406)
        base = request.url.partition("?")[0].rstrip("/") + "/"
        return [("Content-Base", base), ("Content-Type", "application/sdp")], sdp

    def _set_up(self, request: Request) -> list[tuple[str, str]]:
        camera, sdp = self._camera(request)
        is_sound = request.url.partition("?")[0].endswith(SOUND_TRACK)
        if is_sound and SOUND_TRACK.encode() not in sdp:
            raise _Refused(404)
        if "session" in request.headers:
            self._named_session(request)
        if self.session is not None and (self.session.is_playing or "session" not in request.headers):
            raise _Refused(455)
        transport = parse_transport(request.headers.get("transport", ""))
        if transport is None:
            raise _Refused(461)
        if is_sound:
            # The picture comes first: it is what a session is about.
            if self.session is None:
                raise _Refused(455)
            self.session = msgspec.structs.replace(self.session, sound=transport)
        else:
            session_id = self.session.id if self.session else self._new_id()
            self.session = Session(session_id, camera, transport)
        ssrc = self._site.cue(camera).ssrc
        if transport.lower == "tcp":
            chosen = f"RTP/AVP/TCP;unicast;interleaved={transport.rtp}-{transport.rtcp}"
        else:
            rtp, rtcp = self._site.udp_ports
            chosen = f"RTP/AVP;unicast;client_port={transport.rtp}-{transport.rtcp};server_port={rtp}-{rtcp}"
        return [("Transport", f"{chosen};ssrc={ssrc:08X}"), self._session_header(self.session)]

    def _play(self, request: Request) -> list[tuple[str, str]]:
        session = self._named_session(request)
        self.session = msgspec.structs.replace(session, is_playing=True)
        cue = self._site.cue(session.camera)
        base = request.url.partition("?")[0].removesuffix(TRACK).rstrip("/")
        info = f"url={base}/{TRACK};seq={cue.sequence};rtptime={cue.timestamp}"
        return [self._session_header(session), ("Range", "npt=now-"), ("RTP-Info", info)]

    def _pause(self, request: Request) -> list[tuple[str, str]]:
        session = self._named_session(request)
        self.session = msgspec.structs.replace(session, is_playing=False)
        return [self._session_header(session)]

    def _parameter(self, request: Request) -> list[tuple[str, str]]:
        """We have no parameters; empty requests are how clients keep a session alive (RFC 2326 §10.8)."""
        if request.body:
            raise _Refused(451)
        return [self._session_header(self._named_session(request))] if "session" in request.headers else []

    def _tear_down(self, request: Request) -> list[tuple[str, str]]:
        session = self._named_session(request)
        self.session = None
        return [self._session_header(session)]

    @staticmethod
    def _session_header(session: Session) -> tuple[str, str]:
        return "Session", f"{session.id};timeout={SESSION_TIMEOUT_S}"
