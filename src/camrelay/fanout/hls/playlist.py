"""Playlists of draft-pantos-hls-rfc8216bis-22: the values a live video stream needs, and their text.

Durations are seconds, written with up to five decimals; dates are microseconds of UTC, written with
milliseconds. Numbers in brackets are sections of the draft. `parser` reads the text back.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

#: decimal-integer [4.2], which is 64 bits wide; of those, what every platform can count.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: decimal-floating-point [4.2]; the limit also keeps "inf" and "nan" out.
Seconds = Annotated[float, Meta(ge=0, le=1e9)]

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)

#: Attribute names of the draft -> fields here.
_ATTRIBUTE_NAMES = {
    "uri": "URI",
    "duration_s": "DURATION",
    "is_independent": "INDEPENDENT",
    "is_gap": "GAP",
    "can_block_reload": "CAN-BLOCK-RELOAD",
    "hold_back_s": "HOLD-BACK",
    "part_hold_back_s": "PART-HOLD-BACK",
    "can_skip_until_s": "CAN-SKIP-UNTIL",
    "type": "TYPE",
    "last_msn": "LAST-MSN",
    "last_part": "LAST-PART",
    "bandwidth_bps": "BANDWIDTH",
    "average_bandwidth_bps": "AVERAGE-BANDWIDTH",
    "codecs": "CODECS",
    "resolution": "RESOLUTION",
    "frame_rate": "FRAME-RATE",
}


class Part(Struct, frozen=True, rename=_ATTRIBUTE_NAMES):
    """EXT-X-PART [4.4.4.9]."""

    uri: str
    duration_s: Seconds
    is_independent: bool = False
    is_gap: bool = False


class Segment(Struct, frozen=True):
    """A media segment with the tags that apply to it; `uri` is "" while its parts are still being added.

    `map_uri` is set where a new EXT-X-MAP begins to apply [4.4.4.5], not on every segment it applies to.
    """

    uri: str = ""
    duration_s: Seconds = 0.0
    parts: tuple[Part, ...] = ()
    map_uri: str | None = None
    program_date_time_us: int | None = None
    is_discontinuity: bool = False
    is_gap: bool = False


class ServerControl(Struct, frozen=True, rename=_ATTRIBUTE_NAMES):
    """EXT-X-SERVER-CONTROL [4.4.3.8]; None: attribute absent."""

    can_block_reload: bool = False
    hold_back_s: Seconds | None = None
    part_hold_back_s: Seconds | None = None
    can_skip_until_s: Seconds | None = None


class PreloadHint(Struct, frozen=True, rename=_ATTRIBUTE_NAMES):
    """EXT-X-PRELOAD-HINT [4.4.5.3]."""

    type: Literal["PART", "MAP"]
    uri: str


class RenditionReport(Struct, frozen=True, rename=_ATTRIBUTE_NAMES):
    """EXT-X-RENDITION-REPORT [4.4.5.4]."""

    uri: str
    last_msn: Count
    last_part: Count | None = None


class MediaPlaylist(Struct, frozen=True):
    """One version of a media playlist. `skipped_segments` > 0 makes it a delta update [4.4.5.2]."""

    target_duration_s: Count
    segments: tuple[Segment, ...]
    version: Count = 1
    media_sequence: Count = 0
    discontinuity_sequence: Count = 0
    part_target_s: Seconds | None = None
    control: ServerControl | None = None
    skipped_segments: Count = 0
    hints: tuple[PreloadHint, ...] = ()
    reports: tuple[RenditionReport, ...] = ()
    has_endlist: bool = False

    @property
    def last_msn(self) -> int:
        """The media sequence number of the last segment that has a part or is complete."""
        return self.media_sequence + self.skipped_segments + len(self.segments) - 1


class Variant(Struct, frozen=True, rename=_ATTRIBUTE_NAMES):
    """EXT-X-STREAM-INF and its URI [4.4.6.2]; bandwidths in bits per second."""

    uri: str
    bandwidth_bps: Count
    average_bandwidth_bps: Count | None = None
    codecs: str | None = None
    resolution: tuple[int, int] | None = None
    frame_rate: Seconds | None = None


def serialize_media(playlist: MediaPlaylist) -> str:
    """The text of a media playlist."""
    segments = "".join(map(serialize_segment, playlist.segments))
    return serialize_head(playlist) + segments + serialize_tail(playlist)


def serialize_head(playlist: MediaPlaylist) -> str:
    """What stands before the first segment, EXT-X-SKIP included."""
    head = f"#EXTM3U\n#EXT-X-VERSION:{playlist.version}\n#EXT-X-TARGETDURATION:{playlist.target_duration_s}\n"
    if playlist.control is not None:
        head += _tag("EXT-X-SERVER-CONTROL", playlist.control)
    if playlist.part_target_s is not None:
        head += f"#EXT-X-PART-INF:PART-TARGET={_decimal(playlist.part_target_s)}\n"
    head += f"#EXT-X-MEDIA-SEQUENCE:{playlist.media_sequence}\n"
    head += f"#EXT-X-DISCONTINUITY-SEQUENCE:{playlist.discontinuity_sequence}\n"
    if playlist.skipped_segments:
        head += f"#EXT-X-SKIP:SKIPPED-SEGMENTS={playlist.skipped_segments}\n"
    return head


def serialize_segment(segment: Segment) -> str:
    """One segment, its tags and parts; tags that also apply to the first part stand before it [4.4.4.9]."""
    lines = []
    if segment.is_discontinuity:
        lines.append("#EXT-X-DISCONTINUITY\n")
    if segment.map_uri is not None:
        lines.append(f'#EXT-X-MAP:URI="{segment.map_uri}"\n')
    if segment.program_date_time_us is not None:
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(segment.program_date_time_us)}\n")
    if segment.is_gap:
        lines.append("#EXT-X-GAP\n")
    lines.extend(map(serialize_part, segment.parts))
    if segment.uri:
        lines.append(f"#EXTINF:{_decimal(segment.duration_s)},\n{segment.uri}\n")
    return "".join(lines)


def serialize_part(part: Part) -> str:
    """One EXT-X-PART line."""
    return _tag("EXT-X-PART", part)


def serialize_tail(playlist: MediaPlaylist) -> str:
    """What stands after the last segment."""
    lines = [_tag("EXT-X-PRELOAD-HINT", hint) for hint in playlist.hints]
    lines += [_tag("EXT-X-RENDITION-REPORT", report) for report in playlist.reports]
    if playlist.has_endlist:
        lines.append("#EXT-X-ENDLIST\n")
    return "".join(lines)


def serialize_multivariant(variants: tuple[Variant, ...]) -> str:
    """The text of a multivariant playlist. Nothing in it is newer than version 1, so it names no version."""
    lines = [_tag("EXT-X-STREAM-INF", variant, without="URI") + variant.uri + "\n" for variant in variants]
    return "#EXTM3U\n" + "".join(lines)


def _tag(name: str, value: Struct, without: str = "") -> str:
    """A tag whose attributes are the fields of `value` that say something."""
    attributes = []
    for attribute, field in zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True):
        match getattr(value, field):
            case _ if attribute == without:
                continue
            case None | False:
                continue
            case True:
                text = "YES"
            case float(number):
                text = _decimal(number)
            case (int(width), int(height)):
                text = f"{width}x{height}"
            case str(word) if attribute != "TYPE":
                text = f'"{word}"'
            case other:
                text = str(other)
        attributes.append(f"{attribute}={text}")
    return f"#{name}:{','.join(attributes)}\n"


def _decimal(seconds: float) -> str:
    """decimal-floating-point [4.2] with up to five decimals."""
    return f"{seconds:.5f}".rstrip("0").rstrip(".")


def _date(us: int) -> str:
    return (EPOCH + us * MICROSECOND).isoformat(timespec="milliseconds").replace("+00:00", "Z")
