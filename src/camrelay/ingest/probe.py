"""Plays a camera for some seconds: `python -m camrelay.ingest.probe`, a feed.Start in, a Report out.

It plays with the client of the ingest workers, so it can do nothing that they cannot. A process of its own
all the same: the picture in the report is decoded here, once the camera has been let go.
"""

from __future__ import annotations

import time

import msgspec

from camrelay.errors import BadNalUnit, BadParameterSet, SourceError, StreamInterrupted
from camrelay.ingest.client import Client
from camrelay.ingest.codecs import Parse, reading
from camrelay.ingest.errand import answer_questions
from camrelay.ingest.feed import Start
from camrelay.ingest.h264 import Picture, parse_nal_units
from camrelay.ingest.keyframe import from_access_unit
from camrelay.ingest.parameter_set import ParameterSets
from camrelay.ingest.poller import Poller
from camrelay.ingest.report import Report, Seen, Video, audio_of, failed, judge, profile_name, without_secrets
from camrelay.ingest.rtp import RtpUnit
from camrelay.ingest.sdp import Description, Track
from camrelay.ingest.snapshot import jpeg
from camrelay.model import CLOCK_RATE, AccessUnit

#: From dialling to PLAY.
OPEN_S = 10.0
#: No access unit for this long, and it is over.
SILENCE_S = 5.0
#: Listened to at least, for a frame rate, and at most, for a second key frame.
LISTEN_S = (2.0, 12.0)


def probe(stream: Start) -> Report:
    """Plays a stream and reports."""
    look = Look()
    poller = Poller()
    client = Client(
        stream.camera, look, poller, is_udp=stream.transport == "udp", open_s=OPEN_S, silence_s=SILENCE_S
    )
    while look.error is None:
        poller.poll()
        if look.has_seen_enough():
            client.stop()
    return report(look, client.sdp.decode("utf-8", "replace"))


class Look:
    """What is seen of one stream. The Player of its client.

    Attributes:
        key_frame: the first one, None before.
        error: why it is over, None before.
    """

    def __init__(self) -> None:
        self.key_frame: AccessUnit | None = None
        self.error: SourceError | None = None
        self._seen = Seen()
        self._parse: Parse = parse_nal_units
        self._parameter_sets = ParameterSets()
        self._opened_at = 0.0
        self._pts: int | None = None

    @property
    def video(self) -> Video | None:
        """None until a key frame came."""
        params = self._parameter_sets.params
        if self.key_frame is None or params is None:
            return None
        return Video(
            codec=params.codec,
            profile=profile_name(params),
            width=params.width,
            height=params.height,
            frame_rate=self._seen.frame_rate,
            gop_s=self._seen.gop_s,
            has_b_frames=params.reorder_depth > 0,
            bit_rate_bps=self._seen.bit_rate_bps,
        )

    def has_seen_enough(self) -> bool:
        """Two key frames and a while between, or as long as anybody waits."""
        if not self._opened_at:
            return False
        least, most = LISTEN_S
        listened = time.monotonic() - self._opened_at
        return listened > most or (listened > least and self._seen.key_frames > 1)

    def opened(self, description: Description, track: Track) -> None:
        self._opened_at = time.monotonic()
        self._parse, self._parameter_sets = reading(track)
        try:
            self._learn(self._parse(track.parameter_sets))
        except BadNalUnit:
            return

    def access_unit(self, unit: RtpUnit) -> None:
        try:
            picture = self._parse(unit.nal_units)
        except BadNalUnit:
            return
        self._learn(picture)
        params = self._parameter_sets.params
        if not picture.data or params is None:
            return
        is_key = picture.is_idr or picture.has_recovery_point
        self._seen.add(self._place(unit.timestamp) / CLOCK_RATE, is_key=is_key, size=len(picture.data))
        if is_key and self.key_frame is None:
            self.key_frame = AccessUnit(0, 0, True, picture.data, params, time.time_ns() // 1000)

    def ended(self, error: SourceError) -> None:
        self.error = error

    def _place(self, timestamp: int) -> int:
        """The timestamp on a clock that does not wrap."""
        last = timestamp if self._pts is None else self._pts
        self._pts = last + (timestamp - last + (1 << 31)) % (1 << 32) - (1 << 31)
        return self._pts

    def _learn(self, picture: Picture) -> None:
        try:
            self._parameter_sets.update(picture.sps, picture.pps, picture.vps)
        except BadParameterSet:
            return
        if picture.has_b_slices:
            self._parameter_sets.note_b_slices()


def report(look: Look, sdp: str) -> Report:
    """What a look at a stream with that SDP comes to."""
    video = look.video
    if video is None or look.key_frame is None:
        return failed((look.error or StreamInterrupted()).code, sdp)
    audio = audio_of(sdp)
    hls, webrtc = judge(video, audio)
    picture = jpeg(from_access_unit(look.key_frame))
    return Report(video=video, audio=audio, sdp=without_secrets(sdp), hls=hls, webrtc=webrtc, jpeg=picture)


async def _answer(data: bytes) -> bytes:
    return msgspec.json.encode(probe(msgspec.json.decode(data, type=Start)))


if __name__ == "__main__":
    answer_questions(_answer)
