"""Serves simulated cameras over RTSP, all on one port: rtsp://host:port/cam1 to /camN.

One timer drives every camera. Cameras are spread over the picture interval, or three hundred of them would
send in the same instant and rest for forty milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import time
from collections.abc import Callable
from socket import SO_SNDBUF, SOL_SOCKET
from typing import cast

from camrelay.errors import BadRtspMessage, ConfigError
from camrelay.simulate.camera import MAX_WAITING_BYTES, Camera, Datagrams, Receiver, TcpReceiver, UdpReceiver
from camrelay.simulate.clip import Clip, clip
from camrelay.simulate.conversation import SESSION_TIMEOUT_S, Conversation, Session, camera_number
from camrelay.simulate.credentials import Credentials
from camrelay.simulate.options import Options
from camrelay.simulate.rtp import Train, cut
from camrelay.simulate.rtsp import Reader, Request, response
from camrelay.simulate.sdp import describe
from camrelay.simulate.timeline import Cue
from camrelay.simulate.tone import tone

log = logging.getLogger("camrelay.simulate")

#: Cameras with a picture of their own; the others share one, for encoding takes seconds per picture.
NAMED_CAMERAS = 4

#: Departures per picture interval.
SLOTS = 20

#: Held up for longer than this, the simulator leaves ticks out instead of sending everything at once.
MAX_CATCH_UP_S = 0.5

#: Two connections for each of 1,000 cameras, and room; a connection costs a file descriptor.
MAX_CONNECTIONS = 4_000


#: What the kernel may hold for a client: as little as in a camera, so that who reads slowly loses pictures
#: instead of seeing old ones.
KERNEL_BUFFER_BYTES = 256 * 1024


class Simulator:
    """Simulated cameras on a port.

    Attributes:
        port: where they are; known once started, and kept over stop and start.
    """

    def __init__(self, options: Options) -> None:
        self.port = options.port
        self.udp_ports = (0, 0)
        self._options = options
        self._credentials = (
            Credentials(options.user, options.password, options.auth) if options.password else None
        )
        self._slots = min(options.cameras, SLOTS)
        self._slot_s = 1 / (options.picture.fps * self._slots)
        self._cameras: list[Camera] = []
        self._down_until: dict[int, float] = {}
        self._connections: set[_Connection] = set()
        self._departures = 0
        self._started = 0.0

    async def start(self) -> None:
        """Makes the pictures when there are none yet, and listens.

        Raises:
            OSError: the port is taken.
        """
        if not self._cameras:
            self._cameras = await asyncio.to_thread(self._make_cameras)
        loop = asyncio.get_running_loop()
        host = self._options.host
        self._server = await loop.create_server(
            lambda: _Connection(self), host, self.port, backlog=1024, start_serving=False
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._udp = await self._open_udp()
        await self._server.start_serving()
        self._departures, self._started = 0, loop.time()
        self._timer = loop.call_later(0, self._depart)

    async def stop(self) -> None:
        """Cuts everybody off, as a power cut would, and frees the port."""
        self._timer.cancel()
        self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        for transport in self._udp:
            transport.close()
        await self._server.wait_closed()
        for camera in self._cameras:
            camera.restart()

    async def __aenter__(self) -> Simulator:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def url(self, camera: int = 1) -> str:
        """Where a camera is, without user and password."""
        host = self._options.host
        return f"rtsp://{f'[{host}]' if ':' in host else host}:{self.port}/cam{camera}"

    def reboot(self, camera: int, down_s: float) -> None:
        """Drops everybody from one camera and refuses them for `down_s` seconds; then its timeline is new."""
        self._down_until[camera] = asyncio.get_running_loop().time() + down_s
        for connection in tuple(self._connections):
            if connection.session is not None and connection.session.camera == camera:
                connection.abort()
        self._cameras[camera - 1].restart()

    def sdp(self, camera: int) -> bytes | None:
        """The camera's description, None when there is no such camera."""
        return self._cameras[camera - 1].sdp if camera <= len(self._cameras) else None

    def cue(self, camera: int) -> Cue:
        """The first packet a receiver that starts now will get."""
        slot = (camera - 1) % self._slots
        return self._cameras[camera - 1].cue(-(-(self._departures - slot) // self._slots))

    def mute(self, camera: int, *, is_mute: bool = True) -> None:
        """Stops a camera's sound while its picture goes on, or lets it go on too."""
        self._cameras[camera - 1].is_mute = is_mute

    # What connections use.

    def converse(self) -> Conversation:
        """The protocol's side of a new connection."""
        nonce = secrets.token_hex(16)
        return Conversation(self, self._credentials, nonce, lambda: secrets.token_hex(8))

    def admits(self, connection: _Connection) -> bool:
        """Takes the connection in, unless there are too many."""
        if len(self._connections) >= MAX_CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: _Connection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)

    def is_down(self, camera: int | None) -> bool:
        """Whether this camera is rebooting."""
        until = self._down_until.get(camera or 0, 0.0)
        return asyncio.get_running_loop().time() < until

    def attach(self, session: Session, transport: asyncio.Transport) -> Callable[[], None]:
        """Starts sending to a session.

        Returns:
            A function that stops it.
        """
        camera = self._cameras[session.camera - 1]
        receiver: Receiver
        if session.transport.lower == "tcp":
            receiver = TcpReceiver(transport, session.transport, session.sound)
        else:
            rtp, rtcp = (cast(Datagrams, transport) for transport in self._udp)
            host = transport.get_extra_info("peername")[0]
            receiver = UdpReceiver(rtp, rtcp, host, session.transport, session.sound)
        camera.attach(receiver)
        return lambda: camera.detach(receiver)

    def heard_from(self, address: tuple[str, int]) -> None:
        """RTCP came from there: its session is alive."""
        for connection in self._connections:
            connection.touch_if(address)

    # What the simulator does for itself.

    def _make_cameras(self) -> list[Camera]:
        picture, count = self._options.picture, self._options.cameras
        names = [f"CAM{number}" for number in range(1, min(count, NAMED_CAMERAS) + 1)]
        if count > NAMED_CAMERAS:
            names.append(f"CAM{NAMED_CAMERAS + 1}+")
        loops: list[tuple[tuple[Train, ...], Clip]] = []
        for name in names:
            made = clip(picture, name, self._options.cache_dir)
            is_h265, every = picture.codec == "h265", self._options.clock_every
            trains = tuple(
                cut(p.nal_units, is_key=p.is_key, delay=p.delay, is_h265=is_h265, has_clock=not index % every)
                for index, p in enumerate(made.pictures)
            )
            loops.append((trains, made))
        cameras = []
        for number in range(1, count + 1):
            trains, made = loops[min(number, len(loops)) - 1]
            sound = tone(self._options.audio)
            sdp = describe(f"cam{number}", picture, made.sps, made.pps, sound, made.vps)
            cameras.append(Camera(number, trains, sdp, self._options, sound))
        return cameras

    async def _open_udp(self) -> tuple[asyncio.DatagramTransport, asyncio.DatagramTransport]:
        loop = asyncio.get_running_loop()
        host = self._options.host
        # RTP wants an even port and the next one for RTCP (RFC 3550 §11); free ports come at random.
        for _ in range(50):
            rtp, _protocol = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, (host, 0))
            port = rtp.get_extra_info("sockname")[1]
            if port % 2 == 0:
                with contextlib.suppress(OSError):
                    rtcp, _rtcp_protocol = await loop.create_datagram_endpoint(
                        lambda: _Rtcp(self), (host, port + 1)
                    )
                    self.udp_ports = (port, port + 1)
                    return rtp, rtcp
            rtp.close()
        raise OSError("no two neighbouring UDP ports are free")

    def _depart(self) -> None:
        """Sends what is due: a slot's cameras, or several slots' when the timer was late."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = now - self._started - self._departures * self._slot_s
        if late > MAX_CATCH_UP_S:
            # Whole picture intervals, so that every camera stays in its slot.
            self._departures += int(late / (self._slot_s * self._slots)) * self._slots
        while self._started + self._departures * self._slot_s <= now:
            tick, slot = divmod(self._departures, self._slots)
            self._departures += 1
            for camera in self._cameras[slot :: self._slots]:
                camera.depart(tick, now, time.time_ns() // 1000)
        self._timer = loop.call_at(self._started + self._departures * self._slot_s, self._depart)


class _Connection(asyncio.Protocol):
    """One client's RTSP connection."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._reader = Reader()
        self._conversation = simulator.converse()
        self._detach: Callable[[], None] | None = None

    @property
    def session(self) -> Session | None:
        """What the client has set up."""
        return self._conversation.session

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, KERNEL_BUFFER_BYTES)
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(SESSION_TIMEOUT_S, self._check)
        if not self._simulator.admits(self):
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._simulator.forget(self)
        self._timer.cancel()
        self._stop()

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            messages = self._reader.feed(data)
        except BadRtspMessage:
            self._transport.write(response(400, [("Connection", "close")]))
            self._transport.close()
            return
        for message in messages:
            if isinstance(message, Request) and not self._transport.is_closing():
                self._answer(message)

    def abort(self) -> None:
        """Cuts the connection."""
        self._stop()
        self._transport.abort()

    def touch_if(self, address: tuple[str, int]) -> None:
        """Keeps a UDP session alive whose RTCP comes from this address."""
        session = self.session
        if session is None or session.transport.lower != "udp":
            return
        if (self._transport.get_extra_info("peername")[0], session.transport.rtcp) == address:
            self._heard = self._loop.time()

    def _answer(self, request: Request) -> None:
        reads_nothing = self._transport.get_write_buffer_size() > 2 * MAX_WAITING_BYTES
        if reads_nothing or self._simulator.is_down(camera_number(request.url)):
            self.abort()
            return
        self._transport.write(self._conversation.answer(request))
        session = self.session
        if session is not None and session.is_playing:
            self._detach = self._detach or self._simulator.attach(session, self._transport)
        else:
            self._stop()

    def _stop(self) -> None:
        if self._detach is not None:
            self._detach()
            self._detach = None

    def _check(self) -> None:
        """Ends a connection that was silent for too long; playing over it is not silence."""
        silent = self._loop.time() - self._heard
        session = self.session
        is_playing = session is not None and session.is_playing and session.transport.lower == "tcp"
        if silent >= SESSION_TIMEOUT_S and not is_playing:
            self.abort()
            return
        self._timer = self._loop.call_later(max(1.0, SESSION_TIMEOUT_S - silent), self._check)


class _Rtcp(asyncio.DatagramProtocol):
    """Hears the receiver reports of UDP sessions; only that they come matters."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._simulator.heard_from(addr[:2])


async def run(options: Options, announce: Callable[[str], None] = print) -> None:
    """Serves until SIGINT or SIGTERM, after telling the cameras' URLs.

    Raises:
        ConfigError: there is no listening on the host and port of the options.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    simulator = Simulator(options)
    try:
        await simulator.start()
    except OSError as e:
        raise ConfigError(f"cannot listen on {options.host} port {options.port}: {e.strerror}") from None
    try:
        urls = [simulator.url(camera) for camera in range(1, options.cameras + 1)]
        for url in urls if len(urls) <= NAMED_CAMERAS else (urls[0], "...", urls[-1]):
            announce(url)
        await stopped.wait()
    finally:
        await simulator.stop()
