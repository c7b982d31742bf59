"""What a live playlist lists of the segments so far, how long the rest stays fetchable, and the text of it.

The rules, with their numbers in draft-pantos-hls-rfc8216bis-22:

- Segments leave in order, one media sequence number each, never below three TARGETDURATIONs [6.2.2].
- Parts are listed at most three TARGETDURATIONs from the end and stay fetchable for as long again [6.2.2].
- A segment stays fetchable, from its first appearance, for its duration and the longest playlist's [6.2.2].
- A discontinuity is counted when the segment that has it leaves [4.4.3.3].
- PART-HOLD-BACK is three PART-TARGETs, the longest of the camera's streams [4.4.3.8].

Names carry a prefix unlike any other listing's and a running number, and are never used again. Parts are
numbered through all segments, so a hint at the next part is right whatever segment it will belong to.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from camrelay import config
from camrelay.fanout.hls import playlist
from camrelay.fanout.hls.peak import Peak
from camrelay.fanout.hls.segment import InitSection, Part, Segment
from camrelay.model import CLOCK_RATE

#: A camera at 20 Mb/s fills this in about the half minute that parts and segments stay fetchable. Beyond it
#: the oldest go early: memory comes before [6.2.2].
MAX_BYTES = 80_000_000
#: Players want parts within PART-HOLD-BACK of the end; these segments are more than that, and every line of a
#: playlist is sent to every viewer several times a second.
_SEGMENTS_WITH_PARTS = 3


class Beside(NamedTuple):
    """What a playlist says because of other streams: where they are, their longest PART-TARGET in ticks."""

    reports: tuple[playlist.RenditionReport, ...] = ()
    part_target: int = 0


class _Entry:
    """A listed segment: `begin` in ticks since the first one, text and times as far as they are known."""

    __slots__ = ("begin", "completed_at", "parts_unlisted_at", "segment", "starts_map", "text")

    def __init__(self, segment: Segment, begin: int, *, starts_map: bool) -> None:
        self.segment = segment
        self.begin = begin
        self.starts_map = starts_map
        self.completed_at = 0.0
        #: When its EXT-X-PART tags left the playlist, None while they are listed.
        self.parts_unlisted_at: float | None = None
        #: Its lines in the playlist, None while they may still change.
        self.text: str | None = None


class Listing:
    """The segments of one camera.

    Args:
        options: lengths and limits.
        discontinuity_sequence: discontinuity sequence number of the first segment.
        prefix: of all names.
    """

    def __init__(self, options: config.Hls, discontinuity_sequence: int, prefix: str) -> None:
        self._target_s = options.target_duration_s
        self._target = options.target_duration_s * CLOCK_RATE
        self._window_segments = options.window_segments
        self._prefix = prefix
        boundary_s = 6 * self._target_s
        #: CAN-SKIP-UNTIL [4.4.3.8], None where playlists are too short to have anything beyond it.
        self._skip_boundary_s = (
            boundary_s if options.window_segments * options.segment_s > boundary_s else None
        )
        self._entries: deque[_Entry] = deque()
        self._retired: deque[tuple[float, Segment]] = deque()
        self._discontinuity_sequence = discontinuity_sequence
        self._held_bytes = 0
        #: Ticks of all parts so far.
        self._end = 0
        self._longest_s = 0.0
        self._peak = Peak(options.target_duration_s)

    def __bool__(self) -> bool:
        """Whether there is anything to list."""
        return bool(self._entries)

    @property
    def newest(self) -> Segment:
        """The segment that got the last part."""
        return self._entries[-1].segment

    @property
    def newest_discontinuity(self) -> int:
        """The discontinuity sequence number of the newest segment."""
        return self._discontinuity_sequence + sum(e.segment.is_discontinuity for e in self._entries)

    @property
    def oldest(self) -> Segment:
        """The oldest segment that is still fetchable."""
        return self._retired[0][1] if self._retired else self._entries[0].segment

    def begin_at(self, discontinuity_sequence: int) -> None:
        """Numbers discontinuities from here on; only while nothing is listed."""
        self._discontinuity_sequence = discontinuity_sequence

    def add(self, segment: Segment, part: Part, now: float) -> None:
        """Lists a part that was just added to its segment, and the segment with its first part."""
        entries = self._entries
        if not entries or entries[-1].segment is not segment:
            starts_map = bool(entries) and entries[-1].segment.init is not segment.init
            entries.append(_Entry(segment, self._end, starts_map=starts_map))
        self._end += part.duration
        self._held_bytes += part.size_bytes
        self._longest_s = max(self._longest_s, (self._end - entries[0].begin) / CLOCK_RATE)
        self._unlist_parts(now)

    def complete(self, segment: Segment, now: float) -> list[Segment]:
        """Lists the segment as a whole.

        Returns:
            The segments that may be forgotten with all their parts.
        """
        self._entries[-1].completed_at = now
        self._unlist_parts(now)
        if segment.is_gap:
            self._peak.interrupt()
        else:
            self._peak.add(segment.duration / CLOCK_RATE, segment.size_bytes)
        while len(self._entries) > 1 and self._is_full():
            self._retire(now)
        forgotten = []
        while self._retired and (self._retired[0][0] <= now or self._held_bytes > MAX_BYTES):
            segment = self._retired.popleft()[1]
            self._held_bytes -= segment.size_bytes
            forgotten.append(segment)
        return forgotten

    def has(self, msn: int, part: int | None) -> bool:
        """Whether the playlist has segment `msn`, or that part of it, or a later one [6.2.5.2].

        A part beyond a segment's last stands for the first part of the next segment.
        """
        if self.newest.msn != msn:
            return self.newest.msn > msn
        return self.newest.is_complete if part is None else len(self.newest.parts) > part

    def is_too_far(self, msn: int, part: int | None, part_target: int) -> bool:
        """Whether that is further ahead than a client has reason to wait for [6.2.5.2]."""
        newest = self.newest
        last_complete = newest.msn if newest.is_complete else newest.msn - 1
        if msn > last_complete + 2:
            return True
        if part is None or msn < newest.msn:
            return False
        limit = 3 * CLOCK_RATE // part_target if part_target < CLOCK_RATE else 3
        last_part = len(newest.parts) - 1 if msn == newest.msn else -1
        return part - last_part > limit

    @property
    def skippable(self) -> int:
        """How many segments lie beyond the skip boundary, seen from the end of the last one [6.2.5.1]."""
        if self._skip_boundary_s is None:
            return 0
        limit = self._end - self._skip_boundary_s * CLOCK_RATE
        return sum(entry.begin + entry.segment.duration < limit for entry in self._entries)

    def media(
        self,
        *,
        skipped: int,
        part_target: int,
        next_part: int,
        beside: Beside = Beside(),  # noqa: B008 - nothing in it changes
    ) -> str:
        """The media playlist of this moment, without its first `skipped` segments."""
        part_target_s = part_target / CLOCK_RATE
        frame = playlist.MediaPlaylist(
            version=9 if skipped else 6,  # what EXT-X-SKIP needs, else EXT-X-MAP [8]
            target_duration_s=self._target_s,
            part_target_s=part_target_s,
            control=playlist.ServerControl(
                can_block_reload=True,
                can_skip_until_s=self._skip_boundary_s,
                hold_back_s=3.0 * self._target_s,
                part_hold_back_s=3 * max(part_target, beside.part_target) / CLOCK_RATE,
            ),
            media_sequence=self._entries[0].segment.msn,
            discontinuity_sequence=self._discontinuity_sequence,
            skipped_segments=skipped,
            segments=(),
            hints=(playlist.PreloadHint("PART", self.part_name(next_part)),),
            reports=beside.reports,
        )
        texts = [playlist.serialize_head(frame)]
        for i, entry in enumerate(self._entries):
            if i >= skipped:
                texts.append(self._text(entry, is_first=i == skipped))
        texts.append(playlist.serialize_tail(frame))
        return "".join(texts)

    def report(self, uri: str) -> playlist.RenditionReport:
        """How far this playlist is, for those beside it [4.4.5.4]."""
        return playlist.RenditionReport(uri, self.newest.msn, len(self.newest.parts) - 1)

    def variant(self, uri: str, *, resolution: tuple[int, int], frame_rate: float) -> playlist.Variant:
        """What the multivariant playlist says: bit rates measured, codecs listed [4.4.6.2]."""
        segments = [entry.segment for entry in self._entries]
        bits = 8 * sum(segment.size_bytes for segment in segments)
        average_bps = max(1, bits * CLOCK_RATE // sum(segment.duration for segment in segments))
        return playlist.Variant(
            uri,
            bandwidth_bps=max(math.ceil(self._peak.bps), average_bps),
            average_bandwidth_bps=average_bps,
            codecs=",".join(
                dict.fromkeys(codec for each in reversed(segments) for codec in each.init.codecs.split(","))
            ),
            resolution=resolution,
            frame_rate=round(frame_rate, 3),
        )

    def init_name(self, init: InitSection) -> str:
        """Of an init section."""
        return f"{self._prefix}i{init.number}.mp4"

    def part_name(self, number: int) -> str:
        """Of a part, made or yet to be made."""
        return f"{self._prefix}p{number}.m4s"

    def segment_name(self, segment: Segment) -> str:
        """Of a segment."""
        return f"{self._prefix}s{segment.msn}.m4s"

    def _unlist_parts(self, now: float) -> None:
        """Takes the parts out of segments away from the live edge, all of a segment's at once."""
        # After a complete segment the hinted part begins one more.
        newest = len(self._entries) - _SEGMENTS_WITH_PARTS + self.newest.is_complete
        for i, entry in enumerate(self._entries):
            is_away = i < newest or entry.begin < self._end - 3 * self._target
            if is_away and entry.parts_unlisted_at is None:
                entry.parts_unlisted_at, entry.text = now, None

    def _is_full(self) -> bool:
        complete = len(self._entries) - (not self.newest.is_complete)
        if self._held_bytes > MAX_BYTES and not self._retired:
            return complete > 1
        remaining = self._end - self._entries[1].begin
        return complete > self._window_segments and remaining >= 3 * self._target

    def _retire(self, now: float) -> None:
        entry = self._entries.popleft()
        if entry.segment.is_discontinuity:
            self._discontinuity_sequence += 1
        unlisted_at = now if entry.parts_unlisted_at is None else entry.parts_unlisted_at
        expires_at = max(
            entry.completed_at + entry.segment.duration / CLOCK_RATE + self._longest_s,
            unlisted_at + 3 * self._target_s,
        )
        self._retired.append((expires_at, entry.segment))

    def _text(self, entry: _Entry, *, is_first: bool) -> str:
        """The lines of one segment. The first one listed names its MAP even if it did not begin it."""
        if entry.text is not None and (entry.starts_map or not is_first):
            return entry.text
        segment = entry.segment
        parts = segment.parts if entry.parts_unlisted_at is None else []
        text = playlist.serialize_segment(
            playlist.Segment(
                uri=self.segment_name(segment) if segment.is_complete else "",
                duration_s=segment.duration / CLOCK_RATE,
                parts=tuple(map(self._part, parts)),
                map_uri=self.init_name(segment.init) if entry.starts_map or is_first else None,
                program_date_time_us=segment.date_us,
                is_discontinuity=segment.is_discontinuity,
                is_gap=segment.is_gap,
            )
        )
        if segment.is_complete and (entry.starts_map or not is_first):
            entry.text = text
        return text

    def _part(self, part: Part) -> playlist.Part:
        return playlist.Part(
            uri=self.part_name(part.number),
            duration_s=part.duration / CLOCK_RATE,
            is_independent=part.is_independent,
            is_gap=part.is_gap,
        )
