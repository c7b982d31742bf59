"""Rules for one version of a playlist: H1 to H3, H8 to H13 and H17 of the conformance list. Pure.

The list and its numbers are in docs/hls.md; numbers in brackets are sections of
draft-pantos-hls-rfc8216bis-22. A rule that the draft says SHOULD of is a failure here all the same.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from camrelay.errors import BadPlaylist
from camrelay.fanout.hls.parser import parse_media, parse_multivariant
from camrelay.fanout.hls.playlist import MediaPlaylist, Part, Segment, Variant

PLAYLIST_TYPES = {"application/vnd.apple.mpegurl", "audio/mpegurl"}

#: Tags a media playlist may have once [4.4.3], and EXT-X-VERSION [4.4.1.2].
_ONCE = {
    "#EXT-X-VERSION",
    "#EXT-X-TARGETDURATION",
    "#EXT-X-MEDIA-SEQUENCE",
    "#EXT-X-DISCONTINUITY-SEQUENCE",
    "#EXT-X-ENDLIST",
    "#EXT-X-PLAYLIST-TYPE",
    "#EXT-X-I-FRAMES-ONLY",
    "#EXT-X-PART-INF",
    "#EXT-X-SERVER-CONTROL",
    "#EXT-X-SKIP",
    "#EXT-X-INDEPENDENT-SEGMENTS",
}
#: Tags that apply to a segment's first part too, and so stand before it [4.4.4.9].
_BEFORE_PARTS = ("#EXT-X-DISCONTINUITY", "#EXT-X-MAP", "#EXT-X-KEY", "#EXT-X-PROGRAM-DATE-TIME")
#: Rounding of durations to five decimals.
ROUNDING_S = 0.00002


class Failure(NamedTuple):
    """A broken rule and what was seen. Texts name tags and numbers, never URLs."""

    rule: str
    text: str


class Fetched(NamedTuple):
    """An answer: when its last byte came (monotonic seconds), status, headers in lower case, body.

    `url` is where redirects led, "" if that is not known.
    """

    at: float
    status: int
    headers: dict[str, str]
    body: bytes
    url: str = ""

    @property
    def content_type(self) -> str:
        """Without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_text(fetched: Fetched, path: str) -> Iterator[Failure]:
    """H1: what every playlist has to be, before anybody reads its tags [4, 4.1]."""
    if not path.endswith(".m3u8") and fetched.content_type not in PLAYLIST_TYPES:
        yield Failure("H1", "neither named nor typed as a playlist")
    if fetched.body.startswith(b"\xef\xbb\xbf"):
        yield Failure("H1", "a byte order mark")
    try:
        text = fetched.body.decode()
    except UnicodeDecodeError:
        yield Failure("H1", "not UTF-8")
        return
    if any(unicodedata.category(c) == "Cc" and c not in "\r\n" for c in text):
        yield Failure("H1", "a control character")
    lines = text.splitlines()
    if not lines or lines[0] != "#EXTM3U":
        yield Failure("H1", "the first line is not #EXTM3U")
    counts = Counter(line.partition(":")[0] for line in lines)
    for tag in sorted(_ONCE & counts.keys()):
        if counts[tag] > 1:
            yield Failure("H1", f"{tag} {counts[tag]} times")


def read_media(text: str) -> tuple[MediaPlaylist | None, list[Failure]]:
    """The playlist, or why it cannot be read."""
    try:
        return parse_media(text), []
    except BadPlaylist as error:
        return None, [Failure("H1", str(error))]


def read_multivariant(text: str) -> tuple[tuple[Variant, ...], list[Failure]]:
    """The variants, or why they cannot be read."""
    try:
        return parse_multivariant(text), []
    except BadPlaylist as error:
        return (), [Failure("H20", str(error))]


def check_media(playlist: MediaPlaylist, text: str, *, other_playlists: int = 0) -> Iterator[Failure]:
    """Every rule that one version of a live low-latency playlist can break by itself."""
    lines = text.splitlines()
    yield from _check_version(playlist)
    yield from _check_durations(playlist)
    yield from _check_order(lines)
    yield from _check_gaps(playlist)
    yield from _check_dates(playlist)
    yield from _check_control(playlist)
    yield from _check_parts(playlist)
    yield from _check_hints(playlist)
    if any(line.startswith("#EXT-X-PLAYLIST-TYPE") for line in lines):
        yield Failure("H9", "EXT-X-PLAYLIST-TYPE in a live playlist")
    if len(playlist.reports) != other_playlists:
        yield Failure("H17", f"{len(playlist.reports)} rendition reports, {other_playlists} other playlists")


def required_version(playlist: MediaPlaylist) -> int:
    """The lowest EXT-X-VERSION that its tags allow [8]."""
    if playlist.skipped_segments:
        return 9
    if any(segment.map_uri for segment in playlist.segments):
        return 6
    return 3 if any(segment.duration_s % 1 for segment in playlist.segments) else 1


def _check_version(playlist: MediaPlaylist) -> Iterator[Failure]:
    required = required_version(playlist)
    if playlist.version != required:
        yield Failure("H2", f"EXT-X-VERSION {playlist.version}, its tags need {required}")


def _check_durations(playlist: MediaPlaylist) -> Iterator[Failure]:
    if playlist.target_duration_s < 1:
        yield Failure("H3", "TARGETDURATION below 1")
    for msn, segment in _complete(playlist):
        if math.floor(segment.duration_s + 0.5) > playlist.target_duration_s:
            yield Failure("H3", f"segment {msn} lasts {segment.duration_s} s, beyond TARGETDURATION")


def _check_order(lines: list[str]) -> Iterator[Failure]:
    """H4: sequence tags before the first segment. H8: tags of a parent before its first part."""
    has_part = has_segment = False
    for line in lines:
        tag = line.partition(":")[0]
        if tag in ("#EXT-X-MEDIA-SEQUENCE", "#EXT-X-DISCONTINUITY-SEQUENCE") and (has_part or has_segment):
            yield Failure("H4", f"{tag} after the first segment")
        if tag == "#EXT-X-PART":
            has_part = True
        elif has_part and tag in _BEFORE_PARTS:
            yield Failure("H8", f"{tag} after a part of its segment")
        elif line and not line.startswith("#"):
            has_part, has_segment = False, True


def _check_gaps(playlist: MediaPlaylist) -> Iterator[Failure]:
    is_first = not playlist.skipped_segments
    for msn, segment in _numbered(playlist):
        gaps = [part.is_gap for part in segment.parts]
        if segment.is_gap and not all(gaps):
            yield Failure("H8", f"gap segment {msn} has parts that are none")
        if any(gaps) and segment.uri and not segment.is_gap:
            yield Failure("H8", f"segment {msn} has gap parts and no EXT-X-GAP")
        if segment.map_uri and not is_first and not segment.is_discontinuity:
            yield Failure("H8", f"segment {msn} changes its MAP without DISCONTINUITY")
        is_first = False
    first = playlist.segments[0] if playlist.segments else None
    if first is not None and not playlist.skipped_segments and first.map_uri is None:
        yield Failure("H21", "the first segment has no EXT-X-MAP")


def _check_dates(playlist: MediaPlaylist) -> Iterator[Failure]:
    end_us = None
    for msn, segment in _numbered(playlist):
        if segment.program_date_time_us is None:
            yield Failure("H10", f"segment {msn} has no program date")
            continue
        if end_us is not None and end_us - segment.program_date_time_us >= 1_000_000:
            yield Failure("H10", f"segment {msn} begins a second or more before the end of the one before it")
        end_us = segment.program_date_time_us + round(segment.duration_s * 1e6)


def _check_control(playlist: MediaPlaylist) -> Iterator[Failure]:
    control, target_s, part_target_s = playlist.control, playlist.target_duration_s, playlist.part_target_s
    if part_target_s is None:
        yield Failure("H11", "no EXT-X-PART-INF")
        return
    if control is None:
        yield Failure("H11", "no EXT-X-SERVER-CONTROL")
        return
    if not control.can_block_reload:
        yield Failure("H11", "no CAN-BLOCK-RELOAD")
    if control.part_hold_back_s is None or control.part_hold_back_s < 3 * part_target_s - ROUNDING_S:
        yield Failure("H11", f"PART-HOLD-BACK {control.part_hold_back_s} below 3 PART-TARGETs")
    if control.hold_back_s is not None and control.hold_back_s < 3 * target_s:
        yield Failure("H11", f"HOLD-BACK {control.hold_back_s} below 3 TARGETDURATIONs")
    if control.can_skip_until_s is not None and control.can_skip_until_s < 6 * target_s:
        yield Failure("H11", f"CAN-SKIP-UNTIL {control.can_skip_until_s} below 6 TARGETDURATIONs")


def _check_parts(playlist: MediaPlaylist) -> Iterator[Failure]:
    target_s = playlist.part_target_s or 0.0
    end_s = sum(map(_length_s, playlist.segments))
    begin_s = 0.0
    for msn, segment in _numbered(playlist):
        at_s = begin_s
        for i, part in enumerate(segment.parts):
            name = f"part {i} of segment {msn}"
            at_s += part.duration_s
            if part.duration_s > target_s + ROUNDING_S:
                yield Failure("H12", f"{name} lasts {part.duration_s} s, beyond PART-TARGET")
            if _is_short(part, target_s) and not _may_be_short(segment.parts, i):
                yield Failure("H12", f"{name} lasts {part.duration_s} s, below 85 % of PART-TARGET")
            if end_s - at_s > 3 * playlist.target_duration_s + ROUNDING_S:
                yield Failure("H7", f"{name} is listed beyond 3 TARGETDURATIONs from the end")
        if segment.uri and segment.parts:
            parts_s = sum(part.duration_s for part in segment.parts)
            if abs(parts_s - segment.duration_s) > ROUNDING_S * len(segment.parts):
                yield Failure("H12", f"segment {msn} lasts {segment.duration_s} s, its parts {parts_s:.5f} s")
        begin_s += _length_s(segment)


def _check_hints(playlist: MediaPlaylist) -> Iterator[Failure]:
    types = Counter(hint.type for hint in playlist.hints)
    for kind, count in types.items():
        if count > 1:
            yield Failure("H13", f"{count} hints of type {kind}")
    if any(segment.parts for segment in playlist.segments) and not types["PART"] and not playlist.has_endlist:
        yield Failure("H13", "no hint at the next part")
    if playlist.has_endlist and types:
        yield Failure("H13", "a hint after the end")
    listed = {part.uri for segment in playlist.segments for part in segment.parts}
    if any(hint.uri in listed for hint in playlist.hints):
        yield Failure("H13", "a hint at a part that is listed")


def _is_short(part: Part, target_s: float) -> bool:
    return part.duration_s < 0.85 * target_s - ROUNDING_S


def _may_be_short(parts: tuple[Part, ...], i: int) -> bool:
    """With an independent picture, a gap, before a gap, or last of its segment, perhaps, [4.4.4.9]."""
    is_last = i == len(parts) - 1
    return is_last or parts[i].is_independent or parts[i].is_gap or parts[i + 1].is_gap


def _numbered(playlist: MediaPlaylist) -> Iterator[tuple[int, Segment]]:
    return enumerate(playlist.segments, playlist.media_sequence + playlist.skipped_segments)


def _complete(playlist: MediaPlaylist) -> Iterator[tuple[int, Segment]]:
    return ((msn, segment) for msn, segment in _numbered(playlist) if segment.uri)


def _length_s(segment: Segment) -> float:
    return segment.duration_s if segment.uri else sum(part.duration_s for part in segment.parts)
