"""What a camera's DESCRIBE says: its tracks, and where to ask for each (RFC 8866, RFC 2326 Appendix C).

Cameras write SDP by hand. A line that cannot be understood is passed over; what is missing afterwards is
missing. Only bytes beyond the limits are refused.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec

from camrelay.errors import BadAnswer

#: A camera with every option is 4 KiB.
MAX_BYTES = 64 * 1024
#: Lenses, audio both ways, metadata: real ones stay below 8.
MAX_TRACKS = 16

#: Payload types with a fixed meaning that cameras use without an rtpmap (RFC 3551 §6).
_STATIC = {0: ("PCMU", 8_000), 8: ("PCMA", 8_000), 26: ("JPEG", 90_000)}

_MEDIA = re.compile(r"([a-z]{1,32}) \d{1,5}(?:/\d{1,5})? RTP/S?AVPF? (\d{1,3}(?: \d{1,3})*)")
_RTPMAP = re.compile(r"rtpmap:(\d{1,3}) +([A-Za-z0-9.+-]{1,64})/(\d{1,9})(?:/\d{1,3})?")
_FMTP = re.compile(r"fmtp:(\d{1,3}) +(.*)")


class Track(msgspec.Struct, frozen=True):
    """One format of one stream the camera offers.

    `codec` is the encoding name in capitals, such as "H264" or "PCMA", "" when the camera does not say.
    `control` is as the camera wrote it. `format` holds the fmtp parameters, names in lower case.
    """

    kind: str
    codec: str
    payload_type: int
    clock_rate: int = 0
    control: str = ""
    format: dict[str, str] = {}

    @property
    def parameter_sets(self) -> list[bytes]:
        """The NAL units of sprop parameters (RFC 6184 §8.1, RFC 7798 §7.1) without those that are none."""
        return [
            decoded
            for name in ("sprop-vps", "sprop-sps", "sprop-pps", "sprop-parameter-sets")
            for text in self.format.get(name, "").split(",")
            if (decoded := _decoded(text.strip()))
        ]


class Description(msgspec.Struct, frozen=True):
    """A whole SDP. `control` is the session's own, "" when there is none."""

    control: str
    tracks: tuple[Track, ...]


def parse(body: bytes) -> Description:
    """Reads an SDP.

    Raises:
        BadAnswer: over a limit.
    """
    if len(body) > MAX_BYTES:
        raise BadAnswer("the camera describes itself in more bytes than any camera needs")
    session, *sections = re.split(r"^m=", body.decode("utf-8", "replace"), flags=re.MULTILINE)
    tracks = [track for section in sections for track in _tracks(section)]
    if len(tracks) > MAX_TRACKS:
        raise BadAnswer("the camera offers more tracks than any camera has")
    return Description(_control(_attributes(session)), tuple(tracks))


def control_url(base: str, control: str) -> str:
    """Where to ask for a track or for the session.

    Everybody appends, whatever RFC 1808 says, so that is what cameras expect: also behind a query, and with
    one slash between.
    """
    if control in ("", "*"):
        return base
    if re.match(r"rtsps?://", control, re.IGNORECASE):
        return control
    if control.startswith("?"):
        return base + control
    return f"{base.rstrip('/')}/{control.lstrip('/')}"


def _tracks(section: str) -> list[Track]:
    first, *_ = section.splitlines() or [""]
    media = _MEDIA.match(first)
    if media is None:
        return []
    attributes = _attributes(section)
    named = {int(m[1]): (m[2].upper(), int(m[3])) for a in attributes if (m := _RTPMAP.match(a))}
    formats = {int(m[1]): _parameters(m[2]) for a in attributes if (m := _FMTP.match(a))}
    tracks = []
    for payload_type in map(int, media[2].split()):
        codec, clock_rate = named.get(payload_type) or _STATIC.get(payload_type) or ("", 0)
        tracks.append(
            Track(
                kind=media[1],
                codec=codec,
                payload_type=payload_type,
                clock_rate=clock_rate,
                control=_control(attributes),
                format=formats.get(payload_type, {}),
            )
        )
    return tracks


def _attributes(section: str) -> list[str]:
    return [line[2:].strip() for line in section.splitlines() if line.startswith("a=")]


def _control(attributes: list[str]) -> str:
    return next((a.partition(":")[2].strip() for a in attributes if a.startswith("control:")), "")


def _parameters(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def _decoded(text: str) -> bytes:
    try:
        # Some cameras leave the padding out.
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
