"""The values that cross rooms. Everything here is plain data; only Viewer has a life.

Time comes in two kinds and the name says which: `now` and `*_s` are monotonic seconds, `*_us` are integer
microseconds of UTC. `pts` and `dts` are ticks of CLOCK_RATE on camrelay's own clock.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import NewType

import msgspec

CLOCK_RATE = 90_000

CameraId = NewType("CameraId", str)

#: Ids are dictionary keys and URL segments, never paths (abuse case 54).
CAMERA_ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Rendition(enum.StrEnum):
    """Which of a camera's streams: the one it has anyway, or a smaller one beside it. Words of paths."""

    MAIN = "main"
    SUB = "sub"


def stream_name(camera: str, rendition: Rendition) -> str:
    """What a stream is called where each counts by itself: "door" the main one, then "door/sub"."""
    return camera if rendition is Rendition.MAIN else f"{camera}/{rendition}"


class Codec(enum.StrEnum):
    """What a video stream is made of."""

    H264 = "h264"
    H265 = "h265"


class AudioCodec(enum.StrEnum):
    """What a camera's sound is made of, as far as it is relayed."""

    AAC = "aac"
    OPUS = "opus"
    PCMU = "pcmu"
    PCMA = "pcma"


class AudioParams(msgspec.Struct, frozen=True):
    """What a decoder of a camera's sound must know.

    `clock_rate` is samples per second. `config` is the AudioSpecificConfig of AAC (ISO/IEC 14496-3 §1.6.2.1).
    """

    codec: AudioCodec
    clock_rate: int
    channels: int
    config: bytes = b""


class VideoParams(msgspec.Struct, frozen=True):
    """What a decoder must know before the first key frame; equal values mean nothing changed.

    `sps`, `pps` and `vps` are NAL units without start code or length. `rfc6381` is the codec string for HLS
    and MSE, such as "avc1.64001f". `frame_rate` is frames per second, None when the stream does not say.
    `reorder_depth` is how many pictures may be coded before one that is shown earlier: 0 without B-frames.
    `config` is what an H.265 decoder configuration record says before its parameter sets (ISO/IEC 14496-15
    §8.3.3.1.2), b"" of H.264. `audio` is the sound that goes with the pictures, None without.
    """

    codec: Codec
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    width: int
    height: int
    rfc6381: str
    frame_rate: float | None = None
    vps: tuple[bytes, ...] = ()
    reorder_depth: int = 0
    config: bytes = b""
    audio: AudioParams | None = None

    @property
    def profile_level_id(self) -> bytes:
        """H.264 profile_idc, constraint flags and level_idc: bytes 1 to 3 of the SPS (RFC 6184 §8.1)."""
        return self.sps[0][1:4]


class AccessUnit(msgspec.Struct, frozen=True, gc=False):
    """One coded picture, ready for every output.

    `data` holds NAL units, each behind its 4-byte big-endian length (AVCC), without parameter sets and access
    unit delimiters. `discontinuity` is True on the first unit after a break in the camera's own timeline;
    `pts` and `dts` go on monotonically across it. `arrived_us` is when the worker had the whole unit.
    """

    pts: int
    dts: int
    is_key: bool
    data: bytes
    params: VideoParams
    arrived_us: int
    discontinuity: bool = False


class AudioUnit(msgspec.Struct, frozen=True, gc=False):
    """A packet's worth of sound: one AAC access unit, one Opus packet, or samples of G.711.

    `pts` is on the clock of the pictures; `duration` is in samples, of which there are `params.clock_rate` in
    a second. A jump of `pts` is a gap.
    """

    pts: int
    duration: int
    data: bytes
    params: AudioParams


class CameraState(enum.StrEnum):
    """What a camera is doing, in the words the page shows."""

    #: Of an on-demand camera that nobody watches.
    STANDBY = "standby"
    CONNECTING = "connecting"
    WAITING_FOR_KEY_FRAME = "waiting_for_key_frame"
    LIVE = "live"
    OFFLINE = "offline"


class CameraStatus(msgspec.Struct, frozen=True):
    """A camera's state since a moment. `reason` is an error code of errors.py, "" while all is well."""

    state: CameraState
    since_us: int
    reason: str = ""
    retry_at_us: int | None = None


class Refusal(msgspec.Struct, frozen=True):
    """How often in a row a camera refused an account, and when last (UTC microseconds)."""

    count: int
    last_us: int


class Action(enum.StrEnum):
    """What a grant allows."""

    WATCH = "watch"
    SNAPSHOT = "snapshot"
    MANAGE = "manage"


class Protocol(enum.StrEnum):
    """How a viewing is carried. Values are metric labels and record fields."""

    HLS = "hls"
    WEBRTC = "webrtc"
    SNAPSHOT = "snapshot"


class EndReason(enum.StrEnum):
    """Why a viewing ended; closed list, written into the access record."""

    CLIENT_CLOSED = "client_closed"
    CLIENT_GONE = "client_gone"
    EXPIRED = "expired"
    REVOKED = "revoked"
    LAGGED = "lagged"
    CAMERA_REMOVED = "camera_removed"
    NEGOTIATION_TIMEOUT = "negotiation_timeout"
    #: What was asked for could not be done: the camera was away, or the offer could not be answered.
    NOT_STARTED = "not_started"
    #: The camera went over to a codec, or to B-frames, that this way of watching cannot carry.
    UNPLAYABLE = "unplayable"
    #: For too long nobody could tell which rights other relays have withdrawn.
    RIGHTS_UNKNOWN = "rights_unknown"
    SERVER_STOP = "server_stop"
    SERVER_CRASH = "server_crash"
    #: The start was written after its viewer had been refused for want of a record.
    AUDIT_UNAVAILABLE = "audit_unavailable"


class EventType(enum.StrEnum):
    """What an access record tells."""

    START = "stream.start"
    STOP = "stream.stop"
    DENY = "stream.deny"
    #: The log begins and ends here; between a stop and a start nothing could be watched.
    NODE_START = "node.start"
    NODE_STOP = "node.stop"
    #: Somebody was shown records about somebody.
    READ = "record.read"
    ERASE = "person.erase"
    RESTRICT = "person.restrict"
    HOLD_ADD = "hold.add"
    HOLD_REMOVE = "hold.remove"
    PURGE = "retention.purge"
    #: Events of a class could not be recorded: so many.
    GAP = "record.gap"


class AccessEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the access log is told. `viewing` joins a start with its stop.

    `camera` is what was asked for, known or not. `subject` and `address` are people's own and never get into
    a line of the log; `agent` is a family such as "Chrome", never the header. `count` is above 1 when one
    event stands for a flood of them. `about` is the subject whose records were read or restricted, `target`
    the id of a thing that was changed.
    """

    type: EventType
    ts_us: int
    camera: str
    outcome: str
    protocol: str = ""
    viewing: str = ""
    session: str = ""
    subject: str = ""
    reason: str = ""
    address: str = ""
    agent: str = ""
    bytes_sent: int = 0
    duration_ms: int = 0
    count: int = 1
    about: str = ""
    target: str = ""


class Viewer:
    """One viewing: one authority, one camera, one protocol. `auth.gate` is its only maker.

    Outputs add to `bytes_sent` and register what stops them with `on_end`. Whoever learns first that the
    viewing is over calls `end`; the callbacks then run once, in the same tick, in order of registration.
    """

    __slots__ = ("_callbacks", "bytes_sent", "camera", "end_reason", "id", "protocol", "session", "subject")

    def __init__(self, *, id: str, session: str, camera: CameraId, protocol: Protocol, subject: str) -> None:
        self.id = id
        self.session = session
        self.camera = camera
        self.protocol = protocol
        self.subject = subject
        self.bytes_sent = 0
        self.end_reason: EndReason | None = None
        self._callbacks: dict[int, Callable[[EndReason], None]] = {}

    def on_end(self, callback: Callable[[EndReason], None]) -> Callable[[], None]:
        """Calls `callback(reason)` when the viewing ends, at once if it has ended.

        Returns:
            A function that forgets the callback again.
        """
        if self.end_reason is not None:
            callback(self.end_reason)
            return lambda: None
        key = id(callback)
        while key in self._callbacks:
            key += 1
        self._callbacks[key] = callback
        return lambda: void(self._callbacks.pop(key, None))

    def end(self, reason: EndReason) -> None:
        """Ends the viewing; later calls change nothing."""
        if self.end_reason is not None:
            return
        self.end_reason = reason
        callbacks, self._callbacks = self._callbacks, {}
        for callback in callbacks.values():
            callback(reason)

    def __repr__(self) -> str:
        return f"<Viewer {self.id} {self.camera} {self.protocol} {self.end_reason or 'running'}>"


def void(_: object) -> None:
    """Drops a value where a callable must return None."""
