"""Tests of camrelay.ingest.client over real sockets: what a lying camera can and cannot make it do."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from camrelay.errors import (
    CameraAuthFailed,
    CameraUnreachable,
    EgressDenied,
    SourceError,
    StreamInterrupted,
)
from camrelay.ingest import client
from camrelay.ingest.audio import RtpSound
from camrelay.ingest.client import TEARDOWN_S, Client
from camrelay.ingest.poller import Poller
from camrelay.ingest.rtp import RtpUnit
from camrelay.ingest.rtsp import parse_head
from camrelay.ingest.sdp import Description, Track
from camrelay.ingest.target import Target
from camrelay.model import AudioCodec, AudioParams

WAIT_S = 5.0

SDP = "v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:t1\n"
IDR = b"\x65\x88\x80\x40\xff"

Answer = Callable[[str, int], bytes]


def packet(sequence: int) -> bytes:
    return struct.pack(">BBHII", 0x80, 0x80 | 96, sequence, sequence * 3600, 1) + IDR


def media(sequence: int) -> bytes:
    data = packet(sequence)
    return b"$\x00" + len(data).to_bytes(2, "big") + data


class LyingCamera:
    """A real RTSP listener that answers each request as a test says, and remembers what it was told."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self.reports: list[bytes] = []
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
            while buffer:
                if buffer[0] == 0x24:
                    size = 4 + int.from_bytes(buffer[2:4], "big")
                    self.reports.append(bytes(buffer[:size]))
                    del buffer[:size]
                    continue
                parsed = parse_head(buffer)
                if parsed is None:
                    break
                head, size = parsed
                self.requests.append(buffer[:size].decode())
                del buffer[:size]
                peer.sendall(self._answer(head.start.split()[0], int(head.get("CSeq"))))

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def plain(method: str, sequence: int) -> bytes:
    """A camera with nothing to hide."""
    extra = {
        "OPTIONS": "Public: GET_PARAMETER\r\n",
        "DESCRIBE": f"Content-Length: {len(SDP)}\r\n",
        "SETUP": "Session: 42;timeout=2\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n",
    }.get(method, "")
    body = SDP if method == "DESCRIBE" else ""
    after = media(1) if method == "PLAY" else b""
    return f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n{extra}\r\n{body}".encode() + after


class Recorder:
    """A player that remembers."""

    def __init__(self) -> None:
        self.track: Track | None = None
        self.units: list[RtpUnit] = []
        #: Everything about sound, in order.
        self.heard: list[object] = []
        self.error: SourceError | None = None
        self.endings = 0

    def opened(self, description: Description, track: Track) -> None:
        self.track = track

    def access_unit(self, unit: RtpUnit) -> None:
        self.units.append(unit)

    def sound_opened(self, params: AudioParams) -> None:
        self.heard.append(params)

    def sound(self, unit: RtpSound, video_timestamp: int | None) -> None:
        self.heard.append(unit.data)

    def sound_dropped(self, packets: int) -> None:
        self.heard.append(packets)

    def ended(self, error: SourceError) -> None:
        self.endings += 1
        self.error = error


class Played:
    """A client, and what its player got."""

    def __init__(
        self,
        target: Target,
        *,
        is_udp: bool = False,
        open_s: float = WAIT_S,
        silence_s: float = WAIT_S,
        hears: bool = False,
    ) -> None:
        self.poller = Poller()
        self.player = Recorder()
        self.client = Client(
            target,
            self.player,
            self.poller,
            is_udp=is_udp,
            open_s=open_s,
            silence_s=silence_s,
            hearer=self.player if hears else None,
        )

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            self.poller.poll()

    def failed_with(self) -> type[SourceError]:
        self.until(lambda: self.player.error)
        return type(self.player.error)  # type: ignore[arg-type]

    def play(self) -> None:
        self.until(lambda: self.player.units or self.player.error)
        assert self.player.error is None


Play = Callable[..., Played]


@pytest.fixture
def play() -> Iterator[Play]:
    """Starts clients, and has each hang up."""
    started: list[Played] = []

    def start(camera: LyingCamera, *, target: Target | None = None, **options: object) -> Played:
        started.append(Played(target or target_of(camera), **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for each in started:
        each.client.stop()
        each.until(lambda each=each: each.player.error)
        each.poller.poll()
        assert each.player.endings == 1


Serve = Callable[..., LyingCamera]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts cameras."""
    started: list[LyingCamera] = []

    def start(answer: Answer = plain, context: ssl.SSLContext | None = None) -> LyingCamera:
        started.append(LyingCamera(answer, context))
        return started[-1]

    yield start
    for each in started:
        each.close()


def target_of(camera: LyingCamera, **changes: object) -> Target:
    values: dict[str, object] = {
        "address": "127.0.0.1",
        "port": camera.port,
        "authority": "cam.example:554",
        "path": "/live",
        "username": "admin",
        "password": "S3cret",
    }
    return Target(**(values | changes))  # type: ignore[arg-type]


def test_a_camera_is_played_and_told_the_end(serve: Serve, play: Play) -> None:
    """F16: a camera that allows one session hears TEARDOWN before its client is done."""
    camera = serve()
    played = play(camera)
    played.play()
    assert played.player.units == [RtpUnit(3600, [IDR])]
    assert played.player.track is not None
    assert played.player.track.payload_type == 96

    played.client.stop()

    assert played.failed_with() is StreamInterrupted
    assert camera.requests[-1].startswith("TEARDOWN rtsp://cam.example:554/live")
    assert "Session: 42" in camera.requests[-1]
    assert camera.is_gone.wait(WAIT_S)


def test_a_camera_that_does_not_answer_the_goodbye_holds_up_nobody(serve: Serve, play: Play) -> None:
    """The wait is bounded."""
    camera = serve(lambda method, sequence: b"" if method == "TEARDOWN" else plain(method, sequence))
    played = play(camera)
    played.play()

    began = time.monotonic()
    played.client.stop()
    played.client.stop()

    assert played.failed_with() is StreamInterrupted
    assert TEARDOWN_S <= time.monotonic() - began < TEARDOWN_S + 1.0


def test_a_redirect_gets_no_credential_and_no_second_connection(serve: Serve, play: Play) -> None:
    """Whoever followed it would show the password there."""
    elsewhere = serve()
    redirect = f"RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: rtsp://127.0.0.1:{elsewhere.port}/\r\n\r\n"
    camera = serve(lambda method, sequence: redirect.encode())

    assert play(camera).failed_with() is EgressDenied

    assert elsewhere.connections == 0
    assert "Authorization" not in "".join(camera.requests)


@pytest.mark.parametrize("name", ["source", "destination"])
@pytest.mark.parametrize("is_udp", [False, True])
def test_a_transport_to_another_host_is_refused(serve: Serve, play: Play, name: str, is_udp: bool) -> None:
    """A camera cannot make the relay send to, or believe packets of, a third host."""
    camera = serve(
        lambda method, sequence: plain(method, sequence).replace(
            b"RTP/AVP/TCP", f"RTP/AVP/TCP;{name}=10.1.2.3".encode()
        )
    )

    assert play(camera, is_udp=is_udp).failed_with() is EgressDenied


def test_a_refused_password_is_shown_once(serve: Serve, play: Play) -> None:
    """F11: one answer to the challenge, and when that is refused not one more."""
    challenge = 'Digest realm="r", nonce="n", algorithm=SHA-256'
    refusal = f"RTSP/1.0 401 No\r\nCSeq: 1\r\nWWW-Authenticate: {challenge}\r\n\r\n".encode()
    camera = serve(lambda method, sequence: refusal)

    assert play(camera).failed_with() is CameraAuthFailed

    assert len(camera.requests) == 2
    ha1 = hashlib.sha256(b"admin:r:S3cret").hexdigest()
    ha2 = hashlib.sha256(b"OPTIONS:rtsp://cam.example:554/live").hexdigest()
    assert hashlib.sha256(f"{ha1}:n:{ha2}".encode()).hexdigest() in camera.requests[1]
    assert "S3cret" not in "".join(camera.requests)


def test_a_forbidden_account_is_a_credential_failure(serve: Serve, play: Play) -> None:
    """403 is as final as a wrong password."""
    camera = serve(lambda method, sequence: b"RTSP/1.0 403 Forbidden\r\nCSeq: 1\r\n\r\n")

    assert play(camera).failed_with() is CameraAuthFailed


def test_nobody_there(serve: Serve, play: Play) -> None:
    """A refused connection is the camera's absence."""
    camera = serve()
    camera_target = target_of(camera)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    nowhere = Target("127.0.0.1", port, camera_target.authority, "/live")

    assert play(camera, target=nowhere).failed_with() is CameraUnreachable


def test_an_address_that_swallows_packets_is_given_up_soon(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Camera fault F18: while nothing answers there, others wait for their turn to connect."""
    monkeypatch.setattr(client, "CONNECT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):  # What the backlog does not hold, the kernel drops.
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        began = time.monotonic()
        played = play(None, target=Target("127.0.0.1", full.getsockname()[1], "cam.example", "/live"))

        assert played.failed_with() is CameraUnreachable
        assert time.monotonic() - began < WAIT_S


def test_a_camera_that_accepts_and_says_nothing_is_unreachable(serve: Serve, play: Play) -> None:
    """F4, F17: opening is bounded as a whole."""
    camera = serve(lambda method, sequence: b"")

    assert play(camera, open_s=0.2).failed_with() is CameraUnreachable


@pytest.mark.parametrize("talk", [b"", b"$\x01\x00\x04abcd"], ids=["nothing", "RTCP only"])
def test_a_camera_without_pictures_is_silent(serve: Serve, play: Play, talk: bytes) -> None:
    """F2, F3: whatever else it goes on saying."""
    camera = serve(lambda method, sequence: plain(method, sequence) + talk * 20)
    played = play(camera, silence_s=0.2)
    played.play()

    assert played.failed_with() is StreamInterrupted
    assert camera.requests[-1].startswith("TEARDOWN ")


def test_stopping_ends_it_in_whatever_state(serve: Serve, play: Play) -> None:
    """F4: nothing is waited for that there is not."""
    camera = serve(lambda method, sequence: b"")
    early = play(camera)
    early.client.stop()
    assert early.failed_with() is CameraUnreachable
    early.poller.poll()

    talking = play(camera)
    talking.until(lambda: camera.requests)
    talking.client.stop()
    assert talking.player.error is not None


@pytest.mark.parametrize(
    "answer",
    [
        b"x" * 40_000,
        b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n\x00\r\n\r\n",
    ],
    ids=["endless head", "huge body", "no header"],
)
def test_a_camera_that_talks_too_much_is_cut(serve: Serve, play: Play, answer: bytes) -> None:
    """Abuse case 48: it is cut at once, not at the timeout."""
    camera = serve(lambda method, sequence: answer)

    assert play(camera).failed_with() is CameraUnreachable
    assert camera.is_gone.wait(WAIT_S)


def test_a_camera_that_hangs_up_is_interrupted(serve: Serve, play: Play) -> None:
    """F1: at once, and it is not told anything any more."""

    def answer(method: str, sequence: int) -> bytes:
        if method == "GET_PARAMETER":
            raise OSError
        return plain(method, sequence)

    camera = serve(answer)
    played = play(camera)

    assert played.failed_with() is StreamInterrupted
    assert camera.requests[-1].startswith("GET_PARAMETER ")


def test_a_playing_camera_hears_that_it_is_watched(
    serve: Serve, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keepalives at half the session's timeout, with the password's proof, and receiver reports."""
    monkeypatch.setattr(client, "REPORT_S", 0.2)

    def answer(method: str, sequence: int) -> bytes:
        if method == "DESCRIBE" and sequence == 2:
            return b'RTSP/1.0 401 No\r\nCSeq: 2\r\nWWW-Authenticate: Basic realm="r"\r\n\r\n'
        return plain(method, sequence)

    camera = serve(answer)
    played = play(camera)
    played.play()
    played.until(lambda: camera.reports and camera.requests[-1].startswith("GET_PARAMETER "))

    assert "Authorization: Basic" in camera.requests[-1]
    assert camera.reports[0][4:6] == b"\x81\xc9"


def test_a_camera_that_reads_nothing_is_given_up(
    serve: Serve, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept for it is bounded."""
    monkeypatch.setattr(client, "REPORT_S", 0.1)
    camera = serve()
    played = play(camera)
    played.play()
    monkeypatch.setattr(client, "UNSENT_LIMIT_BYTES", 10)

    assert played.failed_with() is StreamInterrupted


class DatagramCamera:
    """Sends datagrams to the ports its client names, and remembers what comes back."""

    def __init__(self) -> None:
        self.rtp, self.rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for sock in (self.rtp, self.rtcp):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(WAIT_S)
        self.ports = tuple(sock.getsockname()[1] for sock in (self.rtp, self.rtcp))

    def answer(self, method: str, sequence: int) -> bytes:
        server = f"RTP/AVP;unicast;server_port={self.ports[0]}-{self.ports[1]}".encode()
        return plain(method, sequence).replace(b"RTP/AVP/TCP;interleaved=0-1", server).removesuffix(media(1))

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


@pytest.fixture
def datagrams() -> Iterator[DatagramCamera]:
    made = DatagramCamera()
    yield made
    made.close()


def test_datagrams_count_only_from_the_camera(serve: Serve, play: Play, datagrams: DatagramCamera) -> None:
    """Anybody can send to an open port; what comes out of order is put in order."""
    camera = serve(datagrams.answer)
    played = play(camera, is_udp=True)
    played.until(lambda: played.player.track)
    setup = next(request for request in camera.requests if request.startswith("SETUP "))
    port = int(setup.partition("client_port=")[2].split("-")[0])
    assert port % 2 == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))
        stranger.sendto(packet(9), ("127.0.0.1", port))
    for sequence in (1, 3, 2):
        datagrams.rtp.sendto(packet(sequence), ("127.0.0.1", port))

    played.until(lambda: len(played.player.units) == 3)

    assert [unit.timestamp for unit in played.player.units] == [3600, 7200, 10_800]


def test_the_way_for_datagrams_is_opened_from_inside(
    serve: Serve, play: Play, datagrams: DatagramCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty packet and a report go out first, from the ports the camera was told; reports follow."""
    monkeypatch.setattr(client, "REPORT_S", 0.1)
    played = play(serve(datagrams.answer), is_udp=True)
    played.until(lambda: played.player.track)

    first, (_, rtp_port) = datagrams.rtp.recvfrom(100)
    report, (_, rtcp_port) = datagrams.rtcp.recvfrom(100)
    assert (len(first), report[:2]) == (12, b"\x80\xc9")
    assert rtcp_port == rtp_port + 1
    datagrams.rtcp.setblocking(False)

    def is_reported() -> bool:
        try:
            return bool(datagrams.rtcp.recv(100))
        except BlockingIOError:
            return False

    played.until(is_reported)


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


@pytest.mark.parametrize(("pin", "plays"), [("right", True), ("colons", True), ("wrong", False), ("", False)])
def test_rtsps_trusts_a_pinned_certificate_and_no_other(
    serve: Serve, play: Play, certificate: Path, pin: str, plays: bool
) -> None:
    """A self-signed camera plays when its certificate is pinned; a swapped one gets no request at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    camera = serve(plain, context)
    right = fingerprint(certificate)
    colons = ":".join(right[i : i + 2].upper() for i in range(0, 64, 2))
    pins = {"right": right, "colons": colons, "wrong": "0" * 64, "": ""}
    played = play(camera, target=target_of(camera, is_tls=True, tls_fingerprint=pins[pin]))

    if plays:
        played.play()
    else:
        assert played.failed_with() is CameraUnreachable
        assert camera.requests == []


def test_a_key_frame_in_many_tls_records_comes_out_whole(serve: Serve, play: Play, certificate: Path) -> None:
    """What the TLS library holds already is not forgotten until the next packet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    burst = b"".join(media(sequence) for sequence in range(2, 5_000))
    camera = serve(
        lambda method, sequence: plain(method, sequence) + (burst if method == "PLAY" else b""), context
    )
    played = play(camera, target=target_of(camera, is_tls=True, tls_fingerprint=fingerprint(certificate)))

    played.until(lambda: len(played.player.units) == 4_999)


def test_a_player_that_fails_ends_its_own_camera_only(serve: Serve, play: Play) -> None:
    """A fault of ours is told as such."""
    played = play(serve())

    def fail(unit: RtpUnit) -> None:
        raise ValueError

    played.player.access_unit = fail  # type: ignore[method-assign]

    assert played.failed_with() is SourceError


HEARD_SDP = SDP + "m=audio 0 RTP/AVP 8\na=control:t2\n"
SOUND = struct.pack(">BBHII", 0x80, 8, 1, 0, 1) + b"sound"


def heard(answer_sound: str | None) -> Answer:
    """A camera with a microphone, and its answer to the SETUP of that: a Transport, or nothing at all."""

    def answer(method: str, sequence: int) -> bytes:
        if method == "DESCRIBE":
            head = f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nContent-Length: {len(HEARD_SDP)}\r\n\r\n"
            return (head + HEARD_SDP).encode()
        if method == "SETUP" and sequence == 4:
            transport = f"Session: 42\r\nTransport: {answer_sound}\r\n\r\n"
            return f"RTSP/1.0 200 OK\r\nCSeq: 4\r\n{transport}".encode() if answer_sound else b""
        if method == "PLAY":
            noise = b"$\x02\x00\x04junk"
            return plain(method, sequence) + noise + b"$\x02" + len(SOUND).to_bytes(2, "big") + SOUND
        return plain(method, sequence)

    return answer


def test_sound_comes_beside_the_pictures(serve: Serve, play: Play) -> None:
    """What cannot be used of it is counted, and nothing else comes of it."""
    played = play(serve(heard("RTP/AVP/TCP;interleaved=2-3")), hears=True)
    played.until(lambda: len(played.player.heard) == 3)

    assert played.player.heard == [AudioParams(AudioCodec.PCMA, 8_000, 1), b"sound", 1]
    assert played.player.units == [RtpUnit(3600, [IDR])]


def test_a_camera_that_does_not_answer_for_its_sound_shows_its_pictures(
    serve: Serve, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon enough to be opened in time."""
    monkeypatch.setattr(client, "SOUND_SETUP_S", 0.1)
    played = play(serve(heard(None)), hears=True)
    played.until(lambda: played.player.units)

    assert played.player.heard == []


def test_who_does_not_listen_is_sent_no_sound(serve: Serve, play: Play) -> None:
    """The track is not even set up."""
    camera = serve(heard(None))
    played = play(camera)
    played.until(lambda: played.player.units)

    assert sum(request.startswith("SETUP") for request in camera.requests) == 1
