"""The feed between relay and ingest workers: messages <-> bytes on a stream.

A message is a 4-byte big-endian length, a kind, and a body of that length. Access units have a fixed head,
because there are thousands a second; everything else is MessagePack. The relay says Start and Stop; a worker
answers each Start with Opened, then Params before the first unit and whenever they change, Units, Sounds, and
exactly one Ended. An attempt number ties them together: what comes for an attempt that is over means nothing.
"""

from __future__ import annotations

import struct
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from camrelay.errors import BadFeedMessage, SourceError
from camrelay.ingest.h264 import MAX_ACCESS_UNIT_BYTES
from camrelay.ingest.target import Target
from camrelay.model import VideoParams

#: The largest access unit; an AVCC length is at most one byte longer than the start code it replaces.
MAX_MESSAGE_BYTES = MAX_ACCESS_UNIT_BYTES + 4_096

AttemptId = Annotated[int, Meta(ge=0, lt=1 << 32)]

#: What an Ended may give as its reason: codes of errors.py, never another program's words.
END_REASONS = frozenset({SourceError.code, *(error.code for error in SourceError.__subclasses__())})


class _Message(msgspec.Struct, frozen=True, array_like=True, tag_field="kind"):
    attempt: AttemptId


class Start(_Message, frozen=True, tag="start"):
    """Dial a camera. Path and credentials are secrets: never logged, and no answer repeats them."""

    #: Resolved and checked.
    address: str
    port: int
    #: Host and port as the URL says them.
    authority: str
    #: Path and query.
    target: str
    tls: bool
    username: str
    password: str
    transport: Literal["tcp", "udp"]
    #: As of Target.
    tls_fingerprint: str = ""
    #: Whether sound is wanted.
    audio: bool = True

    @property
    def camera(self) -> Target:
        """Whom to dial."""
        return Target(
            address=self.address,
            port=self.port,
            authority=self.authority,
            path=self.target,
            username=self.username,
            password=self.password,
            is_tls=self.tls,
            tls_fingerprint=self.tls_fingerprint,
        )

    def __repr__(self) -> str:
        return f"Start({self.attempt})"


class Stop(_Message, frozen=True, tag="stop"):
    """Hang up. The answer is Ended."""


class Opened(_Message, frozen=True, tag="opened"):
    """The camera plays."""


class Params(_Message, frozen=True, tag="params"):
    """What a decoder must know for the units from here on."""

    video: VideoParams


class Dropped(_Message, frozen=True, tag="dropped"):
    """Access units the worker had and did not send."""

    units: Annotated[int, Meta(ge=1)]
    #: "malformed": the bytes cannot be used; "backlog": the relay did not read fast enough; "sound": it was
    #: packets of sound that cannot be used.
    reason: Literal["malformed", "backlog", "sound"]


class Ended(_Message, frozen=True, tag="ended"):
    """The attempt is over; one of END_REASONS."""

    reason: str


class Unit(msgspec.Struct, frozen=True, gc=False):
    """One access unit as the camera stamped it: AVCC data, `pts` in 90 kHz ticks or None."""

    attempt: int
    is_key: bool
    pts: int | None
    arrived_us: int
    data: bytes


class Sound(msgspec.Struct, frozen=True, gc=False):
    """A packet's worth of sound as the camera stamped it.

    `timestamp` is of the sound's own RTP clock, `video_timestamp` the same moment on that of the pictures,
    None while nobody knows. `duration` is in samples.
    """

    attempt: int
    timestamp: int
    video_timestamp: int | None
    duration: int
    data: bytes


Control = Start | Stop | Opened | Params | Dropped | Ended
Message = Control | Unit | Sound

_FRAME = struct.Struct(">IB")
_unpack_frame = _FRAME.unpack_from
_UNIT = struct.Struct(">IBqq")
_SOUND = struct.Struct(">IBIII")
_KIND_CONTROL = 0
_KIND_UNIT = 1
_KIND_SOUND = 2
_IS_KEY = 1
_HAS_PTS = 2

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Control)


def encode(message: Message) -> bytes:
    """Serializes a message.

    Raises:
        BadFeedMessage: over the limit.
    """
    if isinstance(message, Unit):
        flags = (_IS_KEY if message.is_key else 0) | (0 if message.pts is None else _HAS_PTS)
        head = _UNIT.pack(message.attempt, flags, message.pts or 0, message.arrived_us)
        kind, size, body = _KIND_UNIT, _UNIT.size + len(message.data), message.data
    elif isinstance(message, Sound):
        has_video = message.video_timestamp is not None
        video = message.video_timestamp or 0
        head = _SOUND.pack(message.attempt, has_video, message.timestamp, video, message.duration)
        kind, size, body = _KIND_SOUND, _SOUND.size + len(message.data), message.data
    else:
        kind, head, body = _KIND_CONTROL, b"", _encoder.encode(message)
        size = len(body)
    if size > MAX_MESSAGE_BYTES:
        raise BadFeedMessage(f"message of {size} bytes")
    return b"".join((_FRAME.pack(size, kind), head, body))


class Decoder:
    """Finds the messages in bytes that arrive in any pieces."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        #: Bytes needed before anything more can be said.
        self._needed = _FRAME.size

    def feed(self, data: bytes) -> list[Message]:
        """Takes in bytes and returns the messages they complete.

        Raises:
            BadFeedMessage: these bytes are no feed; nothing after them can be read either.
        """
        self._pieces.append(data)
        self._size += len(data)
        if self._size < self._needed:
            return []
        # Joined only now: a key frame that comes in a hundred pieces is copied once.
        data = b"".join(self._pieces)
        messages: list[Message] = []
        begin, needed = 0, _FRAME.size
        while begin + needed <= len(data):
            size, kind = _unpack_frame(data, begin)
            if size > MAX_MESSAGE_BYTES or kind > _KIND_SOUND:
                raise BadFeedMessage(f"kind {kind} of {size} bytes")
            body, needed = begin + _FRAME.size, _FRAME.size + size
            if begin + needed > len(data):
                break
            begin += needed
            messages.append(_parse(data, kind, body, begin))
            needed = _FRAME.size
        rest = data[begin:]
        self._pieces = [rest] if rest else []
        self._size = len(rest)
        self._needed = needed
        return messages


def _parse(data: bytes, kind: int, begin: int, end: int) -> Message:
    if kind == _KIND_UNIT:
        head_end = begin + _UNIT.size
        if head_end > end:
            raise BadFeedMessage("unit without a whole head")
        attempt, flags, pts, arrived_us = _UNIT.unpack_from(data, begin)
        return Unit(
            attempt, bool(flags & _IS_KEY), pts if flags & _HAS_PTS else None, arrived_us, data[head_end:end]
        )
    if kind == _KIND_SOUND:
        head_end = begin + _SOUND.size
        if head_end > end:
            raise BadFeedMessage("sound without a whole head")
        attempt, has_video, timestamp, video, duration = _SOUND.unpack_from(data, begin)
        return Sound(attempt, timestamp, video if has_video else None, duration, data[head_end:end])
    try:
        message: Control = _decoder.decode(data[begin:end])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFeedMessage("control message that is none") from error
    if isinstance(message, Ended) and message.reason not in END_REASONS:
        raise BadFeedMessage("end for no known reason")
    return message
