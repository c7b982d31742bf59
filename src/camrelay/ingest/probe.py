"""Plays a camera for some seconds: `python -m camrelay.ingest.probe`, a feed.Start in, a Report out.

A process of its own for the same reasons as an ingest worker, and through the same guard: libav knows neither
the camera's address nor its password.
"""

from __future__ import annotations

import time

import av
import msgspec
from av.container import InputContainer
from av.video.stream import VideoStream

from camrelay.errors import (
    BadNalUnit,
    BadParameterSet,
    CameraUnreachable,
    StreamInterrupted,
    StreamNotFound,
    UnsupportedCodec,
)
from camrelay.ingest.errand import answer_questions
from camrelay.ingest.feed import Start
from camrelay.ingest.guard import Guard, Passage
from camrelay.ingest.h264 import parse_access_unit
from camrelay.ingest.keyframe import KeyFrame
from camrelay.ingest.parameter_set import ParameterSets
from camrelay.ingest.report import Report, Seen, Video, audio_of, failed, judge, profile_name, without_secrets
from camrelay.ingest.snapshot import jpeg
from camrelay.ingest.target import Target

#: For one answer of the camera while it opens.
OPEN_S = 10.0
#: No byte for this long, and it is over.
SILENCE_S = 5.0
#: Listened to at least, for a frame rate, and at most, for a second key frame.
LISTEN_S = (2.0, 12.0)


def probe(stream: Start) -> Report:
    """Plays a stream and reports."""
    guard = Guard(open_s=OPEN_S, silence_s=SILENCE_S)
    passage = guard.open(
        Target(
            address=stream.address,
            port=stream.port,
            authority=stream.authority,
            path=stream.target,
            username=stream.username,
            password=stream.password,
            is_tls=stream.tls,
        )
    )
    look = _Look(passage)
    error: Exception | None = None
    try:
        look.play(stream.transport)
    except (av.FFmpegError, UnsupportedCodec) as e:
        error = e
    finally:
        guard.stop()
    if look.video is None:
        return failed(look.reason(error), look.sdp)
    audio = audio_of(look.sdp)
    hls, webrtc = judge(look.video, audio)
    return Report(
        video=look.video, audio=audio, sdp=without_secrets(look.sdp), hls=hls, webrtc=webrtc, jpeg=look.jpeg
    )


class _Look:
    """What is seen of one stream.

    Attributes:
        is_open: whether the camera came to play.
        video: None until a key frame came.
        jpeg: of the first key frame that has a picture.
    """

    def __init__(self, passage: Passage) -> None:
        self.is_open = False
        self.jpeg = b""
        self._passage = passage
        self._seen = Seen()
        self._parameter_sets = ParameterSets()
        self._has_b_frames = False
        self._codec = ""
        self._profile = ""
        self._size = (0, 0)

    @property
    def sdp(self) -> str:
        return self._passage.description.decode("utf-8", "replace")

    @property
    def video(self) -> Video | None:
        if not self._seen.key_frames:
            return None
        params = self._parameter_sets.params
        width, height = (params.width, params.height) if params else self._size
        return Video(
            codec=self._codec,
            profile=profile_name(params.sps[0]) if params else self._profile,
            width=width,
            height=height,
            frame_rate=self._seen.frame_rate,
            gop_s=self._seen.gop_s,
            has_b_frames=params.reorder_depth > 0 if params else self._has_b_frames,
            bit_rate_bps=self._seen.bit_rate_bps,
        )

    def reason(self, error: Exception | None) -> str:
        """Why no picture came; to libav most of what the guard sees is a closed connection."""
        failure = self._passage.failure
        if failure is not None and not isinstance(failure, StreamInterrupted):
            return failure.code
        if isinstance(error, UnsupportedCodec):
            return error.code
        if isinstance(error, av.HTTPNotFoundError):
            return StreamNotFound.code
        return StreamInterrupted.code if self.is_open else CameraUnreachable.code

    def play(self, transport: str) -> None:
        options = {"rtsp_transport": transport, "allowed_media_types": "video"}
        with av.open(self._passage.url, format="rtsp", options=options) as container:
            self.is_open = True
            if not container.streams.video:
                raise UnsupportedCodec("no video stream")
            self._listen(container, container.streams.video[0])

    def _listen(self, container: InputContainer, video: VideoStream) -> None:
        context = video.codec_context
        self._codec = context.name
        self._profile = str(context.profile or "")
        self._size = (context.width, context.height)
        self._has_b_frames = context.has_b_frames
        extradata = context.extradata or b""
        if self._codec == "h264":
            self._learn(extradata)
        least, most = LISTEN_S
        began = time.monotonic()
        for packet in container.demux(video):
            if packet.size and packet.pts is not None and packet.time_base is not None:
                data = bytes(packet)
                if self._codec == "h264":
                    self._learn(data)
                is_key = packet.is_keyframe
                self._seen.add(float(packet.pts * packet.time_base), is_key=is_key, size=len(data))
                if is_key and not self.jpeg:
                    self.jpeg = jpeg(KeyFrame(self._codec, data, extradata))
            listened = time.monotonic() - began
            if listened > most or (listened > least and self._seen.key_frames > 1):
                return

    def _learn(self, data: bytes) -> None:
        try:
            picture = parse_access_unit(data)
            self._parameter_sets.update(picture.sps, picture.pps)
        except (BadNalUnit, BadParameterSet):
            return
        if picture.has_b_slices:
            self._parameter_sets.note_b_slices()


async def _answer(data: bytes) -> bytes:
    return msgspec.json.encode(probe(msgspec.json.decode(data, type=Start)))


if __name__ == "__main__":
    av.logging.set_level(None)
    answer_questions(_answer)
