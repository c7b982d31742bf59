"""The viewer's offer (RFC 8829 as far as WHEP needs it), read by aiortc; answer.py writes what is said to it.

An offer is a stranger's text: its size, sections and candidates are limited before aiortc sees it, and what
is repeated in the answer is checked to be a token, so that nobody can write lines of his own into it.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec
from aiortc.rtcdtlstransport import X509_DIGEST_ALGORITHMS
from aiortc.sdp import H264Profile, MediaDescription, SessionDescription, parse_h264_profile_level_id

from camrelay.errors import BadRequest, NegotiationFailed, PayloadTooLarge
from camrelay.fanout.webrtc import h265
from camrelay.model import AudioCodec

#: Chromium's offer for audio and video has about 7 KiB with all codecs.
MAX_OFFER_BYTES = 16 * 1024
#: At most one audio and one video (WHEP draft -03 §4.4).
MAX_MEDIA_SECTIONS = 2
#: Interfaces x address families x sections; a laptop with VPN and containers has about 20.
MAX_CANDIDATES = 32

#: Chromium's offer has about 200 lines.
MAX_LINES = 512
#: aiortc compares each rtcp-fb line with each rtpmap line: 42 x 78 in Chromium's offer, 10 ms at this limit.
MAX_FEEDBACK_PAIRS = 8192

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,64}")
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/=_-]{4,256}")
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"

#: What to offer a viewer instead when it does not list the camera's profile, best guess first: a decoder for
#: a larger profile decodes a smaller one by definition, the other way round it mostly does.
_LARGEST_FIRST = (
    H264Profile.PROFILE_PREDICTIVE_HIGH_444,
    H264Profile.PROFILE_HIGH,
    H264Profile.PROFILE_CONSTRAINED_HIGH,
    H264Profile.PROFILE_MAIN,
    H264Profile.PROFILE_BASELINE,
    H264Profile.PROFILE_CONSTRAINED_BASELINE,
)


class Format(msgspec.Struct, frozen=True):
    """A payload type of the offer for pictures; `rtx` is its retransmission type or None.

    H.264 has packetization mode 1 and a `profile`, which H.265 has in its `parameters` only.
    """

    payload_type: int
    profile: H264Profile | None
    parameters: str
    rtx: int | None
    encoding: str = "H264/90000"


class SoundFormat(msgspec.Struct, frozen=True):
    """A payload type of the offer for sound that is relayed; `encoding` is its rtpmap."""

    payload_type: int
    codec: AudioCodec
    encoding: str


class Section(msgspec.Struct, frozen=True):
    """A media section as the answer mirrors it. `encoding` is what its first format stands for, or ""."""

    kind: str
    protocol: str
    fmt: str
    mid: str
    encoding: str
    is_bundled: bool


class Credentials(msgspec.Struct, frozen=True):
    """How the viewer proves itself: its ICE fragment, and (algorithm, digest) of its certificate."""

    ufrag: str
    fingerprints: tuple[tuple[str, str], ...]


class Offer(msgspec.Struct, frozen=True):
    """What the relay needs of an offer. `video` and `sound` are indices into `sections`; -1 is none."""

    sections: tuple[Section, ...]
    video: int
    formats: tuple[Format, ...]
    credentials: Credentials
    abs_send_time_id: int
    sound: int = -1
    sound_formats: tuple[SoundFormat, ...] = ()
    h265_formats: tuple[Format, ...] = ()


def parse_offer(data: bytes) -> Offer:
    """Reads an offer.

    Raises:
        PayloadTooLarge: over MAX_OFFER_BYTES.
        BadRequest: too many lines, sections or candidates.
        NegotiationFailed: not an offer, or none that this relay can answer.
    """
    if len(data) > MAX_OFFER_BYTES:
        raise PayloadTooLarge(f"an offer may have {MAX_OFFER_BYTES} bytes")
    lines = data.splitlines()

    def count(start: bytes) -> int:
        return sum(line.startswith(start) for line in lines)

    if count(b"m=") > MAX_MEDIA_SECTIONS:
        raise BadRequest(f"an offer may have {MAX_MEDIA_SECTIONS} media sections")
    if count(b"a=candidate:") > MAX_CANDIDATES:
        raise BadRequest(f"an offer may have {MAX_CANDIDATES} candidates")
    if len(lines) > MAX_LINES or count(b"a=rtpmap:") * count(b"a=rtcp-fb:") > MAX_FEEDBACK_PAIRS:
        raise BadRequest("an offer may not have so many lines")
    try:
        session = SessionDescription.parse(data.decode("ascii"))
    except Exception as error:
        # aiortc asserts, unpacks and looks up its way through the text: any exception means a bad offer.
        raise NegotiationFailed("the body is not an SDP offer") from error
    return _read(session)


def choose(offer: Offer, profile_level_id: bytes) -> Format:
    """The payload type for a camera's profile: the same profile if offered, else the best guess.

    Args:
        profile_level_id: bytes 1 to 3 of the camera's SPS.

    Raises:
        NegotiationFailed: the viewer takes no H.264.
    """
    if not offer.formats:
        raise NegotiationFailed("the offer has no H.264 with packetization mode 1")
    wished = h264_profile(profile_level_id.hex())
    order = (wished, *_LARGEST_FIRST)
    return min(offer.formats, key=lambda form: order.index(form.profile or wished))


def choose_h265(offer: Offer, config: bytes) -> Format:
    """The payload type for an H.265 camera.

    Args:
        config: as VideoParams.config.

    Raises:
        NegotiationFailed: the viewer does not decode it.
    """
    for form in offer.h265_formats:
        if h265.accepts(form.parameters, config):
            return form
    raise NegotiationFailed("this browser cannot play the camera's H.265 over WebRTC; use HLS")


def choose_sound(offer: Offer, codec: AudioCodec) -> SoundFormat | None:
    """The payload type for a camera's sound; None when the viewer cannot hear it."""
    return next((form for form in offer.sound_formats if form.codec is codec), None)


def h264_profile(profile_level_id: str) -> H264Profile:
    """The profile that six hex digits stand for; what no standard names counts as High (RFC 6184 §8.1)."""
    try:
        return parse_h264_profile_level_id(profile_level_id)[0]
    except ValueError:
        # Also a level aiortc does not know, such as 6.0; the profile alone decides here.
        digits = profile_level_id[:4] + "1f"
    try:
        return parse_h264_profile_level_id(digits)[0]
    except ValueError:
        return H264Profile.PROFILE_HIGH


def _read(session: SessionDescription) -> Offer:
    video = next((m for m in session.media if m.kind == "video" and m.direction in _RECEIVING), None)
    if video is None:
        raise NegotiationFailed("the offer has no video section that receives")
    if not video.rtcp_mux:
        raise NegotiationFailed("the offer does not multiplex RTP and RTCP")
    formats, h265_formats = _formats(video)
    if not formats and not h265_formats:
        raise NegotiationFailed("the offer has no H.264 with packetization mode 1")
    credentials = next(filter(None, map(_credentials, (video, *session.media))), None)
    if credentials is None:
        raise NegotiationFailed("the offer has no usable ICE and DTLS parameters")
    bundled = {mid for group in session.group if group.semantic == "BUNDLE" for mid in group.items}
    extensions = {extension.uri: extension.id for extension in video.rtp.headerExtensions}
    abs_send_time_id = extensions.get(ABS_SEND_TIME, 0)
    audio = next((m for m in session.media if m.kind == "audio" and m.direction in _RECEIVING), None)
    hears = audio is not None and audio.rtcp_mux and audio.rtp.muxId in bundled
    return Offer(
        sections=tuple(_section(media, bundled) for media in session.media),
        video=session.media.index(video),
        formats=formats,
        credentials=credentials,
        # Ids above 14 need the two-byte form (RFC 8285 §4.3); nobody offers them for this.
        abs_send_time_id=abs_send_time_id if 0 < abs_send_time_id < 15 else 0,
        sound=session.media.index(audio) if audio is not None and hears else -1,
        sound_formats=_sound_formats(audio) if audio is not None and hears else (),
        h265_formats=h265_formats,
    )


#: RFC 8866 §6.7: without an attribute, a section goes both ways.
_RECEIVING = ("recvonly", "sendrecv", None)


def _credentials(media: MediaDescription) -> Credentials | None:
    """A section's credentials, if it has any; with bundling, one section speaks for all (RFC 8843 §7.1.3)."""
    if media.dtls is None or media.ice is None or media.dtls.role not in ("auto", "client"):
        return None
    ufrag = media.ice.usernameFragment or ""
    known = [f for f in media.dtls.fingerprints if f.algorithm.lower() in X509_DIGEST_ALGORITHMS]
    if not known or not _ICE_CHARS.fullmatch(ufrag):
        return None
    return Credentials(ufrag, tuple((f.algorithm, f.value) for f in known))


def _section(media: MediaDescription, bundled: Collection[object]) -> Section:
    mid, fmt = media.rtp.muxId, str(media.fmt[0])
    if not all(_TOKEN.fullmatch(text) for text in (media.kind, mid, fmt)):
        raise NegotiationFailed("a media section of the offer has no proper name")
    codec = next((c for c in media.rtp.codecs if str(c.payloadType) == fmt), None)
    encoding = ""
    if codec is not None and _TOKEN.fullmatch(codec.name):
        channels = f"/{codec.channels}" if codec.channels and codec.channels > 1 else ""
        encoding = f"{codec.name}/{codec.clockRate}{channels}"
    return Section(media.kind, media.profile, fmt, mid, encoding, mid in bundled)


def _formats(video: MediaDescription) -> tuple[tuple[Format, ...], tuple[Format, ...]]:
    """The payload types of H.264 and of H.265, each in the order of preference of the offer."""
    codecs = {codec.payloadType: codec for codec in video.rtp.codecs}
    rtx = {
        codec.parameters.get("apt"): codec.payloadType
        for codec in codecs.values()
        if codec.name.lower() == "rtx"
    }
    found, found_h265 = [], []
    for payload_type in map(int, video.fmt):
        codec = codecs.get(payload_type)
        if codec is None or codec.clockRate != 90_000:
            continue
        if codec.name.lower() == "h265":
            if parameters := h265.parameters(codec.parameters):
                form = Format(payload_type, None, parameters, rtx.get(payload_type), "H265/90000")
                found_h265.append(form)
            continue
        if codec.name.lower() != "h264":
            continue
        if codec.parameters.get("packetization-mode") != "1":
            continue
        # Baseline level 1 is what the field's absence means (RFC 6184 §8.1).
        profile_level_id = str(codec.parameters.get("profile-level-id", "42000a"))
        if not re.fullmatch("[0-9A-Fa-f]{6}", profile_level_id):
            continue
        parameters = f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile_level_id}"
        found.append(Format(payload_type, h264_profile(profile_level_id), parameters, rtx.get(payload_type)))
    return tuple(found), tuple(found_h265)


#: Encoding names and clock rates of the sound that is relayed, and how they are written.
_SOUNDS = {
    ("opus", 48_000): (AudioCodec.OPUS, "opus/48000/2"),
    ("pcmu", 8_000): (AudioCodec.PCMU, "PCMU/8000"),
    ("pcma", 8_000): (AudioCodec.PCMA, "PCMA/8000"),
}


def _sound_formats(audio: MediaDescription) -> tuple[SoundFormat, ...]:
    """What of the offered sound is relayed, in the order of the offer."""
    found = []
    for codec in audio.rtp.codecs:
        sound = _SOUNDS.get((codec.name.lower(), codec.clockRate))
        if sound is not None and codec.payloadType is not None:
            found.append(SoundFormat(codec.payloadType, *sound))
    return tuple(found)
