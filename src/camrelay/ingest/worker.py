"""An ingest worker: `python -m camrelay.ingest.worker FD OPEN_S SILENCE_S`.

It dials the cameras the relay names on the feed, which is the socket FD, and sends up their access units.
A camera has OPEN_S seconds for each answer while it opens, and may be silent for SILENCE_S afterwards.

libav lives here, so that a stream which kills it kills one worker and no viewer. Rules:

- One demux thread per attempt, and that thread alone touches its container, close() included: libav is not
  safe to close while another thread reads.
- libav dials the guard, which dials the camera: it knows neither address nor password, and a read that hangs
  ends when the guard's passage is closed.
- libav's words never leave this process all the same.
- A camera never waits for the relay: what the relay does not read in time is dropped up to a key frame.
- When the feed closes the relay is gone, and the worker goes with it.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading
import time
from collections import deque
from typing import Literal

import av
from av.container import InputContainer

from camrelay.errors import (
    BadNalUnit,
    BadParameterSet,
    CameraUnreachable,
    SourceError,
    StreamInterrupted,
    StreamNotFound,
    UnsupportedCodec,
)
from camrelay.ingest import feed
from camrelay.ingest.guard import Guard, Passage, Target
from camrelay.ingest.h264 import Picture, parse_access_unit
from camrelay.ingest.parameter_set import ParameterSets
from camrelay.model import CLOCK_RATE

#: Four seconds of sixteen cameras at 2 Mb/s: longer than any pause of a healthy relay.
BACKLOG_BYTES = 16_000_000
#: A stream that has shown no IDR picture for this long refreshes gradually (intra-refresh): from then on, its
#: recovery points count as key frames.
RECOVERY_POINT_AFTER_S = 10.0

_READ_BYTES = 65_536


class Outbox:
    """The writing end of the feed, shared by all demux threads. Nobody who puts a message in waits."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        self._backlog: deque[memoryview] = deque()
        self._backlog_bytes = 0
        #: Readable when there is a backlog that the socket could not take.
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    @property
    def has_backlog(self) -> bool:
        return bool(self._backlog)

    def put(self, message: feed.Message) -> bool:
        """Sends a message now or as soon as the relay reads.

        Returns:
            False when it is an access unit and the backlog is full; then it is not sent at all.
        """
        data = memoryview(feed.encode(message))
        with self._lock:
            if self._backlog:
                if isinstance(message, feed.Unit) and self._backlog_bytes > BACKLOG_BYTES:
                    return False
            else:
                data = data[self._send(data) :]
                if not data:
                    return True
                os.eventfd_write(self.wake, 1)
            self._backlog.append(data)
            self._backlog_bytes += len(data)
        return True

    def flush(self) -> None:
        """Sends as much of the backlog as the relay reads."""
        with self._lock:
            while self._backlog:
                data = self._backlog[0]
                sent = self._send(data)
                self._backlog_bytes -= sent
                if sent < len(data):
                    self._backlog[0] = data[sent:]
                    return
                self._backlog.popleft()

    def _send(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            # The relay is gone; the reading end says so to the main thread.
            return len(data)


class Attempt(threading.Thread):
    """One connection to one camera, from dialling to hanging up."""

    def __init__(self, id: int, transport: str, passage: Passage, outbox: Outbox) -> None:
        super().__init__(name=f"attempt-{id}", daemon=True)
        self._id = id
        self._transport = transport
        self._passage = passage
        self._outbox = outbox
        self._parameter_sets = ParameterSets()
        self._last_idr = time.monotonic()
        self._dropped = 0
        self._drop_reason: Literal["malformed", "backlog"] = "malformed"
        self._is_stopped = False

    def run(self) -> None:
        """Plays until the camera ends or somebody else ends it, and says why."""
        error: Exception | None = None
        opened = False
        try:
            with _open(self._passage.url, self._transport) as container:
                opened = True
                self._relay(container)
        except Exception as e:
            error = e
        reason = end_reason(error, self._passage.failure, opened)
        self._passage.close()
        self._outbox.put(feed.Ended(self._id, reason))

    def stop(self) -> None:
        """Ends the attempt from another thread, whatever its own is waiting for."""
        self._is_stopped = True
        self._passage.close()

    def _relay(self, container: InputContainer) -> None:
        video = next((s for s in container.streams.video if s.codec_context.name == "h264"), None)
        if video is None or video.time_base is None:
            raise UnsupportedCodec("no H.264 stream")
        self._outbox.put(feed.Opened(self._id))
        # What the SDP said (sprop-parameter-sets); some cameras never say it again (fault F8).
        self._learn(parse_access_unit(video.codec_context.extradata or b""))
        ticks = CLOCK_RATE * video.time_base
        # libav counts from the first packet, and leaves that packet's own time out.
        pts: int | None = 0
        for packet in container.demux(video):
            if self._is_stopped:
                return
            if packet.pts is not None:
                pts = packet.pts * ticks.numerator // ticks.denominator
            if packet.size:
                self.access_unit(bytes(packet), pts)
            pts = None

    def access_unit(self, data: bytes, pts: int | None) -> None:
        """Sends one Annex B access unit up the feed, or drops it; parameter sets in it go before it."""
        try:
            picture = parse_access_unit(data)
        except BadNalUnit:
            self._drop("malformed")
            return
        self._learn(picture)
        if not picture.data:
            return
        now = time.monotonic()
        is_key = picture.is_idr
        if is_key:
            self._last_idr = now
        elif picture.has_recovery_point:
            is_key = now - self._last_idr > RECOVERY_POINT_AFTER_S
        if self._dropped:
            if not is_key:
                self._drop(self._drop_reason)
                return
            self._outbox.put(feed.Dropped(self._id, self._dropped, self._drop_reason))
            self._dropped = 0
        unit = feed.Unit(self._id, is_key, pts, time.time_ns() // 1000, picture.data)
        if not self._outbox.put(unit):
            self._drop("backlog")

    def _drop(self, reason: Literal["malformed", "backlog"]) -> None:
        """Counts a unit that is not sent; the ones that refer to it, up to a key frame, follow it."""
        self._dropped += 1
        self._drop_reason = reason

    def _learn(self, picture: Picture) -> None:
        """Sends the parameter sets on when a picture changes them."""
        changed = False
        if picture.sps or picture.pps:
            try:
                changed = self._parameter_sets.update(picture.sps, picture.pps)
            except BadParameterSet:
                # The sets before it still stand.
                return
        if picture.has_b_slices:
            changed = self._parameter_sets.note_b_slices() or changed
        if changed and self._parameter_sets.params is not None:
            self._outbox.put(feed.Params(self._id, self._parameter_sets.params))


def _open(url: str, transport: str) -> InputContainer:
    return av.open(
        url,
        format="rtsp",
        options={
            "rtsp_transport": transport,
            # Audio is neither asked for nor waited for (fault F20).
            "allowed_media_types": "video",
            # The least libav accepts: the first access unit is wanted, and the SPS is read here.
            "probesize": "32",
            "analyzeduration": "1",
        },
        # No timeout: libav would ask Python for the time at every read, and the guard keeps it anyway.
    )


def end_reason(error: Exception | None, failure: SourceError | None, opened: bool) -> str:
    """The code for how an attempt ended; nothing else of libav's error may leave this process.

    Args:
        error: what libav raised, or this module.
        failure: what the guard saw. To libav all of that is a closed connection; but when libav itself has
            given up, the guard sees a closed connection.
        opened: whether the camera ever played.
    """
    if isinstance(error, UnsupportedCodec):
        return error.code
    if isinstance(error, av.HTTPNotFoundError):
        return StreamNotFound.code
    if failure is not None and not isinstance(failure, StreamInterrupted):
        return failure.code
    if opened:
        return StreamInterrupted.code
    # A camera that does not answer in time is "invalid data" to libav, and so is one that answers nonsense.
    return CameraUnreachable.code if isinstance(error, av.FFmpegError) else SourceError.code


class Worker:
    """Reads commands, starts attempts, and drains the backlog when the relay reads again."""

    def __init__(self, sock: socket.socket, guard: Guard) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._guard = guard
        self._decoder = feed.Decoder()
        self._outbox = Outbox(sock)
        self._attempts: dict[int, Attempt] = {}

    def run(self) -> None:
        """Returns when the feed is closed."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._outbox.wake, selectors.EVENT_READ)
            selector.register(self._socket, selectors.EVENT_READ)
            while True:
                for key, events in selector.select():
                    if key.fileobj is not self._socket:
                        os.eventfd_read(self._outbox.wake)
                        continue
                    if events & selectors.EVENT_WRITE:
                        self._outbox.flush()
                    if events & selectors.EVENT_READ:
                        data = self._socket.recv(_READ_BYTES)
                        if not data:
                            return
                        for message in self._decoder.feed(data):
                            self._obey(message)
                write = selectors.EVENT_WRITE if self._outbox.has_backlog else 0
                selector.modify(self._socket, selectors.EVENT_READ | write)

    def _obey(self, message: feed.Message) -> None:
        if isinstance(message, feed.Start):
            self._attempts = {id: attempt for id, attempt in self._attempts.items() if attempt.is_alive()}
            self._start(message)
        elif isinstance(message, feed.Stop) and message.attempt in self._attempts:
            self._attempts[message.attempt].stop()

    def _start(self, start: feed.Start) -> None:
        target = Target(
            address=start.address,
            port=start.port,
            authority=start.authority,
            path=start.target,
            username=start.username,
            password=start.password,
            is_tls=start.tls,
        )
        try:
            passage = self._guard.open(target)
        except OSError:
            # Out of descriptors or ports: not the camera's fault.
            self._outbox.put(feed.Ended(start.attempt, SourceError.code))
            return
        attempt = Attempt(start.attempt, start.transport, passage, self._outbox)
        self._attempts[start.attempt] = attempt
        attempt.start()


def main() -> None:
    """Runs a worker as the command line says."""
    av.logging.set_level(None)
    fd, open_s, silence_s = sys.argv[1:]
    guard = Guard(open_s=float(open_s), silence_s=float(silence_s))
    try:
        Worker(socket.socket(fileno=int(fd)), guard).run()
        # Cameras allow few sessions (fault F16): they hear that theirs is over even when the relay crashed.
        guard.stop()
    finally:
        # Demux threads may sit in libav; an ordinary exit would pull the interpreter from under them.
        os._exit(0)


if __name__ == "__main__":
    main()
