"""Access units -> parts -> segments: when to cut, what to call it, and what to say while nothing arrives.

The rules, with their numbers in draft-pantos-hls-rfc8216bis-22:

- PART-TARGET is chosen once, from the first pictures, and every part is 85 to 100 % of it but the last of its
  segment [4.4.4.9]. Decode times are therefore counted by a clock of our own: a sample's duration is the
  camera's wherever that fits, else it is cut to fit, and the next samples make up for it. Presentation times
  move along, by less than a part; nothing ever drifts, and durations always add up to the next decode time.
- A segment ends at a key frame, or without one when it would outgrow TARGETDURATION [6.2.1]. The first may be
  a single part: a player that knows no parts, such as ffmpeg, gives up on a playlist without a segment.
- Missing media becomes segments of GAP parts [6.2.1]. What comes after them, after a break of the timeline or
  with other parameters begins with a key frame, a DISCONTINUITY and, if need be, another MAP.
- Program dates follow the wall clock by small corrections and never go back by more than one [6.2.1].

A part is complete as soon as its last picture is here: that picture's duration is taken from those before it.
"""

from __future__ import annotations

from collections.abc import Callable

from camrelay import config
from camrelay.fanout.hls import fmp4, sound
from camrelay.fanout.hls.part_target import FirstUnits
from camrelay.fanout.hls.program_dates import ProgramDates
from camrelay.fanout.hls.segment import InitSection, Part, Segment
from camrelay.fanout.hls.sound import Soundtrack
from camrelay.model import CLOCK_RATE, AccessUnit, AudioCodec, AudioUnit, VideoParams

#: A part this full is complete whatever its duration: a camera with broken timestamps must not fill memory.
MAX_PART_SAMPLES = 600
MAX_PART_BYTES = 16_000_000
#: A GOP this much shorter than the wished segment is long enough, or jitter would join two into one.
_SHORT_GOP = 0.75
#: EXTINF is rounded before it is compared with TARGETDURATION [4.4.3.1]; jitter may use most of that.
_TARGET_SLACK = CLOCK_RATE * 2 // 5
#: Our clock may fall this far behind the camera's to keep parts in shape; a pause beyond it is skipped.
_MAX_LAG = CLOCK_RATE


class Segmenter:
    """Cuts one camera's access units.

    Args:
        options: the lengths to aim for.
        first_msn: media sequence number of the first segment.
        part_added: called with a segment and the part it just got.
        segment_completed: called with a segment that will get no more parts.
        is_first_short: whether the first segment ends with its first part.

    Attributes:
        part_target: PART-TARGET in ticks, 0 until it is chosen.
        params: of the segment that is being cut, None before the first one.
        init: what the next part will be decoded with, None before the first one.
        step: usual distance of two access units in ticks.
        next_part: the number that the next part will have, whatever segment it belongs to.
    """

    def __init__(
        self,
        options: config.Hls,
        first_msn: int,
        part_added: Callable[[Segment, Part], None],
        segment_completed: Callable[[Segment], None],
        *,
        is_first_short: bool = False,
    ) -> None:
        self._wish = round(options.segment_s * CLOCK_RATE)
        self._limit = options.target_duration_s * CLOCK_RATE + _TARGET_SLACK
        self._first = FirstUnits(
            options.part_ms * CLOCK_RATE // 1000, options.target_duration_s * CLOCK_RATE, MAX_PART_SAMPLES
        )
        self._part_added = part_added
        self._segment_completed = segment_completed
        self._is_first_short = is_first_short
        self.part_target = 0
        #: A part this long is long enough [4.4.4.9].
        self._min_part = 0
        self.params: VideoParams | None = None
        self.init: InitSection | None = None
        self.step = 0
        self._next_msn = first_msn
        self.next_part = 0
        self._segment: Segment | None = None
        #: Of the open segment: the camera's decode time where it began, and whether with a key frame.
        self._segment_dts = 0
        self._begins_with_key = False
        #: Whether the next segment begins with a DISCONTINUITY.
        self._is_break = False
        #: Whether the next segment that begins with a key frame does so, too.
        self._follows_break = False
        self._samples: list[fmp4.Sample] = []
        self._samples_bytes = 0
        self._part_duration = 0
        #: The newest access unit while its duration is unknown.
        self._pending: AccessUnit | None = None
        #: Our decode time of the pending access unit, or of the next one.
        self._clock = 0
        #: Decode time of the samples' first.
        self._part_clock = 0
        #: What the camera's decode times are ahead of ours for good.
        self._skipped = 0
        self._last_dts = 0
        self._dates = ProgramDates()
        self._awaits_key = True
        self._sound: Soundtrack | None = None

    @property
    def awaits_key(self) -> bool:
        """Whether access units are dropped until the next key frame."""
        return self._awaits_key

    def push(self, au: AccessUnit) -> None:
        """Takes the next access unit, in decoding order.

        Raises:
            BadParameterSet, UnsupportedCodec: there is no init section for it. The access unit is dropped.
        """
        if not self.part_target:
            self._choose_part_target(au)
        elif au.discontinuity or (au.params is not self.params and au.params != self.params):
            self._awaits_key = True
            if au.is_key:
                self._begin(au)
        elif not self._awaits_key:
            self._continue(au)
        elif au.is_key:
            self._begin(au)

    def push_sound(self, unit: AudioUnit) -> bool:
        """Takes the next sound; False for AAC that is left out. What is not AAC has no place here."""
        if self._sound is None or unit.params.codec is not AudioCodec.AAC:
            return True
        return self._sound.add(unit.pts - self._skipped, unit.data)

    def break_at_key_frame(self) -> None:
        """Begins the next segment that has a key frame first with a DISCONTINUITY: another stream broke."""
        self._follows_break = True

    def add_gap(self) -> None:
        """Says that one PART-TARGET passed without media. What follows waits for a key frame."""
        if self.init is None:
            return
        if self._segment is None or not self._segment.is_gap:
            self._finish_segment()
            self._segment = self._new_segment(is_gap=True)
        self._awaits_key = True
        self._add_part(self._segment, Part(self.next_part, self.part_target, False))
        self._clock += self.part_target
        if self._segment.duration + self.part_target > self._wish:
            self._complete(self._segment)

    def _choose_part_target(self, au: AccessUnit) -> None:
        """Collects the first access units until they tell the frame rate, then cuts them."""
        chosen = self._first.add(au)
        if chosen is not None:
            self.part_target, self.step = chosen
            self._min_part = self.part_target * 85 // 100 + 1
            units, self._first.units = self._first.units, []
            for unit in units:
                self.push(unit)

    def _begin(self, au: AccessUnit) -> None:
        """Begins what does not continue anything: `au` is a key frame and may have another time and MAP."""
        init = self.init
        if init is None or au.params != self.params:
            number = 0 if init is None else init.number + 1
            init = _init(number, au.params)
        if self.init is not None:
            self._finish_segment()
            self._is_break = True
        self._dates.begin(self._clock, au.dts, au.arrived_us)
        self.init, self.params = init, au.params
        self._clock, self._skipped, self._last_dts = au.dts, 0, au.dts
        self._awaits_key = False
        self._pending = au
        audio = au.params.audio
        self._sound = Soundtrack(audio, au.dts) if audio and audio.codec is AudioCodec.AAC else None

    def _continue(self, au: AccessUnit) -> None:
        """Takes an access unit that follows the one before it."""
        self.step = max(1, self.step + (min(au.dts - self._last_dts, 2 * self.step) - self.step) // 8)
        self._last_dts = au.dts
        self._settle(au.dts - self._skipped)
        lag = au.dts - self._skipped - self._clock
        if lag > _MAX_LAG:
            self._skipped += lag
            self._dates.skip(lag)
        if self._segment is not None and au.is_key and self._is_segment_due(self._segment, au):
            self._finish_segment()
        self._pending = au
        end = au.dts - self._skipped + self.step
        if self._is_part_full(self._part_duration + end - self._clock):
            self._settle(end)

    def _is_segment_due(self, segment: Segment, au: AccessUnit) -> bool:
        """Whether the open segment ends before the key frame `au`."""
        duration = segment.duration + self._part_duration
        return (
            duration >= self._wish * _SHORT_GOP or not self._begins_with_key or self._outgrows(duration, au)
        )

    def _outgrows(self, duration: int, au: AccessUnit) -> bool:
        """Whether one more part, from `au` on, might be too much for TARGETDURATION, in our time or real."""
        return max(duration, au.dts - self._segment_dts) + self.part_target > self._limit

    def _settle(self, end: int) -> None:
        """Makes the pending access unit a sample until `end` on our clock, if its part has room for that."""
        au = self._pending
        if au is None:
            return
        self._pending = None
        wanted = max(1, end - self._clock)
        room = self.part_target - self._part_duration
        if not self._samples:
            self._begin_part(au)
        is_outgrown = (
            len(self._samples) + 1 >= MAX_PART_SAMPLES or self._samples_bytes + len(au.data) >= MAX_PART_BYTES
        )
        duration = room if is_outgrown else min(wanted, room)
        self._samples.append(fmp4.Sample(au.data, duration, au.pts - au.dts, au.is_key))
        self._samples_bytes += len(au.data)
        self._part_duration += duration
        self._clock += duration
        if self._is_part_full(self._part_duration):
            self._close_part()

    def _begin_part(self, au: AccessUnit) -> None:
        """Makes room for a part whose first sample is `au`, in this segment or the next.

        Between key frames segments end only here, where a part ends anyway.
        """
        if self._segment is not None and self._outgrows(self._segment.duration, au):
            self._complete(self._segment)
        if self._segment is None:
            if au.is_key and self._follows_break:
                self._is_break = True
            if not self._is_break:
                self._dates.follow(self._clock, au.arrived_us)
            self._segment = self._new_segment(is_discontinuity=self._is_break)
            if self._is_break:
                self._is_break = self._follows_break = False
            self._segment_dts = au.dts
            self._begins_with_key = au.is_key
        self._part_clock = self._clock

    def _is_part_full(self, duration: int) -> bool:
        """Whether a part of this duration is long enough, and too long for one more access unit."""
        return duration >= self._min_part and duration + self.step > self.part_target

    def _close_part(self) -> None:
        assert self._segment is not None
        heard = None if self._sound is None else self._sound.take(self._clock)
        pieces = fmp4.fragment(self.next_part + 1, self._part_clock, self._samples, heard)
        is_independent = any(sample.is_key for sample in self._samples)
        part = Part(self.next_part, self._part_duration, is_independent, *pieces)
        self._samples, self._samples_bytes, self._part_duration = [], 0, 0
        self._add_part(self._segment, part)
        if part.number == 0 and self._is_first_short:
            self._complete(self._segment)

    def _add_part(self, segment: Segment, part: Part) -> None:
        self.next_part += 1
        segment.parts.append(part)
        segment.duration += part.duration
        self._part_added(segment, part)

    def _finish_segment(self) -> None:
        """Ends the open segment, if there is one, with whatever is still on its way into it."""
        if self._pending is not None:
            self._settle(self._pending.dts - self._skipped + self.step)
        if self._samples:
            self._close_part()
        if self._segment is not None:
            self._complete(self._segment)

    def _complete(self, segment: Segment) -> None:
        segment.is_complete = True
        self._segment = None
        self._segment_completed(segment)

    def _new_segment(self, *, is_discontinuity: bool = False, is_gap: bool = False) -> Segment:
        assert self.init is not None
        msn = self._next_msn
        self._next_msn += 1
        date_us = self._dates.at(self._clock)
        return Segment(msn, self.init, date_us, is_discontinuity=is_discontinuity, is_gap=is_gap)


def _init(number: int, params: VideoParams) -> InitSection:
    audio = params.audio
    if audio is None or audio.codec is not AudioCodec.AAC:
        return InitSection(number, fmp4.init_section(params), params.rfc6381)
    data = fmp4.init_section(params, sound.track(audio), sound.TRACK_ID)
    return InitSection(number, data, f"{params.rfc6381},mp4a.40.2")
