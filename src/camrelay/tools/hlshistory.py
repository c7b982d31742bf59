"""Rules for a playlist over time: H3 to H7 and H9 of the conformance list. Pure.

Feed it every version in the order of arrival. What it calls a failure cannot be seen in any single version.

One decision, as the draft leaves it open: a new part is due one PART-TARGET after the last (H6), but a part
exists only when the camera has sent its pictures. Networks hiccup, and to call each hiccup a gap would cost
viewers more than the hiccup does. So a part may be late by half a TARGETDURATION; silence beyond that is an
outage, which has to be filled with GAP parts. Segments have no such leave: 1.5 TARGETDURATIONs is what it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from camrelay.fanout.hls.playlist import MediaPlaylist, Segment
from camrelay.tools.hlsrules import ROUNDING_S, Failure

#: From the server's decision to the last byte here, on a machine that has other things to do as well.
DELIVERY_S = 0.25


class Record:
    """What is known of a segment from the first version that listed it."""

    __slots__ = ("discontinuity", "first_seen", "is_older", "is_removed", "longest_s", "segment")

    def __init__(self, segment: Segment, discontinuity: int, *, is_older: bool) -> None:
        self.segment = segment
        self.discontinuity = discontinuity
        #: Whether it was whole before anybody looked: then nobody knows since when.
        self.is_older = is_older
        #: When it was first listed as a whole, None while it is open or when that is not known.
        self.first_seen: float | None = None
        #: Of all playlists that listed it, in seconds.
        self.longest_s = 0.0
        self.is_removed = False


class History:
    """The versions so far of one media playlist."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}
        self._last: MediaPlaylist | None = None
        self._segment_at = 0.0
        self._part_at = 0.0

    def interrupt(self) -> None:
        """Says that the server was away: what follows may have nothing in common, but its numbers go on."""
        for record in self.records.values():
            record.is_removed, record.first_seen = True, None
        self._segment_at = self._part_at = 0.0

    def add(self, playlist: MediaPlaylist, at: float) -> Iterator[Failure]:
        """Compares a version, no delta update, with those before it.

        Args:
            at: when it arrived, monotonic seconds.
        """
        last = self._last
        if last is not None:
            yield from self._check_constants(last, playlist)
            yield from self._check_numbers(last, playlist)
        yield from self._check_segments(playlist, at)
        if last is not None:
            yield from self._check_removal(last, playlist)
            yield from self._check_pace(last, playlist, at)
        self._note_pace(last, playlist, at)
        self._last = playlist

    def available_until(self, msn: int) -> float | None:
        """When a segment that was listed may vanish [6.2.2].

        None while it is listed, when its server was away, and when nobody knows how old it is.
        """
        record = self.records[msn]
        if not record.is_removed or record.first_seen is None:
            return None
        return record.first_seen + record.segment.duration_s + record.longest_s

    def _check_constants(self, last: MediaPlaylist, new: MediaPlaylist) -> Iterator[Failure]:
        if new.target_duration_s != last.target_duration_s:
            yield Failure("H3", f"TARGETDURATION {last.target_duration_s} became {new.target_duration_s}")
        if new.part_target_s != last.part_target_s:
            yield Failure("H3", f"PART-TARGET {last.part_target_s} became {new.part_target_s}")
        if new.control != last.control:
            yield Failure("H5", "EXT-X-SERVER-CONTROL changed")
        if new.version != last.version:
            yield Failure("H5", "EXT-X-VERSION changed")
        if last.has_endlist:
            yield Failure("H9", "a new version after EXT-X-ENDLIST")

    def _check_numbers(self, last: MediaPlaylist, new: MediaPlaylist) -> Iterator[Failure]:
        if new.media_sequence < last.media_sequence:
            yield Failure("H4", f"MEDIA-SEQUENCE went back by {last.media_sequence - new.media_sequence}")
        if new.discontinuity_sequence < last.discontinuity_sequence:
            difference = last.discontinuity_sequence - new.discontinuity_sequence
            yield Failure("H4", f"DISCONTINUITY-SEQUENCE went back by {difference}")
        if self._segment_at and new.media_sequence > last.last_msn + 1:
            yield Failure("H4", "media sequence numbers were left out")
        if new.last_msn < last.last_msn:
            yield Failure("H5", "the newest segment vanished")

    def _check_segments(self, new: MediaPlaylist, at: float) -> Iterator[Failure]:
        """H4, H5: a number is one segment for good, and what is said of it is only ever added to."""
        discontinuity = new.discontinuity_sequence
        length_s = sum(segment.duration_s for segment in new.segments)
        for msn, segment in enumerate(new.segments, new.media_sequence):
            discontinuity += segment.is_discontinuity
            record = self.records.get(msn)
            if record is None or record.is_removed:
                is_older = not self._segment_at and bool(segment.uri)
                record = self.records[msn] = Record(segment, discontinuity, is_older=is_older)
            else:
                if discontinuity != record.discontinuity:
                    yield Failure("H4", f"segment {msn} changed its discontinuity sequence number")
                yield from _check_edit(msn, record.segment, segment)
                record.segment = segment
            if segment.uri and record.first_seen is None and not record.is_older:
                record.first_seen = at
            record.longest_s = max(record.longest_s, length_s)

    def _check_removal(self, last: MediaPlaylist, new: MediaPlaylist) -> Iterator[Failure]:
        removed = range(last.media_sequence, min(new.media_sequence, last.last_msn + 1))
        for msn in removed:
            self.records[msn].is_removed = True
        if removed and self._segment_at:
            length_s = sum(segment.duration_s for segment in new.segments)
            if length_s < 3 * new.target_duration_s - ROUNDING_S * len(new.segments):
                yield Failure("H7", f"segments were removed, {length_s:.3f} s remain")

    def _check_pace(self, last: MediaPlaylist, new: MediaPlaylist, at: float) -> Iterator[Failure]:
        target_s, part_target_s = new.target_duration_s, new.part_target_s or 0.0
        if self._segment_at and _last_complete(new) > _last_complete(last):
            late_s = at - self._segment_at - 1.5 * target_s - DELIVERY_S
            if late_s > 0:
                yield Failure("H6", f"segment {_last_complete(new)} came {late_s:.2f} s too late")
        if self._part_at and _grew(last, new):
            late_s = at - self._part_at - part_target_s - target_s / 2 - DELIVERY_S
            if late_s > 0:
                yield Failure("H6", f"a part came {late_s:.2f} s later than any hiccup excuses")

    def _note_pace(self, last: MediaPlaylist | None, new: MediaPlaylist, at: float) -> None:
        if last is None or not self._segment_at or _last_complete(new) > _last_complete(last):
            self._segment_at = at
        if last is None or not self._part_at or _grew(last, new):
            self._part_at = at


def _check_edit(msn: int, old: Segment, new: Segment) -> Iterator[Failure]:
    """H5: the edits that a listed segment may see [6.2.1]."""
    if old.uri and (new.uri, new.duration_s) != (old.uri, old.duration_s):
        yield Failure("H5", f"segment {msn} changed its URI or duration")
    if (new.program_date_time_us, new.is_discontinuity) != (old.program_date_time_us, old.is_discontinuity):
        yield Failure("H5", f"segment {msn} changed its date or DISCONTINUITY")
    if old.map_uri and new.map_uri and new.map_uri != old.map_uri:
        yield Failure("H5", f"segment {msn} changed its MAP")
    if old.is_gap and not new.is_gap:
        yield Failure("H5", f"segment {msn} is no gap any more")
    if new.parts != old.parts[len(old.parts) - len(new.parts) :] and new.parts[: len(old.parts)] != old.parts:
        yield Failure("H5", f"segment {msn} changed its parts")


def _last_complete(playlist: MediaPlaylist) -> int:
    is_open = bool(playlist.segments) and not playlist.segments[-1].uri
    return playlist.last_msn - is_open


def _grew(last: MediaPlaylist, new: MediaPlaylist) -> bool:
    """Whether a part was added."""
    if new.last_msn != last.last_msn:
        return True
    return bool(new.segments) and len(new.segments[-1].parts) > len(last.segments[-1].parts)
