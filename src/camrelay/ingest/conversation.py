"""One RTSP conversation with a camera, from OPTIONS to TEARDOWN (RFC 2326): bytes in, requests and media out.

What a camera says is not trusted:

- Every request goes to the address that was checked. A URL of the camera's gives a path and nothing else.
- A redirect ends the attempt, and so does a transport that names another host.
- A password is shown to whoever asks on this connection, as a proof where that can be, and once.
- Responses may stand between media packets, and media may come before PLAY is answered.

The shell sends what the methods return, and takes media from `video.finished`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from camrelay.errors import (
    CameraAuthFailed,
    CameraUnreachable,
    EgressDenied,
    StreamInterrupted,
    StreamNotFound,
    UnsupportedCodec,
)
from camrelay.ingest import sdp
from camrelay.ingest.codecs import depacketizer, is_playable
from camrelay.ingest.requests import Request, Requests
from camrelay.ingest.rtcp import Reporter
from camrelay.ingest.rtp import Depacketizer
from camrelay.ingest.rtsp import Credentials, Head, parse_message
from camrelay.ingest.sound_track import SoundTrack, TakePacket, choose
from camrelay.ingest.target import Target
from camrelay.ingest.transport import channels_of, hosts_of, server_ports_of, wish

#: OPTIONS, DESCRIBE, SETUP, PLAY, each challenged once or twice: a conversation beyond this goes nowhere.
REQUEST_LIMIT = 32
#: Media that a camera sends before it answers PLAY; some do, none for long.
EARLY_MEDIA_LIMIT_BYTES = 4 * 1024 * 1024

_DOLLAR = 0x24
_AUTHORITY = re.compile(r"rtsps?://[^/?\s]*", re.IGNORECASE)


class Conversation:
    """The client's side of one connection.

    Args:
        target: what to play.
        own_address: this end of the connection, which a camera may name as its destination.
        udp_port: where RTP datagrams are taken, RTCP on the next one; None to have media on the connection.
        wants_sound: whether to play a track of sound too, if there is one that can be relayed.
        sound_port: as `udp_port`, for that track.
        cnonce: random text for Digest.
        ssrc: random, for receiver reports.

    Attributes:
        sdp: what the camera says of itself, as it came; b"" before.
        description, video: what the camera offers and the track that is played, once it has answered.
        sound: the track of sound that is played, None without.
        awaits_sound: the camera was asked to set that track up, and has not answered.
        is_playing: PLAY is answered.
        is_over: TEARDOWN is answered.
        server_ports: where the camera takes datagrams, RTP and RTCP; None when it did not say.
    """

    def __init__(
        self,
        target: Target,
        *,
        own_address: str,
        udp_port: int | None,
        cnonce: str,
        ssrc: int,
        wants_sound: bool = False,
        sound_port: int | None = None,
    ) -> None:
        self.sdp = b""
        self.description: sdp.Description | None = None
        self.track: sdp.Track | None = None
        self.video: Depacketizer | None = None
        self.sound: SoundTrack | None = None
        self.awaits_sound = False
        self.is_playing = False
        self.is_over = False
        self.server_ports: tuple[int, int] | None = None
        self._target = target
        self._own_address = own_address
        self._udp_port = udp_port
        self._requests = Requests(Credentials(target.username, target.password, cnonce))
        self._reporter = Reporter(ssrc)
        self._rest = b""
        self._early_bytes = 0
        self._base = target.url
        self._keepalive_method = "OPTIONS"
        #: Channels of RTP and RTCP; none while no track is set up.
        self._channels = (-1, -1)
        self._packet: TakePacket = lambda data, begin, end: None
        self._fragments: Callable[[bytes, int, int], int] = lambda data, at, head: at
        self._wants_sound = wants_sound
        self._sound_port = sound_port
        #: Who takes what comes on other channels: sound, and the RTCP that places it.
        self._others: dict[int, TakePacket] = {}

    @property
    def keepalive_s(self) -> float:
        """How often the session wants to hear from us."""
        return self._requests.keepalive_s

    # What the shell sends.

    def begin(self) -> bytes:
        """The first request."""
        return self._ask("OPTIONS", self._target.url)

    def keep_alive(self) -> bytes:
        """A request that says that somebody is still watching."""
        return self._ask(self._keepalive_method, self._base)

    def report(self) -> bytes:
        """A receiver report, ready for wherever this session's RTCP goes."""
        assert self.video is not None
        packet = self._reporter.report(self.video)
        if self._udp_port is not None:
            return packet
        return bytes((_DOLLAR, self._channels[1])) + len(packet).to_bytes(2, "big") + packet

    def skip_sound(self) -> bytes:
        """Goes on to PLAY without the sound that the camera does not answer for."""
        self.sound, self.awaits_sound = None, False
        self._requests.forget()
        return self._play()

    def leave(self) -> bytes:
        """TEARDOWN; b"" when there is no session to tear down. Media is passed over from here on."""
        self._channels, self._others = (-1, -1), {}
        return self._ask("TEARDOWN", self._base) if self._requests.session else b""

    # What the camera sends.

    def receive(self, data: bytes) -> bytes:
        """Takes in bytes from the connection; returns what is to be sent back, mostly nothing.

        Raises:
            SourceError: this conversation is over, and why.
        """
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        packet, fragments, channel = self._packet, self._fragments, self._channels[0]
        answer = b""
        while size - at >= 4:
            if data[at] == _DOLLAR:
                # "$", channel, 16-bit length (RFC 2326 §10.12).
                end = at + 4 + (data[at + 2] << 8 | data[at + 3])
                if end > size:
                    break
                if data[at + 1] == channel:
                    packet(data, at + 4, end)
                    end = fragments(data, end, _DOLLAR << 8 | channel)
                elif take := self._others.get(data[at + 1]):
                    take(data, at + 4, end)
                at = end
                continue
            if data[at] in b"\r\n":
                at += 1
                continue
            message = parse_message(data[at:])
            if message is None:
                break
            head, body, length = message
            at += length
            answer += self._hear(head, body)
            packet, fragments, channel = self._packet, self._fragments, self._channels[0]
        self._rest = data[at:]
        if not self.is_playing:
            self._early_bytes += at
            if self._early_bytes > EARLY_MEDIA_LIMIT_BYTES:
                raise StreamInterrupted("the camera sends media and does not answer")
        return answer

    def _hear(self, head: Head, body: bytes) -> bytes:
        if not head.status:
            # A request of the camera's: none that a player must answer.
            return b""
        request = self._requests.answered(head)
        if request is None:
            return b""
        if head.status == 401:
            self._requests.challenged(head)
            return self._ask(request.method, request.url, *request.headers)
        if 300 <= head.status < 400:
            raise EgressDenied("the camera redirects elsewhere")
        self._requests.accepted()
        if request.method == "TEARDOWN":
            self.is_over = True
            return b""
        # A keepalive that is answered with an error was heard all the same.
        return b"" if self.is_playing else self._advance(request, head, body)

    def _advance(self, request: Request, head: Head, body: bytes) -> bytes:
        """The next request on the way to PLAY."""
        if request.method == "OPTIONS":
            # Whatever it says: a camera that knows no OPTIONS may still play.
            if "GET_PARAMETER" in head.get("Public"):
                self._keepalive_method = "GET_PARAMETER"
            return self._ask("DESCRIBE", self._target.url, ("Accept", "application/sdp"))
        sound = self.sound
        if request.method == "SETUP" and sound is not None and request.url == sound.url:
            self.awaits_sound = False
            self._take_sound(sound, head)
            return self._play()
        _require_success(head)
        if request.method == "DESCRIBE":
            return self._choose_track(head, body)
        if request.method == "SETUP":
            self._requests.take_session(head)
            self._take_transport(head.get("Transport"))
            if sound is None:
                return self._play()
            self.awaits_sound = True
            return self._ask("SETUP", sound.url, ("Transport", sound.wish))
        self._requests.take_session(head)
        self.is_playing = True
        return b""

    def _choose_track(self, head: Head, body: bytes) -> bytes:
        self.sdp = body
        description = sdp.parse(body)
        track = next(filter(is_playable, description.tracks), None)
        if track is None:
            raise UnsupportedCodec("the camera offers neither H.264 nor H.265 that can be played")
        self.description, self.track = description, track
        base = self._own_url(head.get("Content-Base") or head.get("Content-Location") or self._target.url)
        self._base = self._own_url(sdp.control_url(base, description.control))
        self.video = depacketizer(track)
        self._packet, self._fragments = self.video.packet, self.video.fragments
        url = self._own_url(sdp.control_url(base, track.control))
        if self._wants_sound:
            self.sound = choose(
                description,
                lambda track: self._own_url(sdp.control_url(base, track.control)),
                url,
                self._sound_port,
            )
        return self._ask("SETUP", url, ("Transport", wish(self._udp_port, 0)))

    def _play(self) -> bytes:
        return self._ask("PLAY", self._base, ("Range", "npt=0.000-"))

    def _own_url(self, url: str) -> str:
        """A URL of the camera's, at the authority that is dialled; cameras behind NAT know no better."""
        path = _AUTHORITY.sub("", url, count=1).strip()
        return self._target.base + path if path[:1] in ("", "/", "?") else self._target.url

    def _take_transport(self, transport: str) -> None:
        if not self._is_own(transport):
            raise EgressDenied("the camera wants to send from or to another host")
        if self._udp_port is not None:
            self.server_ports = server_ports_of(transport)
        elif "TCP" in transport.upper():
            # Some servers ignore the numbers they were asked for.
            self._channels = channels_of(transport) or (0, 1)
        else:
            raise CameraUnreachable("the camera does not send media over its connection")

    def _take_sound(self, sound: SoundTrack, head: Head) -> None:
        """Has the sound come, or does without when the camera will not give it in a way that fits."""
        transport = head.get("Transport")
        is_given = 200 <= head.status < 300 and self._is_own(transport)
        others = sound.accept(transport, self._channels) if is_given else None
        if others is None:
            self.sound = None
        else:
            self._others = others

    def _is_own(self, transport: str) -> bool:
        # Some cameras name our own address as destination, and 0.0.0.0 as source.
        known = (self._target.address, self._own_address, "0.0.0.0")  # noqa: S104 - compared
        return all(host in known for host in hosts_of(transport))

    def _ask(self, method: str, url: str, *headers: tuple[str, str]) -> bytes:
        if self._requests.count >= REQUEST_LIMIT and not self.is_playing and method != "TEARDOWN":
            raise StreamInterrupted("the camera never came to play")
        return self._requests.ask(Request(method, url, headers))


def _require_success(head: Head) -> None:
    if 200 <= head.status < 300:
        return
    if head.status in (404, 410):
        raise StreamNotFound("the camera has no stream at this path")
    if head.status == 403:
        raise CameraAuthFailed("the camera forbids this account to watch")
    raise CameraUnreachable("the camera refuses to play")
