"""What a simulated camera is told to be, and how a person writes it on a command line."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from camrelay.errors import ConfigError

Codec = Literal["h264", "h265"]
Profile = Literal["baseline", "main", "high"]
Sound = Literal["none", "aac", "opus", "pcmu", "pcma"]

#: Schemes a camera challenges with when it has a password. "any" offers all of them, weakest last.
Auth = Literal["any", "basic", "digest", "digest-sha256"]

_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} must be between {low} and {high}, not {value}")


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """What the encoder is asked for. Equal values mean equal clips, so this is the cache's key.

    `gop_pictures` is the distance of key frames. `slices` are cut per picture. `bitrate_bps` is the mean.
    """

    codec: Codec = "h264"
    bitrate_bps: int = 2_000_000
    width: int = 1280
    height: int = 720
    fps: int = 25
    gop_pictures: int = 50
    b_frames: int = 0
    slices: int = 1
    profile: Profile = "main"

    def __post_init__(self) -> None:
        _within("bitrate", self.bitrate_bps, 50_000, 50_000_000)
        _within("width", self.width, 64, 3840)
        _within("height", self.height, 64, 2160)
        _within("fps", self.fps, 1, 60)
        _within("gop", self.gop_pictures, 1, 60 * self.fps)
        _within("b-frames", self.b_frames, 0, 4)
        _within("slices", self.slices, 1, 16)
        if self.width % 2 or self.height % 2:
            raise ConfigError("size must be even in both directions: chroma has half of it")
        if self.profile == "baseline" and self.b_frames:
            raise ConfigError("profile baseline has no b-frames (H.264 §A.2.1)")
        if self.codec == "h265" and self.profile != "main":
            raise ConfigError("h265 has the profile main here")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """One simulator: `cameras` cameras at rtsp://host:port/cam1 to /camN.

    `port` 0 means any free port. Without `password` nobody is asked for one. `cache_dir` "" means the user's
    cache directory. Each `clock_every`-th picture of the loop carries its send time. `first_sequence` and
    `first_timestamp` are random unless a test needs to see them wrap.
    """

    cameras: int = 1
    host: str = "127.0.0.1"
    port: int = 0
    user: str = "admin"
    password: str = ""
    auth: Auth = "any"
    picture: Picture = Picture()
    audio: Sound = "none"
    cache_dir: str = ""
    clock_every: int = 1
    first_sequence: int | None = None
    first_timestamp: int | None = None

    def __post_init__(self) -> None:
        _within("cameras", self.cameras, 1, 5000)
        _within("port", self.port, 0, 65535)
        _within("clock-every", self.clock_every, 1, 250)


def parse_bitrate(text: str) -> int:
    """Bits per second from "2M", "800k" or "1500000".

    Raises:
        ConfigError: anything else.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([kKmM]?)", text)
    if not found:
        raise ConfigError("a bit rate is written like 2M, 800k or 1500000")
    return round(float(found[1]) * _UNITS[found[2].lower()])


def parse_size(text: str) -> tuple[int, int]:
    """Width and height in pixels from "1280x720".

    Raises:
        ConfigError: anything else.
    """
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not found:
        raise ConfigError("a size is written like 1280x720")
    return int(found[1]), int(found[2])


def parse_gop(text: str, fps: int) -> int:
    """Pictures from key frame to key frame, from seconds as in "2s" or "0.5s", or from pictures as in "50".

    Raises:
        ConfigError: anything else.
    """
    found = re.fullmatch(r"(\d{1,5}(?:\.\d{1,3})?)(s?)", text)
    if not found or not (found[2] or found[1].isdigit()):
        raise ConfigError("a GOP is written like 2s or, in pictures, 50")
    return round(float(found[1]) * fps) if found[2] else int(found[1])
