"""An ingest worker: `python -m camrelay.ingest.worker FD OPEN_S SILENCE_S`.

It dials the cameras the relay names on the feed, which is the socket FD, and sends up their access units.
A camera has OPEN_S seconds to open, and may show nothing for SILENCE_S afterwards.

Cameras are read apart from the relay, so that a stream which brings down what parses it, or keeps it busy,
costs one worker and no viewer. Rules:

- One thread, and nothing in it waits for a camera or for the relay.
- What the relay does not read in time is dropped up to a key frame.
- When the feed closes the relay is gone, and the worker goes with it.
"""

from __future__ import annotations

import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Literal

import msgspec

from camrelay.errors import BadNalUnit, BadParameterSet, SourceError
from camrelay.ingest import feed
from camrelay.ingest.audio import RtpSound
from camrelay.ingest.client import TEARDOWN_S, Client
from camrelay.ingest.codecs import Parse, reading
from camrelay.ingest.h264 import Picture, parse_nal_units
from camrelay.ingest.parameter_set import ParameterSets
from camrelay.ingest.poller import READ, WRITE, Poller
from camrelay.ingest.rtp import RtpUnit
from camrelay.ingest.sdp import Description, Track
from camrelay.model import AudioParams

#: Two seconds of 64 cameras at 2 Mb/s: longer than any pause of a healthy relay.
BACKLOG_BYTES = 32_000_000
#: Worth a call of its own: what a socket holds. A turn in which every camera brings a lot must not fill the
#: backlog before the relay has seen any of it.
SEND_BYTES = 200_000
#: A stream that has shown no IDR picture for this long refreshes gradually (intra-refresh): from then on, its
#: recovery points count as key frames.
RECOVERY_POINT_AFTER_S = 10.0

_READ_BYTES = 65_536
#: Below the kernel's limit of pieces in one call (IOV_MAX, 1024).
_SEND_MESSAGES = 64


class Outbox:
    """The writing end of the feed. Nobody who puts a message in waits."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._backlog: deque[memoryview] = deque()
        self._backlog_bytes = 0

    @property
    def has_backlog(self) -> bool:
        return bool(self._backlog)

    def put(self, message: feed.Message) -> bool:
        """Has a message sent with the next `flush`, or before that when there is much to send.

        Returns:
            False when it is media and the backlog is full; then it is not sent at all.
        """
        if self._backlog_bytes > BACKLOG_BYTES and isinstance(message, feed.Unit | feed.Sound):
            return False
        data = memoryview(feed.encode(message))
        self._backlog.append(data)
        self._backlog_bytes += len(data)
        if self._backlog_bytes >= SEND_BYTES:
            self.flush()
        return True

    def flush(self) -> None:
        """Sends as much of the backlog as the relay reads."""
        while self._backlog:
            try:
                sent = self._socket.sendmsg(list(islice(self._backlog, _SEND_MESSAGES)))
            except BlockingIOError:
                return
            except OSError:
                # The relay is gone; the reading end says so.
                self._backlog.clear()
                self._backlog_bytes = 0
                return
            self._backlog_bytes -= sent
            while self._backlog and sent >= len(self._backlog[0]):
                sent -= len(self._backlog.popleft())
            if sent:
                self._backlog[0] = self._backlog[0][sent:]


class Attempt:
    """One connection to one camera as the relay wants to hear of it. Player and Hearer of its client."""

    def __init__(self, id: int, outbox: Outbox) -> None:
        self._id = id
        self._outbox = outbox
        self._parse: Parse = parse_nal_units
        self._parameter_sets = ParameterSets()
        self._audio: AudioParams | None = None
        self._last_idr = time.monotonic()
        self._dropped = 0
        self._drop_reason: Literal["malformed", "backlog"] = "malformed"
        self.is_over = False

    def opened(self, description: Description, track: Track) -> None:
        self._outbox.put(feed.Opened(self._id))
        self._parse, self._parameter_sets = reading(track)
        # What the SDP said; some cameras never say it again (fault F8).
        try:
            self._learn(self._parse(track.parameter_sets))
        except BadNalUnit:
            return

    def access_unit(self, unit: RtpUnit) -> None:
        """Sends one access unit up the feed, or drops it; parameter sets in it go before it."""
        try:
            picture = self._parse(unit.nal_units)
        except BadNalUnit:
            self._drop("malformed")
            return
        self._learn(picture)
        if not picture.data:
            self._drop("malformed")
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
        arrived_us = time.time_ns() // 1000
        if not self._outbox.put(feed.Unit(self._id, is_key, unit.timestamp, arrived_us, picture.data)):
            self._drop("backlog")

    def sound_opened(self, params: AudioParams) -> None:
        self._audio = params

    def sound(self, unit: RtpSound, video_timestamp: int | None) -> None:
        """Sends sound up the feed; what the relay does not read in time is lost."""
        self._outbox.put(
            feed.Sound(self._id, unit.timestamp & 0xFFFFFFFF, video_timestamp, unit.duration, unit.data)
        )

    def sound_dropped(self, packets: int) -> None:
        self._outbox.put(feed.Dropped(self._id, packets, "sound"))

    def ended(self, error: SourceError) -> None:
        self.is_over = True
        self._outbox.put(feed.Ended(self._id, error.code))

    def _drop(self, reason: Literal["malformed", "backlog"]) -> None:
        """Counts a unit that is not sent; the ones that refer to it, up to a key frame, follow it."""
        self._dropped += 1
        self._drop_reason = reason

    def _learn(self, picture: Picture) -> None:
        """Sends the parameter sets on when a picture changes them."""
        changed = False
        if picture.sps or picture.pps or picture.vps:
            try:
                changed = self._parameter_sets.update(picture.sps, picture.pps, picture.vps)
            except BadParameterSet:
                # The sets before it still stand.
                return
        if picture.has_b_slices:
            changed = self._parameter_sets.note_b_slices() or changed
        if changed and self._parameter_sets.params is not None:
            params = msgspec.structs.replace(self._parameter_sets.params, audio=self._audio)
            self._outbox.put(feed.Params(self._id, params))


class Worker:
    """Reads commands, starts attempts, and sends up what they bring."""

    def __init__(self, sock: socket.socket, *, open_s: float, silence_s: float) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._open_s = open_s
        self._silence_s = silence_s
        self._decoder = feed.Decoder()
        self._outbox = Outbox(sock)
        self._poller = Poller()
        self._attempts: dict[int, tuple[Attempt, Client]] = {}
        self._is_waiting_for_relay = False
        self._is_over = False

    def run(self) -> None:
        """Returns when the feed is closed, and every camera has been told (fault F16)."""
        self._poller.register(self._socket, READ, self._on_feed)
        while not self._is_over:
            self._poller.poll()
            self._send_up()
        give_up_at = time.monotonic() + TEARDOWN_S
        for _, client in self._live():
            client.stop()
        while self._live() and time.monotonic() < give_up_at:
            self._poller.poll()

    def _send_up(self) -> None:
        self._outbox.flush()
        if self._outbox.has_backlog != self._is_waiting_for_relay:
            self._is_waiting_for_relay = self._outbox.has_backlog
            write = WRITE if self._is_waiting_for_relay else 0
            self._poller.change(self._socket, READ | write, self._on_feed)

    def _on_feed(self, now: float) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._is_over = True
            self._poller.close(self._socket)
        for message in self._decoder.feed(data):
            self._obey(message)

    def _obey(self, message: feed.Message) -> None:
        if isinstance(message, feed.Start):
            self._attempts = {id: pair for id, pair in self._attempts.items() if not pair[0].is_over}
            self._start(message)
        elif isinstance(message, feed.Stop) and message.attempt in self._attempts:
            self._attempts[message.attempt][1].stop()

    def _start(self, start: feed.Start) -> None:
        attempt = Attempt(start.attempt, self._outbox)
        try:
            client = Client(
                start.camera,
                attempt,
                self._poller,
                is_udp=start.transport == "udp",
                open_s=self._open_s,
                silence_s=self._silence_s,
                hearer=attempt if start.audio else None,
            )
        except OSError:
            # Out of descriptors or ports: not the camera's fault.
            attempt.ended(SourceError("no socket to be had"))
            return
        self._attempts[start.attempt] = (attempt, client)

    def _live(self) -> Sequence[tuple[Attempt, Client]]:
        return [pair for pair in self._attempts.values() if not pair[0].is_over]


def main() -> None:
    """Runs a worker as the command line says."""
    fd, open_s, silence_s = sys.argv[1:]
    Worker(socket.socket(fileno=int(fd)), open_s=float(open_s), silence_s=float(silence_s)).run()


if __name__ == "__main__":
    main()
