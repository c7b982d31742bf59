"""A camera, played: one connection from dialling to hanging up, without a thread of its own.

Rules:

- What was checked is what is dialled, and nothing else, whatever the camera says.
- Opening is bounded, silence is bounded, and saying goodbye is bounded.
- Silence is measured on access units: a camera may talk on and show nothing (faults F2, F3).
- A camera that allows one session only hears TEARDOWN before anybody dials it again (fault F16).
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import socket
import ssl
import time
from collections.abc import Callable

from camrelay.errors import CameraUnreachable, SourceError, StreamInterrupted
from camrelay.ingest.conversation import Conversation
from camrelay.ingest.player import Hearer, Player
from camrelay.ingest.poller import READ, WRITE, Poller
from camrelay.ingest.ports import first_port, neighbours
from camrelay.ingest.reorder import Reorder
from camrelay.ingest.rtp import Depacketizer
from camrelay.ingest.secured import check_pin, secured
from camrelay.ingest.sound_track import SoundTrack, TakePacket
from camrelay.ingest.target import Target

#: For TCP alone: a camera on the same network answers at once or is not there. Three SYN packets fit in.
CONNECT_S = 5.0
#: How long TEARDOWN may go unanswered. The relay waits for it before it dials again.
TEARDOWN_S = 0.3
#: RFC 3550 §6.2 asks for about five seconds between reports.
REPORT_S = 5.0
#: Read at once from one camera, before the next has its turn: six access units of 2 Mb/s.
READ_BYTES = 65_536
#: The same in datagrams.
READ_DATAGRAMS = 64
#: Requests and reports that a camera may leave unread: a hundred of them.
UNSENT_LIMIT_BYTES = 16_384
#: Some cameras describe a microphone and never answer for it; their pictures do not wait any longer.
SOUND_SETUP_S = 2.0
#: Where the bytes of every connection arrive: a process that reads cameras has one thread. `recv` takes room
#: for all that it might read, and what is kept in between makes holes of it, more with every connection.
_buffer = memoryview(bytearray(READ_BYTES))
#: RTP without a payload.
_EMPTY_PACKET = bytes((0x80, *bytes(11)))


def _ending(step: Callable[[Client, float], None]) -> Callable[[Client, float], None]:
    """A step in which whatever goes wrong ends this connection, and no other."""

    @functools.wraps(step)
    def guarded(self: Client, now: float) -> None:
        try:
            step(self, now)
        except SourceError as error:
            self._fail(error, now)
        except OSError:
            self._fail(StreamInterrupted("the connection to the camera broke"), now, is_broken=True)
        except Exception:
            self._fail(SourceError("a fault in camrelay"), now)

    return guarded


class Client:
    """One attempt at one camera.

    Args:
        is_udp: media as datagrams instead of on the connection.
        open_s: from dialling to PLAY, in seconds.
        silence_s: longest time without an access unit afterwards, in seconds.
        hearer: gets the camera's sound, which is not asked for without one.

    Raises:
        OSError: this machine is out of descriptors or ports.
    """

    def __init__(
        self,
        target: Target,
        player: Player,
        poller: Poller,
        *,
        is_udp: bool,
        open_s: float,
        silence_s: float,
        hearer: Hearer | None = None,
    ) -> None:
        self._target = target
        self._player = player
        self._hearer = hearer
        self._poller = poller
        self._is_udp = is_udp
        self._silence_s = silence_s
        self._conversation: Conversation | None = None
        self._is_opened = False
        self._failure: SourceError | None = None
        self._is_over = False
        self._unsent = b""
        self._reorder = Reorder()
        self._datagrams: list[socket.socket] = []
        self._sound_datagrams: list[socket.socket] = []
        #: When to go on without sound that the camera does not answer for; 0 before it is waited for.
        self._sound_deadline = 0.0
        now = time.monotonic()
        self._open_until = now + open_s
        #: When it has failed: to connect, to open, to show a picture, to answer TEARDOWN.
        self._deadline = now + min(CONNECT_S, open_s)
        self._keepalive_at = self._report_at = now
        family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poller.add_ticker(self._tick)
        with contextlib.suppress(OSError):
            # A refusal that comes at once is found like one that comes later.
            self._socket.connect((target.address, target.port))
        poller.register(self._socket, WRITE, self._connected)

    @property
    def sdp(self) -> bytes:
        """What the camera says of itself, as it came; b"" before."""
        return self._conversation.sdp if self._conversation is not None else b""

    def stop(self) -> None:
        """Says goodbye and hangs up; `ended` follows within TEARDOWN_S."""
        if self._failure is None:
            self._fail(StreamInterrupted("stopped"), time.monotonic())

    # From dialling to PLAY.

    @_ending
    def _connected(self, now: float) -> None:
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise CameraUnreachable("no connection to the camera")
        self._deadline = self._open_until
        if not self._target.is_tls:
            self._begin(now)
            return
        self._socket = secured(self._socket, self._target)
        self._shake_hands(now)

    @_ending
    def _shake_hands(self, now: float) -> None:
        assert isinstance(self._socket, ssl.SSLSocket)
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self._poller.change(self._socket, READ, self._shake_hands)
            return
        except ssl.SSLWantWriteError:
            self._poller.change(self._socket, WRITE, self._shake_hands)
            return
        except ssl.SSLError:
            raise CameraUnreachable("the camera's certificate is not one to trust") from None
        check_pin(self._socket, self._target)
        self._begin(now)

    def _begin(self, now: float) -> None:
        own_address = self._socket.getsockname()[0]
        if self._is_udp:
            self._datagrams = neighbours(own_address)
            self._sound_datagrams = neighbours(own_address) if self._hearer is not None else []
        self._conversation = Conversation(
            self._target,
            own_address=own_address,
            udp_port=first_port(self._datagrams),
            cnonce=secrets.token_hex(8),
            ssrc=secrets.randbits(32),
            wants_sound=self._hearer is not None,
            sound_port=first_port(self._sound_datagrams),
        )
        self._poller.change(self._socket, READ, self._readable)
        self._send(self._conversation.begin())

    def _play(self, conversation: Conversation, now: float) -> None:
        assert conversation.description is not None
        assert conversation.track is not None
        self._is_opened = True
        self._deadline = now + self._silence_s
        self._keepalive_at = now + conversation.keepalive_s
        self._report_at = now + REPORT_S
        if self._datagrams:
            self._poller.register(self._datagrams[0], READ, self._datagrams_readable)
            self._open_firewall(conversation)
        if conversation.sound is not None and self._hearer is not None:
            self._listen(conversation.sound, self._hearer)
        self._player.opened(conversation.description, conversation.track)

    def _open_firewall(self, conversation: Conversation) -> None:
        """A packet each way out lets the camera's in, where something between counts connections."""
        if conversation.server_ports is not None:
            packets = (_EMPTY_PACKET, conversation.report())
            for sock, packet, port in zip(self._datagrams, packets, conversation.server_ports, strict=True):
                with contextlib.suppress(OSError):
                    sock.sendto(packet, (self._target.address, port))

    def _listen(self, sound: SoundTrack, hearer: Hearer) -> None:
        hearer.sound_opened(sound.params)
        if not self._datagrams:
            return
        rtp, rtcp = self._sound_datagrams
        takers = (
            (rtp, sound.packets.packet),
            (rtcp, sound.reports.packet),
            (self._datagrams[1], sound.video_reports.packet),
        )
        for sock, take in takers:
            self._poller.register(sock, READ, functools.partial(self._sound_readable, sock, take))
        for sock, port in zip(self._sound_datagrams, sound.server_ports or (), strict=False):
            with contextlib.suppress(OSError):
                sock.sendto(_EMPTY_PACKET, (self._target.address, port))

    # While it plays.

    @_ending
    def _readable(self, now: float) -> None:
        conversation = self._conversation
        assert conversation is not None
        while True:
            try:
                data = bytes(_buffer[: self._socket.recv_into(_buffer)])
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            if not data:
                raise ConnectionResetError
            answer = conversation.receive(data)
            if answer:
                self._send(answer)
            if self._failure is not None:
                if conversation.is_over:
                    self._close()
                return
            if conversation.is_playing:
                if not self._is_opened:
                    self._play(conversation, now)
                if conversation.video is not None and conversation.video.finished:
                    self._deliver(conversation.video, now)
                if conversation.sound is not None:
                    self._deliver_sound(conversation.sound)
            # What the TLS library has decrypted already, no poll can see.
            if not isinstance(self._socket, ssl.SSLSocket) or not self._socket.pending():
                return

    @_ending
    def _datagrams_readable(self, now: float) -> None:
        conversation = self._conversation
        assert conversation is not None
        video = conversation.video
        assert video is not None
        for _ in range(READ_DATAGRAMS):
            try:
                datagram, (host, *_) = self._datagrams[0].recvfrom(READ_BYTES)
            except BlockingIOError:
                break
            # Anybody can send to an open port.
            if host == self._target.address:
                for packet in self._reorder.put(datagram, now):
                    video.packet(packet, 0, len(packet))
        if self._failure is None:
            self._deliver(video, now)

    def _deliver(self, video: Depacketizer, now: float) -> None:
        finished, video.finished = video.finished, []
        for unit in finished:
            if unit.nal_units:
                self._deadline = now + self._silence_s
            self._player.access_unit(unit)

    def _sound_readable(self, sock: socket.socket, take: TakePacket, now: float) -> None:
        """Takes datagrams of sound, or of RTCP; what goes wrong with one is not the pictures' concern."""
        for _ in range(READ_DATAGRAMS):
            try:
                datagram, (host, *_) = sock.recvfrom(READ_BYTES)
            except OSError:
                break
            if host == self._target.address:
                take(datagram, 0, len(datagram))
        sound = self._conversation.sound if self._conversation is not None else None
        if self._failure is None and sound is not None:
            self._deliver_sound(sound)

    def _deliver_sound(self, sound: SoundTrack) -> None:
        assert self._hearer is not None
        packets = sound.packets
        if packets.finished:
            for unit, video_timestamp in sound.take():
                self._hearer.sound(unit, video_timestamp)
        if packets.dropped:
            dropped, packets.dropped = packets.dropped, 0
            self._hearer.sound_dropped(dropped)

    def _tick(self, now: float) -> None:
        if now >= self._deadline:
            if self._failure is not None:
                self._close()
            elif self._is_opened:
                self._fail(StreamInterrupted("the camera shows nothing any more"), now)
            else:
                self._fail(CameraUnreachable("the camera did not answer in time"), now)
        elif self._is_opened and self._failure is None:
            self._talk(now)
        elif self._failure is None:
            self._wait_for_sound(now)

    @_ending
    def _wait_for_sound(self, now: float) -> None:
        conversation = self._conversation
        if conversation is None or not conversation.awaits_sound:
            return
        self._sound_deadline = self._sound_deadline or now + SOUND_SETUP_S
        if now >= self._sound_deadline:
            self._send(conversation.skip_sound())

    @_ending
    def _talk(self, now: float) -> None:
        """Says what the camera wants to hear from time to time."""
        conversation = self._conversation
        assert conversation is not None
        if now >= self._keepalive_at:
            self._keepalive_at = now + conversation.keepalive_s
            self._send(conversation.keep_alive())
        if now >= self._report_at:
            self._report_at = now + REPORT_S
            if not self._datagrams:
                self._send(conversation.report())
            elif conversation.server_ports is not None:
                with contextlib.suppress(OSError):
                    self._datagrams[1].sendto(
                        conversation.report(), (self._target.address, conversation.server_ports[1])
                    )

    # Sending, and the end.

    def _send(self, data: bytes) -> None:
        """Sends what the camera takes. What is left goes with the next message: none of them is urgent."""
        if len(self._unsent) + len(data) > UNSENT_LIMIT_BYTES:
            raise StreamInterrupted("the camera does not read")
        self._unsent += data
        with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]

    def _fail(self, error: SourceError, now: float, *, is_broken: bool = False) -> None:
        """Ends it, with a last word where there is a session and a connection to say it on."""
        if self._is_over:
            return
        if self._failure is None:
            # Before it has played there was nothing to interrupt.
            is_early = isinstance(error, StreamInterrupted) and not self._is_opened
            self._failure = CameraUnreachable(str(error)) if is_early else error
            if self._conversation is not None and not is_broken:
                with contextlib.suppress(OSError, StreamInterrupted):
                    if farewell := self._conversation.leave():
                        self._deadline = now + TEARDOWN_S
                        self._send(farewell)
                        return
        self._close()

    def _close(self) -> None:
        self._is_over = True
        self._poller.remove_ticker(self._tick)
        for sock in (self._socket, *self._datagrams, *self._sound_datagrams):
            self._poller.close(sock)
        assert self._failure is not None
        self._player.ended(self._failure)
