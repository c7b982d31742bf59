"""Tests of camrelay.ingest.guard: what a lying camera can and cannot make it do."""

from __future__ import annotations

import hashlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from camrelay.errors import CameraAuthFailed, CameraUnreachable, EgressDenied, StreamInterrupted
from camrelay.ingest.guard import Guard, Passage
from camrelay.ingest.rtsp import parse_head
from camrelay.ingest.target import Target

WAIT_S = 5.0

Answer = Callable[[str, int], bytes]


class LyingCamera:
    """A real RTSP listener that answers each request as a test says, and remembers what it was told."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self.is_gone = threading.Event()
        self._answer = answer
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
                self.connections += 1
                if self._context:
                    peer = self._context.wrap_socket(peer, server_side=True)
                with peer:
                    self._talk(peer)
            except OSError:
                if self._listener.fileno() < 0:
                    return
            finally:
                self.is_gone.set()

    def _talk(self, peer: socket.socket) -> None:
        buffer = bytearray()
        while data := peer.recv(65536):
            buffer += data
            while parsed := parse_head(buffer):
                head, size = parsed
                self.requests.append(buffer[:size].decode())
                del buffer[:size]
                peer.sendall(self._answer(head.start.split()[0], int(head.get("CSeq"))))

    def close(self) -> None:
        self._listener.close()


def plain(method: str, sequence: int) -> bytes:
    """A camera with nothing to hide."""
    extra = {
        "DESCRIBE": "Content-Base: rtsp://10.9.8.7:99/live/\r\nContent-Length: 33\r\n",
        "SETUP": "Session: 42;timeout=60\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n",
    }.get(method, "")
    body = "a=control:rtsp://10.9.8.7:99/t=1\n" if method == "DESCRIBE" else ""
    media = b"$\x00\x00\x04abcd" if method == "PLAY" else b""
    return f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{extra}\r\n{body}".encode() + media


@pytest.fixture
def guard() -> Iterator[Guard]:
    made = Guard(open_s=WAIT_S, silence_s=WAIT_S)
    yield made
    made.stop()


class Player:
    """FFmpeg's side of a passage."""

    def __init__(self, passage: Passage) -> None:
        self.url = passage.url
        self._passage = passage
        port = int(passage.url.split(":")[2].split("/")[0])
        self.socket = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self._sequence = 0
        self.buffer = bytearray()

    def ask(self, method: str, **headers: str) -> str:
        """Sends a request; returns the answer's head and body, "" when the connection ended."""
        self._sequence += 1
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"{method} {self.url} RTSP/1.0\r\nCSeq: {self._sequence}\r\n{lines}\r\n"
        self.socket.sendall(request.encode())
        while (parsed := parse_head(self.buffer)) is None:
            if not (data := self._receive()):
                return ""
            self.buffer += data
        head, size = parsed
        while len(self.buffer) < size + head.content_length:
            self.buffer += self._receive()
        text = self.buffer[: size + head.content_length].decode()
        del self.buffer[: size + head.content_length]
        return text

    def play(self) -> None:
        """The whole way to PLAY, and the first packet."""
        self.ask("DESCRIBE")
        self.ask("SETUP", Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
        assert "200" in self.ask("PLAY")
        while len(self.buffer) < 8:
            self.buffer += self._receive()

    def wait_for_end(self) -> None:
        """Returns when the guard has closed the connection."""
        while self._receive():
            pass

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionError:
            return b""


Dial = Callable[[Target], tuple[Passage, Player]]


@pytest.fixture
def dial(guard: Guard) -> Iterator[Dial]:
    """Opens passages with a player in each."""
    players = []

    def opened(target: Target) -> tuple[Passage, Player]:
        passage = guard.open(target)
        players.append(Player(passage))
        return passage, players[-1]

    yield opened
    for player in players:
        player.socket.close()


def target(camera: LyingCamera, **changes: object) -> Target:
    values: dict[str, object] = {
        "address": "127.0.0.1",
        "port": camera.port,
        "authority": "cam.example:554",
        "path": "/live",
        "username": "admin",
        "password": "S3cret",
    }
    return Target(**(values | changes))  # type: ignore[arg-type]


def failed_with(passage: Passage, player: Player) -> object:
    player.wait_for_end()
    return type(passage.failure)


def test_the_player_never_learns_address_or_password(dial: Dial) -> None:
    """URLs in heads and bodies point to the guard; requests to the camera name the camera."""
    camera = LyingCamera(plain)
    _, player = dial(target(camera))

    described = player.ask("DESCRIBE")

    assert "10.9.8.7" not in described
    assert f"a=control:{player.url.removesuffix('/live')}/t=1" in described
    assert camera.requests[0].startswith("DESCRIBE rtsp://cam.example:554/live RTSP/1.0")
    assert "User-Agent: camrelay" in camera.requests[0]
    camera.close()


def test_media_passes_and_the_camera_is_told_the_end(dial: Dial) -> None:
    """F16: a camera that allows one session hears TEARDOWN when the player just goes away."""
    camera = LyingCamera(plain)
    _, player = dial(target(camera))
    player.play()
    assert bytes(player.buffer) == b"$\x00\x00\x04abcd"

    player.socket.close()

    assert camera.is_gone.wait(WAIT_S)
    assert camera.requests[-1].startswith("TEARDOWN rtsp://cam.example:554/live")
    assert "Session: 42" in camera.requests[-1]
    camera.close()


def test_a_redirect_gets_no_credential_and_no_second_connection(dial: Dial) -> None:
    """FFmpeg would follow it and show the password there; the guard ends the attempt."""
    elsewhere = LyingCamera(plain)
    redirect = f"RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: rtsp://127.0.0.1:{elsewhere.port}/\r\n\r\n"
    camera = LyingCamera(lambda method, sequence: redirect.encode())
    passage, player = dial(target(camera))

    assert player.ask("OPTIONS") == ""

    assert failed_with(passage, player) is EgressDenied
    assert elsewhere.connections == 0
    assert "Authorization" not in "".join(camera.requests)
    camera.close()
    elsewhere.close()


@pytest.mark.parametrize("name", ["source", "destination"])
def test_a_transport_to_another_host_is_refused(dial: Dial, name: str) -> None:
    """A camera cannot make the relay send to, or believe packets of, a third host."""
    answer = f"RTSP/1.0 200 OK\r\nCSeq: 1\r\nTransport: RTP/AVP;{name}=10.1.2.3\r\n\r\n".encode()
    camera = LyingCamera(lambda method, sequence: answer)
    passage, player = dial(target(camera))

    assert player.ask("SETUP", Transport="RTP/AVP/TCP;unicast;interleaved=0-1") == ""

    assert failed_with(passage, player) is EgressDenied
    camera.close()


def test_sha256_is_answered_and_a_refusal_is_final(dial: Dial) -> None:
    """F11: one answer to the challenge, and when that is refused not one more."""
    challenge = 'Digest realm="r", nonce="n", algorithm=SHA-256'
    refusal = f"RTSP/1.0 401 No\r\nCSeq: 1\r\nWWW-Authenticate: {challenge}\r\n\r\n".encode()
    camera = LyingCamera(lambda method, sequence: refusal)
    passage, player = dial(target(camera))

    assert player.ask("DESCRIBE") == ""

    assert failed_with(passage, player) is CameraAuthFailed
    assert len(camera.requests) == 2
    ha1 = hashlib.sha256(b"admin:r:S3cret").hexdigest()
    ha2 = hashlib.sha256(b"DESCRIBE:rtsp://cam.example:554/live").hexdigest()
    assert hashlib.sha256(f"{ha1}:n:{ha2}".encode()).hexdigest() in camera.requests[1]
    assert "S3cret" not in "".join(camera.requests)
    camera.close()


def test_a_forbidden_account_is_a_credential_failure(dial: Dial) -> None:
    """403 is as final as a wrong password."""
    camera = LyingCamera(lambda method, sequence: b"RTSP/1.0 403 Forbidden\r\nCSeq: 1\r\n\r\n")
    passage, player = dial(target(camera))

    player.ask("DESCRIBE")

    assert failed_with(passage, player) is CameraAuthFailed
    camera.close()


def test_a_silent_camera_is_noticed() -> None:
    """F2, F3: the connection stands, nothing comes, and FFmpeg's read ends all the same."""
    guard = Guard(open_s=WAIT_S, silence_s=0.2)
    camera = LyingCamera(plain)
    passage = guard.open(target(camera))
    player = Player(passage)
    player.play()

    assert failed_with(passage, player) is StreamInterrupted
    player.socket.close()
    camera.close()
    guard.stop()


def test_closing_from_another_thread_ends_a_hanging_read(dial: Dial) -> None:
    """F4: whatever state the passage is in."""
    camera = LyingCamera(plain)
    passage, early = dial(target(camera))
    early.ask("DESCRIBE")
    passage.close()
    early.wait_for_end()
    assert camera.is_gone.wait(WAIT_S)

    passage, playing = dial(target(camera))
    playing.play()
    passage.close()
    playing.wait_for_end()
    camera.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"x" * 40_000,
        b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n\x00\r\n\r\n",
    ],
    ids=["endless head", "huge body", "no header"],
)
def test_a_camera_that_talks_too_much_is_cut(dial: Dial, answer: bytes) -> None:
    """Abuse case 48: heads and bodies have limits, and the fault is the camera's."""
    camera = LyingCamera(lambda method, sequence: answer)
    passage, player = dial(target(camera))

    assert player.ask("DESCRIBE") == ""

    assert failed_with(passage, player) is StreamInterrupted
    camera.close()


def test_nobody_there(dial: Dial) -> None:
    """A refused connection is the camera's absence, not a broken stream."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    passage, player = dial(Target("127.0.0.1", port, "cam.example", "/live"))

    assert failed_with(passage, player) is CameraUnreachable


def test_requests_while_playing_carry_credentials_and_reports_pass(dial: Dial) -> None:
    """A keepalive is answered with the password's proof; interleaved RTCP goes through untouched."""
    asked = threading.Event()

    def answer(method: str, sequence: int) -> bytes:
        if method == "GET_PARAMETER":
            asked.set()
        if method == "DESCRIBE" and sequence == 1:
            return b'RTSP/1.0 401 No\r\nCSeq: 1\r\nWWW-Authenticate: Basic realm="r"\r\n\r\n'
        return plain(method, sequence)

    camera = LyingCamera(answer)
    _, player = dial(target(camera))
    player.play()

    keepalive = f"GET_PARAMETER {player.url} RTSP/1.0\r\nCSeq: 9\r\n\r\n".encode()
    player.socket.sendall(keepalive[:20])
    player.socket.sendall(keepalive[20:])

    assert asked.wait(WAIT_S)
    assert "Authorization: Basic" in camera.requests[-1]
    camera.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key, as cameras have."""
    path = tmp_path_factory.mktemp("tls") / "camera.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=cam.example"
    )
    subprocess.run(
        [*command.split(), "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True
    )
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def fingerprint(certificate: Path) -> str:
    text = certificate.read_text()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERT") :])).hexdigest()


@pytest.mark.parametrize(("pin", "plays"), [("right", True), ("wrong", False), ("", False)])
def test_rtsps_trusts_a_pinned_certificate_and_no_other(
    dial: Dial, certificate: Path, pin: str, plays: bool
) -> None:
    """A self-signed camera plays when its certificate is pinned; a swapped one gets no request at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    camera = LyingCamera(plain, context)
    pins = {"right": fingerprint(certificate), "wrong": "0" * 64, "": ""}
    passage, player = dial(target(camera, is_tls=True, tls_fingerprint=pins[pin]))

    if plays:
        player.play()
        assert bytes(player.buffer[:8]) == b"$\x00\x00\x04abcd"
    else:
        assert player.ask("DESCRIBE") == ""
        assert failed_with(passage, player) is CameraUnreachable
        assert camera.requests == []
    camera.close()
