"""What a probe reports of a stream, and what that means for those who will watch it.

The verdicts are for camera owners: plain words, what will not work, and where in the camera to change it.
"""

from __future__ import annotations

import re

import msgspec

from camrelay.errors import (
    CameraAuthFailed,
    CameraUnreachable,
    CredentialsOnHold,
    EgressDenied,
    UnsupportedCodec,
    WorkerLost,
)
from camrelay.model import Codec, VideoParams

#: Viewers who join wait for a key frame, and HLS segments want to begin with one.
LONG_GOP_S = 4.0
#: Beyond it, phones and many laptops have no decoder in hardware.
LARGE_PICTURE = 4096 * 2304

#: What camrelay relays, and what browsers that know the codec decode of it.
_PROFILES: dict[str, set[str]] = {
    Codec.H264: {"Constrained Baseline", "Baseline", "Main", "High"},
    Codec.H265: {"Main", "Main 10"},
}
_PROFILE_NAMES = {
    66: "Baseline",
    77: "Main",
    88: "Extended",
    100: "High",
    110: "High 10",
    122: "High 4:2:2",
    244: "High 4:4:4 Predictive",
}
_H265_PROFILE_NAMES = {1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Range Extensions"}

#: Encoding names of sound that each protocol carries.
_HLS_SOUND = {"MPEG4-GENERIC"}
_WEBRTC_SOUND = {"OPUS", "PCMU", "PCMA"}

#: By encoding name, as of SDP; VideoParams has those of pictures in small letters.
_SPOKEN = {
    **{"H264": "H.264", "H265": "H.265", "JPEG": "Motion JPEG", "MP4V-ES": "MPEG-4 Part 2"},
    **{"MPEG4-GENERIC": "AAC", "OPUS": "Opus", "PCMU": "G.711", "PCMA": "G.711"},
}

_VIDEO_CODEC = re.compile(
    r"^m=video [^\n]*$(?:(?!^m=).)*?^a=rtpmap:\d{1,3} +([A-Za-z0-9.+-]{1,64})/", re.MULTILINE | re.DOTALL
)

_SECRET_LINE = re.compile(r"^(k=|a=(crypto|key-mgmt|fingerprint|ice-pwd):)", re.IGNORECASE)
_USERINFO = re.compile(r"(://)[^\s/@]{1,512}@")
_SECRET_PARAMETER = re.compile(
    r"([?&;][a-z_-]{0,20}(?:user|pass|pwd|pw|token|secret|key|auth|login)[a-z_-]{0,20}=)[^\s&;]*",
    re.IGNORECASE,
)


class Video(msgspec.Struct, frozen=True):
    """The video of a stream. `gop_s` is the longest time between key frames, None when fewer than two came.

    `codec` is one of model.Codec. `frame_rate` is pictures per second as they came.
    """

    codec: str
    profile: str
    width: int
    height: int
    frame_rate: float | None
    gop_s: float | None
    has_b_frames: bool
    bit_rate_bps: int


class Audio(msgspec.Struct, frozen=True):
    """The sound a stream offers, as its SDP says: such as ("PCMA", 8000)."""

    codec: str
    clock_rate: int


class Verdict(msgspec.Struct, frozen=True):
    """Whether a protocol can carry the stream, and what to know about it."""

    works: bool
    remarks: tuple[str, ...]


class Report(msgspec.Struct, frozen=True):
    """What a probe found. `reason` is an error code of errors.py, "" when pictures came.

    `authenticated` is None while that is not known. `sdp` is the camera's own, without its secrets. `jpeg` is
    the first key frame, b"" when none could be decoded; JSON has it in base64. `retry_at_us` (UTC) is set
    when the camera was not asked, because it refused these credentials twice.
    """

    reason: str = ""
    reachable: bool = True
    authenticated: bool | None = True
    video: Video | None = None
    audio: Audio | None = None
    sdp: str = ""
    hls: Verdict | None = None
    webrtc: Verdict | None = None
    jpeg: bytes = b""
    retry_at_us: int | None = None


class Seen:
    """Counts the access units of a stream. Times are seconds on the camera's clock."""

    def __init__(self) -> None:
        self.units = 0
        self._bytes = 0
        self._first = self._last = 0.0
        self._keys: list[float] = []

    def add(self, pts_s: float, *, is_key: bool, size: int) -> None:
        """Takes in one access unit."""
        self._first = min(self._first, pts_s) if self.units else pts_s
        self._last = max(self._last, pts_s) if self.units else pts_s
        self.units += 1
        self._bytes += size
        if is_key:
            self._keys.append(pts_s)

    @property
    def span_s(self) -> float:
        """From the first access unit to the last one."""
        return self._last - self._first

    @property
    def key_frames(self) -> int:
        """How many access units were key frames."""
        return len(self._keys)

    @property
    def gop_s(self) -> float | None:
        """The longest time between two key frames."""
        gaps = [after - before for before, after in zip(self._keys, self._keys[1:], strict=False)]
        return round(max(gaps), 2) if gaps else None

    @property
    def frame_rate(self) -> float | None:
        """Access units per second."""
        return round((self.units - 1) / self.span_s, 2) if self.span_s > 0 else None

    @property
    def bit_rate_bps(self) -> int:
        """Bits per second."""
        return round(self._bytes * 8 / self.span_s) if self.span_s > 0 else 0


def profile_name(params: VideoParams) -> str:
    """The profile of a stream as people call it (H.264 §A.2, H.265 §A.3)."""
    if params.codec is Codec.H265:
        idc = params.config[1] & 0x1F
        return _H265_PROFILE_NAMES.get(idc, f"profile {idc}")
    sps = params.sps[0]
    name = _PROFILE_NAMES.get(sps[1], f"profile {sps[1]}")
    return f"Constrained {name}" if sps[1] == 66 and sps[2] & 0x40 else name


def failed(reason: str, sdp: str = "") -> Report:
    """The report of a stream that did not play."""
    refused = {CameraAuthFailed.code, CredentialsOnHold.code}
    unreached = {CameraUnreachable.code, EgressDenied.code, WorkerLost.code}
    verdict = None
    if reason == UnsupportedCodec.code and (found := _VIDEO_CODEC.search(sdp)):
        verdict = Verdict(False, (_wrong_codec(found[1]),))
    return Report(
        reason=reason,
        reachable=reason not in unreached,
        authenticated=None if reason in unreached else reason not in refused,
        audio=audio_of(sdp),
        sdp=without_secrets(sdp),
        hls=verdict,
        webrtc=verdict,
    )


def audio_of(sdp: str) -> Audio | None:
    """The first audio stream of an SDP, None when there is none."""
    section = re.search(r"^m=audio [^\r\n]*?(\d+)\s*$(.*?)(?=^m=|\Z)", sdp, re.MULTILINE | re.DOTALL)
    if section is None:
        return None
    static = {"0": Audio("PCMU", 8000), "8": Audio("PCMA", 8000)}  # RFC 3551 §6
    mapped = re.search(rf"^a=rtpmap:{section[1]} ([A-Za-z0-9._-]+)/(\d{{1,6}})", section[2], re.MULTILINE)
    return Audio(mapped[1].upper(), int(mapped[2])) if mapped else static.get(section[1], Audio("?", 0))


def without_secrets(sdp: str) -> str:
    """An SDP that may be shown: no passwords in URLs, no keys, nothing unprintable."""
    lines = [
        "".join(c for c in line if c.isprintable())
        for line in sdp.splitlines()[:500]
        if not _SECRET_LINE.match(line)
    ]
    return _SECRET_PARAMETER.sub(r"\1***", _USERINFO.sub(r"\1***@", "\n".join(lines)))


def judge(video: Video, audio: Audio | None) -> tuple[Verdict, Verdict]:
    """What HLS and WebRTC can do with a stream."""
    hard = []
    profiles = _PROFILES.get(video.codec)
    if profiles is None:
        hard.append(_wrong_codec(video.codec))
    elif video.profile not in profiles:
        hard.append(f"Browsers cannot decode the profile {video.profile}. Choose Main or High in the camera.")
    soft = []
    if video.codec == Codec.H265:
        soft.append(
            "The video is H.265, which only some browsers decode, and few over WebRTC. H.264 in the camera's "
            "video settings, or as its smaller stream, plays everywhere."
        )
    if video.gop_s is None:
        soft.append(
            "Key frames are so rare that no second one came. Set the key frame (I-frame) interval to 2 s: "
            "until one comes, nobody who joins sees a picture."
        )
    elif video.gop_s > LONG_GOP_S:
        soft.append(
            f"Key frames are {video.gop_s:g} s apart. Set the key frame (I-frame) interval to 2 s: "
            "viewers then join and recover sooner."
        )
    if video.width * video.height > LARGE_PICTURE:
        soft.append("The picture is larger than 4K; phones and many laptops cannot decode it.")
    reordered = []
    if video.has_b_frames:
        reordered.append(
            "The stream has B-frames, which browsers cannot show over WebRTC. Switch them off in the camera, "
            "or choose the profile Baseline; HLS plays them."
        )
    return (
        Verdict(not hard, tuple(hard + soft + _unheard(audio, _HLS_SOUND, "HLS", "AAC"))),
        Verdict(
            not hard and not reordered,
            tuple(hard + reordered + soft + _unheard(audio, _WEBRTC_SOUND, "WebRTC", "Opus or G.711")),
        ),
    )


def _unheard(audio: Audio | None, carried: set[str], protocol: str, instead: str) -> list[str]:
    if audio is None or audio.codec in carried:
        return []
    spoken = _SPOKEN.get(audio.codec, audio.codec)
    return [
        f"The sound is {spoken}, which {protocol} does not carry here: it plays without. {instead} is heard."
    ]


def _wrong_codec(name: str) -> str:
    spoken = _SPOKEN.get(name.upper(), name)
    return f"The video is {spoken}; camrelay relays H.264 and H.265. Choose H.264 in the camera's settings."
