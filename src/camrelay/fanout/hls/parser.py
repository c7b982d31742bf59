"""Text of playlists -> the values of `playlist`; whatever can be read here can be written there again.

Tags unknown here are skipped, as §6.3.1 asks of clients. Nothing is corrected: a known tag that cannot be
read makes the whole playlist a BadPlaylist. Numbers in brackets are sections of the draft.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from camrelay.errors import BadPlaylist
from camrelay.fanout.hls.playlist import EPOCH, MICROSECOND, MediaPlaylist, Variant

#: A playlist longer than this is not one of a live camera; a parser must not be fed without end.
MAX_PLAYLIST_CHARS = 1_000_000

_TAG = re.compile(r"#(EXT[^:]*):?(.*)")
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=(?:"([^"]*)"|([^",\s]+))(?:,|$)')
_RESOLUTION = re.compile(r"(\d{1,5})x(\d{1,5})")

#: Tags of the whole playlist with one plain value -> fields of MediaPlaylist.
_PLAYLIST_TAGS = {
    "EXT-X-VERSION": "version",
    "EXT-X-TARGETDURATION": "target_duration_s",
    "EXT-X-MEDIA-SEQUENCE": "media_sequence",
    "EXT-X-DISCONTINUITY-SEQUENCE": "discontinuity_sequence",
}

_Fields = dict[str, object]
_T = TypeVar("_T")


def parse_media(text: str) -> MediaPlaylist:
    """Reads a media playlist, complete or delta update.

    Raises:
        BadPlaylist: not a playlist, a known tag that cannot be read, or a segment without EXTINF.
    """
    segments: list[_Fields] = []
    hints: list[_Fields] = []
    reports: list[_Fields] = []
    playlist: _Fields = {"segments": segments, "hints": hints, "reports": reports}
    parts: list[_Fields] = []
    segment: _Fields = {}
    for tag, value in _lines(text):
        match tag:
            case _ if tag in _PLAYLIST_TAGS:
                playlist[_PLAYLIST_TAGS[tag]] = value
            case "EXT-X-PART-INF":
                playlist["part_target_s"] = _attributes(value).get("PART-TARGET", "")
            case "EXT-X-SERVER-CONTROL":
                playlist["control"] = _attributes(value)
            case "EXT-X-SKIP":
                playlist["skipped_segments"] = _attributes(value).get("SKIPPED-SEGMENTS", "")
            case "EXT-X-ENDLIST":
                playlist["has_endlist"] = True
            case "EXT-X-PRELOAD-HINT":
                hints.append(_attributes(value))
            case "EXT-X-RENDITION-REPORT":
                reports.append(_attributes(value))
            case "EXT-X-PART":
                parts.append(_attributes(value))
            case "EXT-X-DISCONTINUITY":
                segment["is_discontinuity"] = True
            case "EXT-X-GAP":
                segment["is_gap"] = True
            case "EXT-X-MAP":
                segment["map_uri"] = _attributes(value).get("URI", 0)
            case "EXT-X-PROGRAM-DATE-TIME":
                segment["program_date_time_us"] = _date_us(value)
            case "EXTINF":
                segment["duration_s"] = value.partition(",")[0]
            case "":
                if "duration_s" not in segment:
                    raise BadPlaylist("a segment without EXTINF")
                segments.append({**segment, "uri": value, "parts": parts})
                segment, parts = {}, []
    if "duration_s" in segment:
        raise BadPlaylist("EXTINF without a segment")
    if parts or segment:
        segments.append({**segment, "parts": parts})
    return _convert(playlist, MediaPlaylist)


def parse_multivariant(text: str) -> tuple[Variant, ...]:
    """Reads the variants of a multivariant playlist.

    Raises:
        BadPlaylist: not a playlist, or a variant without BANDWIDTH or with values that cannot be read.
    """
    variants: list[Variant] = []
    attributes: _Fields | None = None
    for tag, value in _lines(text):
        if tag == "EXT-X-STREAM-INF":
            attributes = _attributes(value)
            if resolution := _RESOLUTION.fullmatch(str(attributes.pop("RESOLUTION", ""))):
                attributes["RESOLUTION"] = resolution.groups()
        elif tag == "" and attributes is not None:
            variants.append(_convert({**attributes, "URI": value}, Variant))
            attributes = None
    return tuple(variants)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """(tag, value) for each tag, ("", URI) for each URI; comments and empty lines are left out [4.1]."""
    if len(text) > MAX_PLAYLIST_CHARS:
        raise BadPlaylist("longer than any live playlist")
    lines = text.splitlines()
    if not lines or lines[0] != "#EXTM3U":
        raise BadPlaylist("does not begin with #EXTM3U")
    for line in lines[1:]:
        if match := _TAG.fullmatch(line):
            yield match[1], match[2]
        elif line and not line.startswith("#"):
            yield "", line


def _attributes(value: str) -> _Fields:
    """An attribute list [4.2]; the enumerated YES becomes True."""
    attributes: _Fields = {}
    at = 0
    while at < len(value):
        match = _ATTRIBUTE.match(value, at)
        if match is None or match[1] in attributes:
            raise BadPlaylist("a broken attribute list")
        attributes[match[1]] = match[2] if match[2] is not None else True if match[3] == "YES" else match[3]
        at = match.end()
    return attributes


def _date_us(value: str) -> int:
    """Microseconds of UTC of an ISO 8601 date [4.4.4.6]; one without zone counts as UTC."""
    try:
        date = datetime.datetime.fromisoformat(value)
    except ValueError as error:
        raise BadPlaylist("a broken EXT-X-PROGRAM-DATE-TIME") from error
    return (date.replace(tzinfo=date.tzinfo or datetime.UTC) - EPOCH) // MICROSECOND


def _convert(fields: _Fields, kind: type[_T]) -> _T:
    """The text values of a tag as a typed value."""
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadPlaylist(f"a broken {kind.__name__}") from error
