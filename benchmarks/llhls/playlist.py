"""What a player reads in playlists (rfc8216bis), and what it asks for next.

Written from the draft and not from camrelay's own code: a mistake shared by both sides would not be seen.
"""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple


class Piece(NamedTuple):
    """A part, or a whole segment where `part` is -1. Duration in seconds."""

    msn: int
    part: int
    uri: str
    duration_s: float
    is_independent: bool
    is_gap: bool


class Playlist(NamedTuple):
    """A media playlist. `pieces` are the parts; `segments` the whole segments."""

    target_duration_s: float
    part_target_s: float
    part_hold_back_s: float
    can_block: bool
    segments: tuple[Piece, ...]
    pieces: tuple[Piece, ...]
    #: Media sequence number of the segment that comes after the last whole one.
    open_msn: int
    is_ended: bool

    @property
    def next_part(self) -> tuple[int, int]:
        """(media sequence number, part) a blocked reload waits for: the first not listed."""
        if self.pieces and self.pieces[-1].msn == self.open_msn:
            return self.open_msn, self.pieces[-1].part + 1
        return self.open_msn, 0

    def after(self, last: tuple[int, int]) -> tuple[Piece, ...]:
        """The parts behind (media sequence number, part); there are few."""
        index = len(self.pieces)
        while index and self.pieces[index - 1][:2] > last:
            index -= 1
        return self.pieces[index:]


class BadPlaylist(Exception):
    """A body that is no playlist."""


_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')


def attributes(text: str) -> dict[str, str]:
    """An attribute list (rfc8216bis §4.2), quotes removed."""
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(text)}


def first_variant(text: str) -> str:
    """The URI of the first variant of a multivariant playlist, "" when it is a media playlist."""
    lines = _lines(text)
    for tag, uri in itertools.pairwise(lines):
        if tag.startswith("#EXT-X-STREAM-INF:"):
            return uri
    return ""


def parse(text: str) -> Playlist:
    """Reads a media playlist.

    Raises:
        BadPlaylist: it is none.
    """
    target = part_target = hold_back = 0.0
    can_block = is_ended = is_gap = False
    msn = part = 0
    duration = 0.0
    segments: list[Piece] = []
    parts: list[Piece] = []
    for line in _lines(text):
        name, _, value = line.partition(":")
        if name == "#EXT-X-PART":
            found = attributes(value)
            independent = found.get("INDEPENDENT") == "YES"
            gap = found.get("GAP") == "YES"
            parts.append(Piece(msn, part, found["URI"], float(found["DURATION"]), independent, gap))
            part += 1
        elif name == "#EXTINF":
            duration = float(value.split(",")[0])
        elif name == "#EXT-X-GAP":
            is_gap = True
        elif not line.startswith("#"):
            segments.append(Piece(msn, -1, line, duration, True, is_gap))
            msn, part, is_gap = msn + 1, 0, False
        elif name == "#EXT-X-TARGETDURATION":
            target = float(value)
        elif name == "#EXT-X-MEDIA-SEQUENCE":
            msn = int(value)
        elif name == "#EXT-X-PART-INF":
            part_target = float(attributes(value)["PART-TARGET"])
        elif name == "#EXT-X-SERVER-CONTROL":
            found = attributes(value)
            can_block = found.get("CAN-BLOCK-RELOAD") == "YES"
            hold_back = float(found.get("PART-HOLD-BACK", 0))
        elif name == "#EXT-X-ENDLIST":
            is_ended = True
    if not target:
        raise BadPlaylist("no EXT-X-TARGETDURATION")
    return Playlist(target, part_target, hold_back, can_block, tuple(segments), tuple(parts), msn, is_ended)


def start(pieces: tuple[Piece, ...], hold_back_s: float) -> int:
    """Where playback begins: the last independent piece with at least `hold_back_s` from its start to the
    end.

    Returns:
        Its index; of the first independent piece when none is that far back; 0 when none is independent.
    """
    behind = 0.0
    first = 0
    for index in range(len(pieces) - 1, -1, -1):
        behind += pieces[index].duration_s
        if pieces[index].is_independent:
            first = index
            if behind >= hold_back_s:
                break
    return first


def _lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line]
    if not lines or lines[0] != "#EXTM3U":
        raise BadPlaylist("no #EXTM3U")
    return lines
