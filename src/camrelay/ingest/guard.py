"""The RTSP guard: FFmpeg dials a loopback port, and a thread here talks to the camera in its place.

FFmpeg sees neither the camera's address nor its password, and cannot be sent anywhere else: the address was
resolved, checked and pinned before; a redirect ends the attempt without a packet to anybody (FFmpeg would
follow it and show the password there); a transport that names another host is refused. Challenges are
answered here, SHA-256 included. Once PLAY is answered the pump carries the bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import socket
import ssl
import threading
from collections.abc import Callable

from camrelay.errors import CameraAuthFailed, CameraUnreachable, EgressDenied, SourceError, StreamInterrupted
from camrelay.ingest.pump import Pair, Pump, Relay
from camrelay.ingest.rtsp import BODY_LIMIT_BYTES, Credentials, Head, parse_challenges, parse_head
from camrelay.ingest.target import Target

LOOPBACK = "127.0.0.1"

#: OPTIONS, DESCRIBE, three SETUPs, PLAY, each challenged once: a conversation beyond this goes nowhere.
REQUEST_LIMIT = 32

#: Media that a camera sends before it answers PLAY; some do, none for long.
EARLY_MEDIA_LIMIT_BYTES = 4 * 1024 * 1024

_URL = re.compile(r"rtsps?://[^/\s\";,]*", re.IGNORECASE)
_CLIENT_PORTS = re.compile(r"client_port=(\d{1,5})-(\d{1,5})")
_SERVER_PORTS = re.compile(r"server_port=(\d{1,5})-(\d{1,5})")
_HOSTS = re.compile(r"(?:source|destination)=\[?([0-9A-Fa-f.:]+)\]?")


class Passage:
    """One attempt to reach one camera.

    Attributes:
        url: what FFmpeg is told to open.
        failure: why the attempt or the stream ended, None while it has not.
        description: the camera's SDP as it came, b"" before.
    """

    def __init__(
        self,
        target: Target,
        pump: Pump,
        *,
        open_s: float,
        silence_s: float,
        on_over: Callable[[Passage], None],
    ) -> None:
        self.failure: SourceError | None = None
        self.description = b""
        self._target = target
        self._pump = pump
        self._open_s = open_s
        self._silence_s = silence_s
        self._on_over = on_over
        self._credentials = Credentials(target.username, target.password, secrets.token_hex(8))
        self._sequence = 0
        self._session = ""
        self._is_closed = False
        self._pair: Pair | None = None
        self._relays: list[Relay] = []
        self._sockets: list[socket.socket] = []
        self._from_camera = bytearray()
        self._from_client = bytearray()
        self._listener = socket.create_server((LOOPBACK, 0), backlog=1)
        self._base = f"rtsp://{LOOPBACK}:{self._listener.getsockname()[1]}"
        self.url = f"{self._base}{target.path}"
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)

    def start(self) -> None:
        """Waits for FFmpeg from now on."""
        self._thread.start()

    def close(self) -> None:
        """Ends it from any thread: a read of FFmpeg's that hangs returns at once."""
        self._is_closed = True
        if self._pair is not None:
            self._pump.end(self._pair)
            return
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        try:
            client = self._accept()
            camera = self._dial()
            self._converse(client, camera)
        except SourceError as e:
            self.failure = e
        except TimeoutError:
            self.failure = CameraUnreachable("the camera did not answer in time")
        except (OSError, ValueError):
            self.failure = StreamInterrupted("the camera closed the connection")
        if self._pair is None:
            for each in (*self._sockets, *(relay.source for relay in self._relays)):
                each.close()
            self._on_over(self)

    def _accept(self) -> socket.socket:
        self._listener.settimeout(self._open_s)
        try:
            client, _ = self._listener.accept()
        finally:
            self._listener.close()
        client.settimeout(self._open_s)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets.append(client)
        return client

    def _dial(self) -> socket.socket:
        target = self._target
        try:
            camera = socket.create_connection((target.address, target.port), self._open_s)
        except OSError:
            raise CameraUnreachable("no connection to the camera") from None
        camera.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets.append(camera)
        return self._secure(camera) if target.is_tls else camera

    def _secure(self, camera: socket.socket) -> ssl.SSLSocket:
        context = ssl.create_default_context()
        if self._target.tls_fingerprint:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        host = self._target.authority.rpartition(":")[0] or self._target.authority
        try:
            secured = context.wrap_socket(camera, server_hostname=host.strip("[]"))
        except ssl.SSLError:
            raise CameraUnreachable("the camera's certificate is not one to trust") from None
        self._sockets[-1] = secured
        shown = hashlib.sha256(secured.getpeercert(binary_form=True) or b"").hexdigest()
        if self._target.tls_fingerprint and shown != self._target.tls_fingerprint.lower():
            raise CameraUnreachable("the camera's certificate is not the pinned one")
        return secured

    def _converse(self, client: socket.socket, camera: socket.socket) -> None:
        for _ in range(REQUEST_LIMIT):
            request, body = self._read_request(client)
            answer, answer_body = self._ask(camera, request, body)
            self._credentials.accepted()
            method = request.start.split(" ", 1)[0]
            if method == "DESCRIBE" and answer.status == 200:
                self.description = answer_body
            if method == "SETUP" and answer.status == 200:
                answer = self._checked_transport(request, answer)
            self._session = answer.get("Session").split(";")[0] or self._session
            client.sendall(self._for_client(request, answer, answer_body))
            if method == "PLAY" and answer.status == 200:
                client.sendall(bytes(self._from_camera))
                self._hand_over(client, camera)
                return
        raise StreamInterrupted("the camera never came to play")

    def _ask(self, camera: socket.socket, request: Head, body: bytes) -> tuple[Head, bytes]:
        """Sends one request, answers the challenges it meets, returns the final response."""
        while True:
            camera.sendall(self._for_camera(request).serialize() + body)
            answer, answer_body = self._read_answer(camera)
            if answer.status == 401:
                self._credentials.take(parse_challenges(answer.all("WWW-Authenticate")))
            elif answer.status == 403:
                raise CameraAuthFailed("the camera forbids this account to watch")
            elif 300 <= answer.status < 400:
                raise EgressDenied("the camera redirects elsewhere")
            else:
                return answer, answer_body

    def _for_camera(self, request: Head) -> Head:
        """FFmpeg's request in the words of the real camera, with what it asked for as proof."""
        method, uri, version = request.start.split(" ", 2)
        uri = _URL.sub(self._target.base.replace("\\", ""), uri, count=1)
        self._sequence += 1
        transport = request.get("Transport")
        if "client_port" in transport:
            transport = self._open_datagrams(transport)
        return Head(f"{method} {uri} {version}", request.headers).replacing(
            CSeq=str(self._sequence),
            User_Agent="camrelay",
            Transport=transport or None,
            Authorization=self._credentials.authorization(method, uri),
        )

    def _for_client(self, request: Head, answer: Head, body: bytes) -> bytes:
        """The camera's answer with every URL pointing here."""
        headers = tuple((name, _URL.sub(self._base, value)) for name, value in answer.headers)
        body = _URL.sub(self._base, body.decode("utf-8", "replace")).encode()
        length = str(len(body)) if body else None
        head = Head(answer.start, headers).replacing(CSeq=request.get("CSeq"), Content_Length=length)
        return head.serialize() + body

    def _read_request(self, client: socket.socket) -> tuple[Head, bytes]:
        while (parsed := parse_head(self._from_client)) is None:
            self._from_client += _received(client)
        head, size = parsed
        del self._from_client[:size]
        return head, _read_body(client, self._from_client, head.content_length)

    def _read_answer(self, camera: socket.socket) -> tuple[Head, bytes]:
        """The next response; media that comes before it stays in the buffer."""
        data = self._from_camera
        at = 0
        while True:
            # An interleaved packet: "$", channel, 16-bit length (RFC 2326 §10.12).
            while len(data) >= at + 4 and data[at] == 0x24:
                at += 4 + int.from_bytes(data[at + 2 : at + 4], "big")
            if len(data) > at and data[at] != 0x24:
                tail = data[at:]
                parsed = parse_head(tail)
                if parsed is not None:
                    head, size = parsed
                    del tail[:size]
                    del data[at:]
                    body = _read_body(camera, tail, head.content_length)
                    data += tail
                    return head, body
            if len(data) > EARLY_MEDIA_LIMIT_BYTES:
                raise StreamInterrupted("the camera sends media and does not answer")
            data += _received(camera)

    def _checked_transport(self, request: Head, answer: Head) -> Head:
        """A SETUP answer that names nobody but the camera, with ports that FFmpeg can reach."""
        transport = answer.get("Transport")
        for found in _HOSTS.finditer(transport):
            # Some cameras name our own address as destination, and 0.0.0.0 as source.
            own = self._sockets[1].getsockname()[0]
            if found[1] not in (self._target.address, own, "0.0.0.0"):  # noqa: S104 - compared, not bound
                raise EgressDenied("the camera wants to send from or to another host")
        ports = _SERVER_PORTS.search(transport)
        asked = _CLIENT_PORTS.search(request.get("Transport"))
        if ports is None or asked is None or len(self._relays) < 2:
            return answer
        local = self._connect_datagrams(asked, ports)
        rewritten = _HOSTS.sub("", transport).replace(ports[0], local)
        rewritten = _CLIENT_PORTS.sub(asked[0], rewritten).replace(";;", ";").strip(";")
        return answer.replacing(Transport=rewritten)

    def _open_datagrams(self, transport: str) -> str:
        """Two neighbouring ports towards the camera, even then odd as RTP and RTCP want (RFC 3550 §11)."""
        rtp, rtcp = _neighbours(self._sockets[1].getsockname()[0])
        self._relays += [Relay(each, each, (LOOPBACK, 0), self._target.address) for each in (rtp, rtcp)]
        port = rtp.getsockname()[1]
        return _CLIENT_PORTS.sub(f"client_port={port}-{port + 1}", transport)

    def _connect_datagrams(self, asked: re.Match[str], served: re.Match[str]) -> str:
        """Joins the last two ports with FFmpeg's, both ways; returns the ports FFmpeg is told."""
        outer = [relay.source for relay in self._relays[-2:]]
        inner = _neighbours(LOOPBACK)
        del self._relays[-2:]
        for i in (0, 1):
            self._relays.append(
                Relay(outer[i], inner[i], (LOOPBACK, int(asked[i + 1])), self._target.address)
            )
            self._relays.append(
                Relay(inner[i], outer[i], (self._target.address, int(served[i + 1])), LOOPBACK)
            )
        port = inner[0].getsockname()[1]
        return f"server_port={port}-{port + 1}"

    def _hand_over(self, client: socket.socket, camera: socket.socket) -> None:
        self._pair = Pair(
            camera,
            client,
            on_request=self._translate,
            on_end=self._finish,
            silence_s=self._silence_s,
            datagrams=tuple(self._relays),
        )
        self._pump.add(self._pair)
        if self._is_closed:
            self._pump.end(self._pair)

    def _translate(self, data: bytes) -> bytes:
        """What FFmpeg says while it plays: receiver reports as they are, requests with credentials."""
        buffer = self._from_client
        buffer += data
        translated = bytearray()
        while buffer:
            if buffer[0] == 0x24:
                size = 4 + int.from_bytes(buffer[2:4], "big")
                if len(buffer) < max(size, 4):
                    break
                translated += buffer[:size]
                del buffer[:size]
            elif parsed := parse_head(buffer):
                head, size = parsed
                del buffer[: size + head.content_length]
                translated += self._for_camera(head).serialize()
                if head.start.startswith("TEARDOWN "):
                    self._session = ""
            else:
                break
        if len(buffer) > BODY_LIMIT_BYTES:
            raise ValueError("a request that never ends")
        return bytes(translated)

    def _finish(self, by_camera: bool) -> None:
        """The last word to the camera: it may allow one session only, and must know that this one is over."""
        self._on_over(self)
        if by_camera:
            self.failure = StreamInterrupted("the camera stopped sending")
        if self._session and self._pair is not None:
            request = Head(
                f"TEARDOWN {self._base}{self._target.path} RTSP/1.0", (("Session", self._session),)
            )
            self._pair.camera.send(self._for_camera(request).serialize())


class Guard:
    """The guard of one worker: a pump and the passages through it.

    Args:
        open_s: longest wait for one step of the conversation, in seconds.
        silence_s: longest time without a byte once the camera plays, in seconds.
    """

    def __init__(self, *, open_s: float, silence_s: float) -> None:
        self._open_s = open_s
        self._silence_s = silence_s
        self._pump = Pump()
        self._passages: set[Passage] = set()

    def open(self, target: Target) -> Passage:
        """A passage to a camera, for one attempt: FFmpeg opens its `url`, and `close` ends it."""
        passage = Passage(
            target,
            self._pump,
            open_s=self._open_s,
            silence_s=self._silence_s,
            on_over=self._passages.discard,
        )
        self._passages.add(passage)
        passage.start()
        return passage

    def stop(self) -> None:
        """Ends every passage."""
        for passage in tuple(self._passages):
            passage.close()
        self._pump.stop()


def _received(peer: socket.socket) -> bytes:
    data = peer.recv(65_536)
    if not data:
        raise ConnectionResetError
    return data


def _read_body(peer: socket.socket, buffer: bytearray, size: int) -> bytes:
    while len(buffer) < size:
        buffer += _received(peer)
    body = bytes(buffer[:size])
    del buffer[:size]
    return body


def _neighbours(address: str) -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets on an even port and the next one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Half of all ports are odd and some are taken: a few tries find a pair, and a full machine is an error.
    for _ in range(64):
        first, second = (socket.socket(family, socket.SOCK_DGRAM) for _ in range(2))
        try:
            first.bind((address, 0))
            port = first.getsockname()[1]
            if port % 2 == 0:
                second.bind((address, port + 1))
                first.setblocking(False)
                second.setblocking(False)
                return first, second
        except OSError:
            pass
        first.close()
        second.close()
    raise CameraUnreachable("no free UDP ports")
