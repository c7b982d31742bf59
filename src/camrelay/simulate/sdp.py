"""A camera's self-description (RFC 8866, RFC 6184 §8.2, RFC 7798 §7.2)."""

from __future__ import annotations

import base64

from camrelay.simulate.conversation import SOUND_TRACK, TRACK
from camrelay.simulate.options import Picture
from camrelay.simulate.rtp import CLOCK_RATE, PAYLOAD_TYPE
from camrelay.simulate.soundtrack import Tone


def describe(
    name: str, picture: Picture, sps: bytes, pps: bytes, tone: Tone | None = None, vps: bytes = b""
) -> bytes:
    """The SDP of one camera with one stream, playable without waiting for in-band parameter sets."""
    lines = (
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        f"s={name}",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        "a=range:npt=now-",
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
        f"b=AS:{picture.bitrate_bps // 1000}",
        f"a=rtpmap:{PAYLOAD_TYPE} {picture.codec.upper()}/{CLOCK_RATE}",
        f"a=fmtp:{PAYLOAD_TYPE} {_h265_format(vps, sps, pps) if vps else _format(sps, pps)}",
        f"a=framerate:{picture.fps}",
        f"a=control:{TRACK}",
        *(_sound(tone) if tone else ()),
    )
    return "\r\n".join((*lines, "")).encode()


def _format(sps: bytes, pps: bytes) -> str:
    sets = f"{_base64(sps)},{_base64(pps)}"
    return f"packetization-mode=1;profile-level-id={sps[1:4].hex()};sprop-parameter-sets={sets}"


def _h265_format(vps: bytes, sps: bytes, pps: bytes) -> str:
    return f"sprop-vps={_base64(vps)};sprop-sps={_base64(sps)};sprop-pps={_base64(pps)}"


def _base64(unit: bytes) -> str:
    return base64.b64encode(unit).decode()


def _sound(tone: Tone) -> list[str]:
    lines = [f"m=audio 0 RTP/AVP {tone.payload_type}", f"a=rtpmap:{tone.payload_type} {tone.name}"]
    if tone.format:
        lines.append(f"a=fmtp:{tone.payload_type} {tone.format}")
    return [*lines, f"a=control:{SOUND_TRACK}"]
