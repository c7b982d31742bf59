"""RTSP conversations: right order, wrong order, and everything a camera refuses."""

from __future__ import annotations

import itertools

import pytest

from camrelay.simulate.conversation import Conversation, Session, camera_number
from camrelay.simulate.credentials import Credentials, answer
from camrelay.simulate.rtsp import Request, Transport
from camrelay.simulate.timeline import Cue

BASE = "rtsp://127.0.0.1:8554"
URL = f"{BASE}/cam1"
TCP = "RTP/AVP/TCP;unicast;interleaved=2-3"


class TwoCameras:
    """A site with cam1 and cam2."""

    udp_ports = (6000, 6001)

    def sdp(self, camera: int) -> bytes | None:
        return b"v=0\r\n" if camera in (1, 2) else None

    def cue(self, camera: int) -> Cue:
        return Cue(sequence=1000 + camera, timestamp=90_000, ssrc=0xAB)


class Client:
    """Asks, and remembers what the next request needs."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        ids = (f"session{n}" for n in itertools.count(1))
        self.conversation = Conversation(TwoCameras(), credentials, "nonce", lambda: next(ids))
        self.headers: dict[str, str] = {}

    def ask(self, method: str, url: str = URL, body: bytes = b"", **headers: str) -> int:
        """The response's status; `headers` keeps its headers."""
        given = {"cseq": "7", **{name.lower(): value for name, value in headers.items()}}
        wire = self.conversation.answer(Request(method, url, "RTSP/1.0", given, body))
        head, _, self.body = wire.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        self.headers = dict(line.split(": ", 1) for line in lines)
        assert self.headers["CSeq"] == "7"
        return int(status.split()[1])

    def set_up(self, url: str = f"{URL}/trackID=1", transport: str = TCP) -> str:
        """Sets up, and gives the session's id."""
        assert self.ask("SETUP", url, Transport=transport) == 200
        return self.headers["Session"].split(";")[0]


@pytest.mark.parametrize(
    ("url", "camera"),
    [
        ("rtsp://host/cam1", 1),
        ("rtsp://host:554/cam12/", 12),
        ("rtsp://user@[::1]:554/cam300/trackID=1", 300),
        ("rtsps://host/cam1?profile=main", 1),
        ("/cam9", 9),
        ("rtsp://host/cam0", None),
        ("rtsp://host/cam01", None),
        ("rtsp://host/cam12345", None),
        ("rtsp://host/cam1/trackID=3", None),
        ("rtsp://host/cam", None),
        ("rtsp://host/", None),
        ("http://host/cam1", None),
        ("*", None),
    ],
)
def test_urls_name_cameras(url: str, camera: int | None) -> None:
    """Number, with or without the track; no other spelling."""
    assert camera_number(url) == camera


def test_a_whole_viewing_over_tcp() -> None:
    """OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, PLAY, TEARDOWN; the session says at each step what to send."""
    client = Client()
    assert client.ask("OPTIONS", "*") == 200
    assert "PLAY" in client.headers["Public"]

    assert client.ask("DESCRIBE", Accept="application/sdp") == 200
    assert (client.headers["Content-Base"], client.headers["Content-Type"]) == (f"{URL}/", "application/sdp")
    assert client.body == b"v=0\r\n"
    assert client.conversation.session is None

    session = client.set_up()
    assert client.headers["Session"] == "session1;timeout=60"
    assert client.headers["Transport"] == f"{TCP};ssrc=000000AB"
    assert client.conversation.session == Session("session1", 1, Transport("tcp", 2, 3))

    assert client.ask("PLAY", Session=session, Range="npt=0.000-") == 200
    assert client.headers["RTP-Info"] == f"url={URL}/trackID=1;seq=1001;rtptime=90000"
    assert client.headers["Range"] == "npt=now-"
    assert client.conversation.session is not None
    assert client.conversation.session.is_playing

    assert client.ask("PAUSE", Session=session) == 200
    assert not client.conversation.session.is_playing

    assert client.ask("PLAY", f"{URL}/trackID=1", Session=f"{session};timeout=60") == 200
    assert client.headers["RTP-Info"].startswith(f"url={URL}/trackID=1;")
    assert client.conversation.session.is_playing

    assert client.ask("TEARDOWN", Session=session) == 200
    assert client.conversation.session is None


def test_udp_is_told_the_servers_ports() -> None:
    """Server ports in the Transport of the response."""
    client = Client()
    client.set_up(transport="RTP/AVP;unicast;client_port=5000-5001")

    chosen = "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001;ssrc=000000AB"
    assert client.headers["Transport"] == chosen


def test_a_session_that_does_not_play_can_change_its_transport() -> None:
    """A second SETUP with the session's name; while playing it is refused."""
    client = Client()
    session = client.set_up()

    assert client.ask("SETUP", Transport="RTP/AVP;unicast;client_port=5000-5001", Session=session) == 200
    assert client.conversation.session == Session(session, 1, Transport("udp", 5000, 5001))
    client.ask("PLAY", Session=session)
    assert client.ask("SETUP", Transport=TCP, Session=session) == 455
    assert client.conversation.session is not None
    assert client.conversation.session.is_playing


def test_a_second_session_on_a_connection_is_refused() -> None:
    """One at a time; after TEARDOWN the next one has another name."""
    client = Client()
    first = client.set_up()
    assert client.ask("SETUP", f"{BASE}/cam2/trackID=1", Transport=TCP) == 455

    client.ask("TEARDOWN", Session=first)

    assert client.set_up(f"{BASE}/cam2/trackID=1") != first
    assert client.conversation.session is not None
    assert client.conversation.session.camera == 2


def test_keep_alive() -> None:
    """Empty parameter requests are answered, for the right session; we have no parameters."""
    client = Client()
    assert client.ask("GET_PARAMETER") == 200
    session = client.set_up()
    for method in ("GET_PARAMETER", "SET_PARAMETER"):
        assert client.ask(method, Session=session) == 200
        assert client.headers["Session"].startswith(session)
        assert client.ask(method, Session="other") == 454
        assert client.ask(method, Session=session, body=b"volume: 11") == 451


@pytest.mark.parametrize("method", ["PLAY", "PAUSE", "TEARDOWN"])
def test_sessions_are_named_rightly_or_not_at_all(method: str) -> None:
    """454 for a wrong name, also a right one with the wrong camera; 455 before SETUP."""
    client = Client()
    assert client.ask(method) == 455
    assert client.ask(method, Session="session1") == 454
    session = client.set_up()

    assert client.ask(method) == 454
    assert client.ask(method, Session="session2") == 454
    assert client.ask(method, f"{BASE}/cam2", Session=session) == 454
    assert client.ask("SETUP", Transport=TCP, Session="session2") == 454
    assert client.conversation.session == Session(session, 1, Transport("tcp", 2, 3))


@pytest.mark.parametrize(
    ("status", "method", "url", "headers"),
    [
        (404, "DESCRIBE", f"{BASE}/cam3", {}),
        (404, "DESCRIBE", f"{BASE}/other", {}),
        (404, "SETUP", f"{BASE}/cam3/trackID=1", {"Transport": TCP}),
        (404, "SETUP", f"{URL}/trackID=2", {"Transport": TCP}),
        (404, "PLAY", f"{BASE}/cam3", {"Session": "session1"}),
        (406, "DESCRIBE", URL, {"Accept": "text/plain"}),
        (400, "OPTIONS", URL, {"CSeq": ""}),
        (400, "OPTIONS", URL, {"CSeq": "x"}),
        (461, "SETUP", URL, {}),
        (461, "SETUP", URL, {"Transport": "RTP/AVP;multicast"}),
        (501, "RECORD", URL, {}),
        (501, "ANNOUNCE", URL, {}),
        (551, "DESCRIBE", URL, {"Require": "implicit-play"}),
    ],
)
def test_refusals(status: int, method: str, url: str, headers: dict[str, str]) -> None:
    """Each wrong request has its status, and changes nothing."""
    conversation = Conversation(TwoCameras(), None, "nonce", lambda: "session1")
    given = {"cseq": "1", **{name.lower(): value for name, value in headers.items()}}

    response = conversation.answer(Request(method, url, "RTSP/1.0", given))

    assert response.startswith(f"RTSP/1.0 {status} ".encode())
    assert conversation.session is None


def test_a_request_without_number_or_of_another_version_is_refused() -> None:
    """400 and 505."""
    conversation = Conversation(TwoCameras(), None, "nonce", lambda: "session1")

    assert conversation.answer(Request("OPTIONS", "*", "RTSP/1.0", {})).startswith(b"RTSP/1.0 400 ")
    assert conversation.answer(Request("OPTIONS", "*", "RTSP/2.0", {"cseq": "1"})).startswith(
        b"RTSP/1.0 505 "
    )


def test_what_is_not_supported_is_named() -> None:
    """Unsupported repeats the Require header."""
    client = Client()
    client.ask("PLAY", Require="onvif-replay")

    assert client.headers["Unsupported"] == "onvif-replay"


@pytest.mark.parametrize("method", ["DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN"])
def test_a_password_is_asked_for_first(method: str) -> None:
    """401 with a challenge, whether or not the camera exists; OPTIONS is free; a right answer is let in."""
    secret = Credentials("admin", "secret", "digest")
    client = Client(secret)
    assert client.ask("OPTIONS") == 200
    for url in (URL, f"{BASE}/cam3"):
        assert client.ask(method, url, Transport=TCP) == 401
        assert 'nonce="nonce"' in client.headers["WWW-Authenticate"]

    response = answer(secret, "MD5", "nonce", method, URL, {})
    told = f'username="admin", realm="{secret.realm}", nonce="nonce", uri="{URL}", response="{response}"'

    assert client.ask(method, URL, Transport=TCP, Authorization=f"Digest {told}") in (200, 455)


def test_a_second_track_joins_the_session_of_the_first() -> None:
    """Only of a camera that has one, and after the picture's."""
    client = Client()
    assert client.ask("SETUP", f"{URL}/trackID=2", Transport=TCP) == 404
    client.conversation._site.sdp = lambda camera: b"a=control:trackID=2\r\n"  # type: ignore[method-assign]
    assert client.ask("SETUP", f"{URL}/trackID=2", Transport=TCP) == 455
    session = client.set_up()
    second = "RTP/AVP/TCP;unicast;interleaved=4-5"
    assert client.ask("SETUP", f"{URL}/trackID=2", Transport=second, Session=session) == 200
    assert client.conversation.session is not None
    assert client.conversation.session.sound == Transport("tcp", 4, 5)
    assert client.conversation.session.transport == Transport("tcp", 2, 3)
