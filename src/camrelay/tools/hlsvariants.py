"""Rules that the media playlists of one camera keep together: H17 and H20 of the conformance list. Pure.

They are read one after the other while all of them grow, so what is said about another playlist is compared
with what was seen of it a while ago.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from urllib.parse import urljoin

from camrelay.fanout.hls.playlist import MediaPlaylist
from camrelay.tools.hlsrules import Failure

#: A report may be as old as the version that it stands in, and both take their time to get here.
REPORT_S = 2.0
#: Longest GOP after which a stream must have repeated the discontinuity of another one, in TARGETDURATIONs.
_APART_TARGETS = 3
#: Versions of a playlist that are remembered: more than REPORT_S of them.
_REMEMBERED = 100


class _Seen:
    """What is known of one playlist: (monotonic seconds, newest segment, its parts), and the last version."""

    def __init__(self) -> None:
        self.positions: deque[tuple[float, int, int]] = deque(maxlen=_REMEMBERED)
        self.last: MediaPlaylist | None = None


class Variants:
    """The media playlists of one camera, as they were seen so far."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._apart_since: float | None = None

    def interrupt(self) -> None:
        """The server was away: the playlists that it serves from now on have other URLs."""
        self._seen.clear()
        self._apart_since = None

    def add(self, url: str, playlist: MediaPlaylist, at: float) -> Iterator[Failure]:
        """Takes a version of the playlist at `url`, seen at `at` (monotonic seconds)."""
        seen = self._seen.setdefault(url, _Seen())
        seen.last = playlist
        parts = len(playlist.segments[-1].parts) if playlist.segments else 0
        seen.positions.append((at, playlist.last_msn, parts))
        yield from self._check_reports(url, playlist, at)
        yield from self._check_likeness(playlist, at)

    def _check_reports(self, url: str, playlist: MediaPlaylist, at: float) -> Iterator[Failure]:
        for report in playlist.reports:
            other = self._seen.get(urljoin(url, report.uri))
            if report.last_part is None:
                yield Failure("H17", "a report without LAST-PART")
            positions = other.positions if other is not None else ()
            known = [(msn, parts) for then, msn, parts in positions if then < at - REPORT_S]
            if known and (report.last_msn, (report.last_part or 0) + 1) < known[-1]:
                yield Failure(
                    "H17", f"reports segment {report.last_msn}, {known[-1][0]} was there long before"
                )

    def _check_likeness(self, playlist: MediaPlaylist, at: float) -> Iterator[Failure]:
        others = [seen.last for seen in self._seen.values() if seen.last and seen.last is not playlist]
        for other in others:
            if other.target_duration_s != playlist.target_duration_s:
                yield Failure("H20", "variants with different TARGETDURATIONs")
            if _offers(other) != _offers(playlist):
                yield Failure("H20", "variants with different SERVER-CONTROL")
        if all(_discontinuity(other) == _discontinuity(playlist) for other in others):
            self._apart_since = None
        elif self._apart_since is None:
            self._apart_since = at
        elif at - self._apart_since > _APART_TARGETS * playlist.target_duration_s:
            yield Failure("H20", "variants with different discontinuity sequence numbers")


def _offers(playlist: MediaPlaylist) -> tuple[bool, float | None] | None:
    control = playlist.control
    return None if control is None else (control.can_block_reload, control.can_skip_until_s)


def _discontinuity(playlist: MediaPlaylist) -> int:
    """The number of the newest segment."""
    return playlist.discontinuity_sequence + sum(segment.is_discontinuity for segment in playlist.segments)
