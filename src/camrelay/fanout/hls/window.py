"""HLS of one stream: takes access units from the hub, keeps the bytes of what is listed, wakes who waits.

Responses are made when the first viewer asks for them, once for all who ask: those of parts and segments, and
every version of a playlist. Who waits is told once the access unit is dealt with, in groups that leave
everybody else a turn.
"""

from __future__ import annotations

import asyncio
import logging
import math
import zlib
from collections.abc import Callable, Sequence
from functools import partial

from camrelay import config, metrics
from camrelay.errors import (
    BadRequest,
    CamrelayError,
    NotFound,
    StreamNotReady,
)
from camrelay.fanout.hls.listing import Beside, Listing
from camrelay.fanout.hls.playlist import RenditionReport, Variant
from camrelay.fanout.hls.release import release
from camrelay.fanout.hls.response import Content, content
from camrelay.fanout.hls.segment import InitSection, Part, Segment
from camrelay.fanout.hls.segmenter import Segmenter
from camrelay.fanout.hls.waiting import Pending, WaitingRoom
from camrelay.model import (
    CLOCK_RATE,
    AccessUnit,
    AudioUnit,
    CameraId,
    CameraState,
    CameraStatus,
)

logger = logging.getLogger("camrelay.fanout")

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
MEDIA_TYPE = "video/mp4"
#: The media playlist of a stream; everything it names lies beside it.
PLAYLIST_NAME = "stream.m3u8"

#: Requests of one camera that may wait at once. A player has one for the playlist and one for the next part.
MAX_WAITERS = 20_000
#: Requests whose answer is remembered until the next part. There are few different ones, from honest players.
_MAX_ANSWERS = 256
#: A camera whose pictures are of no use sends many of them; one line in this time says so.
_COMPLAINT_S = 60.0
#: How often the window looks at its clock before PART-TARGET says how often.
_IDLE_TICK_S = 0.5


class Window:
    """What viewers of one stream can fetch; an output of its hub.

    Args:
        camera: whose.
        options: lengths and limits.
        is_public: whether shared caches may keep what is served.
        first_msn: media sequence number of the first segment.
        first_discontinuity: discontinuity sequence number of the first segment.
        discontinuity_listed: called with the sequence number of each later one. A later window of this camera
            needs larger numbers of both kinds, so that neither goes back for viewers that stay.
        stood_down: called when the camera goes to rest: what this window lists is not what its next viewer
            should begin with.
        prefix: of all names, unlike that of any other window.
        beside: what playlists say because of the camera's other streams.

    Attributes:
        answers: what requests were answered since the newest part, for `remember`.
    """

    def __init__(
        self,
        camera: CameraId,
        options: config.Hls,
        *,
        is_public: bool,
        first_msn: int,
        first_discontinuity: int,
        discontinuity_listed: Callable[[int], None],
        stood_down: Callable[[], None],
        prefix: str,
        beside: Callable[[], Beside] = Beside,
    ) -> None:
        self.camera = camera
        self._target_s = options.target_duration_s
        self._is_public = is_public
        self._discontinuity_listed = discontinuity_listed
        self._stood_down = stood_down
        self._beside = beside
        self._loop = asyncio.get_running_loop()
        self._listing = Listing(options, first_discontinuity, prefix)
        self._segmenter = Segmenter(
            options, first_msn, self._part_added, self._segment_completed, is_first_short=True
        )
        #: What can be fetched, by name, and what of it somebody has fetched.
        self._media: dict[str, Sequence[InitSection | Part]] = {}
        self._contents: dict[str, Content] = {}
        self._playlists: dict[tuple[int, bool, int], Content] = {}
        self._room = WaitingRoom[Content](MAX_WAITERS)
        self.answers: dict[tuple[bytes, bool], Content | Pending[Content]] = {}
        self._is_changed = False
        self._is_live = True
        #: Whether the camera is offline, as far as this stream knows.
        self.is_away = False
        #: When the first part was listed, on the loop's clock.
        self.listing_since_s = math.inf
        #: Until then nothing more is logged of access units that are of no use.
        self._silent_until = 0.0
        #: Without a usable access unit until then, the camera's silence becomes a gap.
        self._gap_at = math.inf
        #: How late it may be; 0 until PART-TARGET is chosen, which does not change.
        self._grace_s = 0.0
        #: When what is listed ends, on the loop's clock.
        self._end_at = 0.0
        self._timer = self._loop.call_later(_IDLE_TICK_S, self._tick)

    def access_unit(self, au: AccessUnit) -> None:
        """Takes the camera's newest access unit."""
        try:
            self._segmenter.push(au)
        except CamrelayError as error:
            if self._loop.time() >= self._silent_until:
                self._silent_until = self._loop.time() + _COMPLAINT_S
                logger.warning("not for HLS: %s", error, extra={"camera": self.camera})
        if self._segmenter.part_target and not self._segmenter.awaits_key:
            # The next part is on its way: a gap now would throw away what it has so far.
            self._grace_s = self._grace_s or self._grace()
            self._gap_at = self._loop.time() + self._grace_s
        if self._is_changed:
            self._announce()

    def sound(self, unit: AudioUnit) -> None:
        """Takes the camera's newest sound, which leaves with the next part."""
        if not self._segmenter.push_sound(unit):
            metrics.camera_dropped_access_units.labels(self.camera, "sound").inc()

    def status(self, status: CameraStatus) -> None:
        """Learns whether pictures are to be expected: without them, gaps begin at once."""
        self._is_live = status.state is CameraState.LIVE
        self.is_away = status.state is CameraState.OFFLINE
        if not self._is_live:
            self._gap_at = min(self._gap_at, self._loop.time())
        if self._listing:
            if status.state is CameraState.STANDBY:
                self._stood_down()
        elif self.is_away:
            self._tell(self._room.all(), StreamNotReady("the camera is not live"))

    def close(self) -> None:
        """Ends it: who waits, and who asks later, learns that there is nothing here any more."""
        self._timer.cancel()
        self._tell(self._room.all(), NotFound("the camera was removed"))

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._room.count

    def remember(self, request: tuple[bytes, bool], answer: Content | Pending[Content]) -> None:
        """Keeps what a request was answered, until something changes: most ask for the same."""
        if len(self.answers) < _MAX_ANSWERS:
            self.answers[request] = answer

    @property
    def is_listing(self) -> bool:
        """Whether there is a first part."""
        return bool(self._listing)

    @property
    def part_target(self) -> int:
        """PART-TARGET in ticks, 0 until it is chosen."""
        return self._segmenter.part_target

    @property
    def discontinuity(self) -> int:
        """The discontinuity sequence number of the newest segment, or of the first one to come."""
        return self._listing.newest_discontinuity

    def catch_up(self, discontinuity: int) -> None:
        """Comes up to a number that another stream has reached, one at the next key frame."""
        if not self._listing:
            self._listing.begin_at(discontinuity)
        elif self.discontinuity < discontinuity:
            self._segmenter.break_at_key_frame()

    def report(self, uri: str) -> RenditionReport:
        """How far the playlist is, for those of other streams."""
        return self._listing.report(uri)

    def variant(self, uri: str) -> Variant:
        """What the multivariant playlist says of this stream."""
        params = self._segmenter.params
        assert params is not None
        return self._listing.variant(
            uri,
            resolution=(params.width, params.height),
            frame_rate=CLOCK_RATE / self._segmenter.step,
        )

    def media(self, *, gzip: bool, skip: bool = False) -> Content | Pending[Content]:
        """The media playlist of this moment, as soon as there is a first part; a delta update if wanted.

        Raises:
            StreamNotReady: the camera is offline.
        """
        make = partial(self._playlist, skip, gzip, max(1, self._target_s // 2))
        return make() if self._listing else self._first_part(make)

    def reload(
        self, msn: int, part: int | None, *, gzip: bool, skip: bool = False
    ) -> Content | Pending[Content]:
        """The media playlist once it has segment `msn`, or with `part` that part of it, or a later one.

        Raises:
            BadRequest: that is further ahead than a client has reason to ask for.
            StreamNotReady: there is no playlist yet, and none is expected.
        """
        make = partial(self._playlist, skip, gzip, 6 * self._target_s)
        if not self._listing:
            return self._first_part(make)
        if self._listing.is_too_far(msn, part, self._segmenter.part_target):
            raise BadRequest("_HLS_msn or _HLS_part is too far ahead")
        if self._listing.has(msn, part):
            return make()
        return self.expect(lambda: self._listing.has(msn, part), make)

    def resource(self, name: str) -> Content | Pending[Content]:
        """An init section, part or segment; the part that is hinted at as soon as it is there (§6.2.6).

        Raises:
            NotFound: it is gone, never was, or is a gap.
        """
        number = self._segmenter.next_part
        if name not in self._media and name == self._listing.part_name(number):
            return self.expect(lambda: self._segmenter.next_part > number, partial(self._made, name))
        return self._made(name)

    def _made(self, name: str) -> Content:
        if name not in self._contents:
            media = self._media.get(name)
            if media is None:
                raise NotFound("no such part, segment or init section")
            # Names are never used again, and after three TARGETDURATIONs nobody asks for them.
            body = tuple(each.data for each in media)
            self._contents[name] = content(MEDIA_TYPE, body, self._cache_control(3 * self._target_s))
        return self._contents[name]

    def _first_part(self, make: Callable[[], Content]) -> Pending[Content]:
        if self.is_away:
            raise StreamNotReady("the camera is not live")
        return self.expect(lambda: bool(self._listing), make)

    def expect(self, is_met: Callable[[], bool], make: Callable[[], Content]) -> Pending[Content]:
        """What comes when the condition holds, given up after three TARGETDURATIONs (rfc8216bis §6.2.5.2)."""
        return Pending(self._room, is_met, make, self._loop.time() + 3 * self._target_s)

    def _part_added(self, segment: Segment, part: Part) -> None:
        now = self._loop.time()
        self._listing.add(segment, part, now)
        self.listing_since_s = min(self.listing_since_s, now)
        if len(segment.parts) == 1:
            self._media[self._listing.init_name(segment.init)] = (segment.init,)
            if segment.is_discontinuity:
                self._discontinuity_listed(self._listing.newest_discontinuity)
        if not part.is_gap:
            self._media[self._listing.part_name(part.number)] = (part,)
            self._end_at = now
        self._is_changed = True

    def _segment_completed(self, segment: Segment) -> None:
        if not segment.is_gap:
            self._media[self._listing.segment_name(segment)] = segment.parts
        for forgotten in self._listing.complete(segment, self._loop.time()):
            self._forget(self._listing.segment_name(forgotten))
            for part in forgotten.parts:
                self._forget(self._listing.part_name(part.number))
            if forgotten.init is not self._listing.oldest.init:
                self._forget(self._listing.init_name(forgotten.init))
        self._is_changed = True

    def _forget(self, name: str) -> None:
        self._media.pop(name, None)
        self._contents.pop(name, None)

    def _grace(self) -> float:
        """How long a live camera may be late before its silence is called a gap.

        A gap costs viewers everything up to the next key frame, and networks hiccup. But the open segment may
        be TARGETDURATION old, and half of one later another has to be listed (rfc8216bis §6.2.1).
        """
        part_target_s = self._segmenter.part_target / CLOCK_RATE
        return max(2 * part_target_s, self._target_s / 2 - 0.4 - part_target_s)

    def _tick(self) -> None:
        now = self._loop.time()
        part_target_s = self._segmenter.part_target / CLOCK_RATE
        self._timer = self._loop.call_later(part_target_s or _IDLE_TICK_S, self._tick)
        if part_target_s and now >= self._gap_at:
            self._add_gaps(now, part_target_s)
        overdue = self._room.overdue(now)
        if overdue:
            self._tell(overdue, StreamNotReady("the camera did not deliver in time"))
        self._announce()

    def _add_gaps(self, now: float, part_target_s: float) -> None:
        """Fills the time since the last part, or as much of it as anybody may still remember."""
        self._end_at = max(self._end_at, now - 3 * self._target_s)
        while self._end_at + part_target_s <= now:
            self._end_at += part_target_s
            self._segmenter.add_gap()

    def _announce(self) -> None:
        """Makes the new version the current one and wakes who waited for it, once."""
        if not self._is_changed:
            return
        self._is_changed = False
        self._playlists.clear()
        self._tell(self._room.met())

    def _tell(self, over: list[Pending[Content]], error: CamrelayError | None = None) -> None:
        """Ends waits, and forgets what was answered so far."""
        self.answers.clear()
        release(over, error)

    def _playlist(self, skip: bool, gzip: bool, max_age_s: int) -> Content:
        skipped = self._listing.skippable if skip else 0
        key = (skipped, gzip, max_age_s)
        if key not in self._playlists:
            self._playlists[key] = self._render(*key)
        return self._playlists[key]

    def _render(self, skipped: int, gzip: bool, max_age_s: int) -> Content:
        text = self._listing.media(
            skipped=skipped,
            part_target=self._segmenter.part_target,
            next_part=self._segmenter.next_part,
            beside=self._beside(),
        )
        headers = [self._cache_control(max_age_s), "Vary: Accept-Encoding"]
        body = text.encode()
        if gzip:
            compressor = zlib.compressobj(wbits=31)
            body = compressor.compress(body) + compressor.flush()
            headers.append("Content-Encoding: gzip")
        return content(PLAYLIST_TYPE, (body,), *headers)

    def _cache_control(self, max_age_s: int) -> str:
        return f"Cache-Control: public, max-age={max_age_s}" if self._is_public else _PRIVATE


_PRIVATE = "Cache-Control: private, no-store"
