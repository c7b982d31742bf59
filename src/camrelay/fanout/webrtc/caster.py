"""One camera's packets to all its peers.

An access unit is cut and numbered once, then goes to the viewers in rounds: a run of packets is laid once for
all that share a format, and for each of them there remain an encryption and a system call. Viewers that are
not at live (joining, replaying, dropped to a key frame) are fed apart from their own backlog.

The camera never waits: `access_unit` only queues. What cannot be sent in time is dropped up to the next key
frame, before it has numbers, so that no viewer sees a gap.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from camrelay import config, metrics
from camrelay.errors import MalformedMedia
from camrelay.fanout.hub import Hub
from camrelay.fanout.webrtc.pace import START_BPS, Pace
from camrelay.fanout.webrtc.rtp import PAYLOAD_BYTES, PacketFormat, Packets, abs_send_time, cut, refusal, runs
from camrelay.fanout.webrtc.sender import Sender
from camrelay.fanout.webrtc.slots import Run, Slots
from camrelay.fanout.webrtc.turns import PACKETS_PER_TURN, Turns, batches
from camrelay.fanout.webrtc.udp import Port
from camrelay.model import (
    CLOCK_RATE,
    AccessUnit,
    CameraState,
    CameraStatus,
    EndReason,
    Protocol,
    VideoParams,
)

logger = logging.getLogger("camrelay.fanout")

#: Access units wait no longer than this to be sent: older ones are of no use to anybody who watches live.
MAX_PENDING_S = 1.0

#: A GOP larger than this is not sent to joiners, who wait for the next key frame instead: 2.5 s at 100 Mb/s.
MAX_GOP_BYTES = 32_000_000

#: A full socket empties in milliseconds (8 MB at 1 Gb/s: 64 ms). Then the viewer whose turn it is pays.
MAX_BLOCKED_S = 0.1

#: A viewer is replayed the GOP at most this often; browsers repeat a PLI every few hundred milliseconds.
REPLAY_INTERVAL_S = 1.0

#: Whoever is fed apart has this long to come up to live; then the next key frame is where it goes on.
CATCH_UP_S = 2.0
#: And this many access units to be behind, in case that key frame never comes: a minute at 50 fps.
MAX_BACKLOG = 3000

#: So many viewers get a whole access unit before the next ones get its beginning: the first are not kept
#: waiting for the last. A run of packets for this many takes as long as its pace asks for (4 ms at 100 Mb/s).
_BATCH_VIEWERS = 64

#: Cutting copies; this many payloads are cut in the time one is encrypted and sent.
_CUTS_PER_PACKET = 4


class _Feed(NamedTuple):
    """How a viewer apart is served: `fed` is set when it has something to send."""

    task: asyncio.Task[None]
    fed: asyncio.Event
    pace: Pace


#: Sending is synchronous within a turn and lays its run first, so all casters can use the same memory.
_slots = functools.cache(Slots)


class Caster:
    """The output of one camera to WebRTC; attach it to the camera's hub.

    Args:
        hub: whose ring the first viewer starts from.
        port: that sends.
        turns: shared by all casters of the process.
        options: pace and history.

    Attributes:
        ssrc, rtx_ssrc: of every viewer of this camera.
    """

    def __init__(self, hub: Hub, port: Port, turns: Turns, options: config.Webrtc) -> None:
        self.ssrc = secrets.randbits(32)
        self.rtx_ssrc = self.ssrc ^ 1 << 31
        self._hub = hub
        self._port = port
        self._turns = turns
        self._burst_bps = options.start_burst_bps
        self._loop = asyncio.get_running_loop()
        # Below 32768, so that the first wrap is not near (RFC 3711 §3.3.1).
        self._next = secrets.randbits(15)
        self._epoch = secrets.randbits(31)
        self._timestamp = self._epoch
        self._timed_s = self._loop.time()
        self._gop: list[Packets] = []
        self._gop_bytes = 0
        self._awaits_key = True
        self._params: VideoParams | None = None
        self._pending: deque[tuple[float, AccessUnit]] = deque()
        self._wake = asyncio.Event()
        self._senders: set[Sender] = set()
        # A viewer is in one of these three, which say how it is served: from the shared rounds, apart by a
        # task of its own, or not before the next key frame. Dictionaries, because they keep their order.
        self._live: dict[tuple[PacketFormat, int], dict[Sender, None]] = {}
        self._apart: dict[Sender, _Feed] = {}
        self._waiting: dict[Sender, None] = {}
        self._count_packets = metrics.rtp_packets.labels(hub.camera)
        self._count_bytes = metrics.viewer_bytes.labels(hub.camera, Protocol.WEBRTC)
        self._count_lags = metrics.viewer_lagged.labels(hub.camera, Protocol.WEBRTC)
        self._count_answered = metrics.rtp_retransmissions.labels(hub.camera, "answered")
        self._count_unanswered = metrics.rtp_retransmissions.labels(hub.camera, "forgotten")
        self._task = self._loop.create_task(self._cast(), name=f"cast {hub.camera}")

    def close(self) -> None:
        """Stops sending; viewers are to be ended before."""
        self._task.cancel()

    def access_unit(self, au: AccessUnit) -> None:
        """Queues the newest access unit."""
        if not self._senders:
            return
        if au.params is not self._params:
            before, self._params = self._params, au.params
            if refusal(au.params) or (before is not None and before.codec is not au.params.codec):
                for sender in tuple(self._senders):
                    sender.viewer.end(EndReason.UNPLAYABLE)
                return
        now = self._loop.time()
        self._pending.append((now, au))
        if now - self._pending[0][0] > MAX_PENDING_S:
            self._drop_pending()
        self._wake.set()

    def status(self, status: CameraStatus) -> None:
        """Nothing to do: a camera that is away sends nothing, and its numbers go on when it comes back."""

    def pts(self, now: float) -> int:
        """What the camera's own clock shows."""
        return self.rtp_time(now) - self._epoch

    def rtp_time(self, now: float) -> int:
        """What the camera's RTP clock shows."""
        return self._timestamp + round((now - self._timed_s) * CLOCK_RATE)

    def join(self, sender: Sender) -> None:
        """Starts to send to a viewer: the GOP so far, if there is one, then what is live."""
        if not self._senders:
            now = self._loop.time()
            self._pending.extend((now, au) for au in self._hub.ring.since_last_key())
            self._wake.set()
        self._senders.add(sender)
        self._restart(sender, self._gop)

    def leave(self, sender: Sender) -> None:
        """Sends nothing more to a viewer, from this moment on."""
        self._senders.discard(sender)
        self._release(sender)
        sender.stream.close()
        if not self._senders:
            # The next viewer agrees on what the camera is by then.
            self._params = None
            self._pending.clear()
            self._forget_gop()

    def replay(self, sender: Sender) -> None:
        """Answers a viewer that lost its way with the GOP so far, under numbers of its own.

        A camera that is away has nothing to show but the past, and will come back with a key frame.
        """
        if self._hub.status is not None and self._hub.status.state != CameraState.LIVE:
            return
        now = self._loop.time()
        if self._gop and sender not in self._waiting and now - sender.restarted_s >= REPLAY_INTERVAL_S:
            self._restart(sender, self._gop)

    def retransmitted(self, sender: Sender, answered: int, unanswered: int) -> None:
        """Counts what a viewer asked for again, and sends to it more slowly while it is fed apart."""
        self._count_answered.inc(answered)
        self._count_unanswered.inc(unanswered)
        if sender in self._apart:
            self._apart[sender].pace.ease(self._loop.time())

    def lag(self, sender: Sender) -> None:
        """Drops a viewer that cannot keep up to the next key frame; one that never can is closed."""
        self._count_lags.inc()
        if sender.is_hopeless(self._loop.time()):
            sender.viewer.end(EndReason.LAGGED)
        else:
            self._restart(sender, ())
            self._hub.want_key_frame()

    def _restart(self, sender: Sender, gop: Iterable[Packets]) -> None:
        self._release(sender)
        sender.begin(gop, self._loop.time())
        if sender.backlog:
            self._part(sender)
        else:
            self._waiting[sender] = None

    def _part(self, sender: Sender) -> None:
        fed, pace = asyncio.Event(), Pace(self._burst_bps, START_BPS)
        task = self._loop.create_task(self._feed(sender, fed, pace), name=f"feed {sender.viewer.id}")
        self._apart[sender] = _Feed(task, fed, pace)

    def _release(self, sender: Sender) -> None:
        """Takes a viewer out of whatever serves it."""
        self._waiting.pop(sender, None)
        feed = self._apart.pop(sender, None)
        if feed is not None and feed.task is not asyncio.current_task():
            feed.task.cancel()
        group = self._live.get((sender.form, sender.tag_bytes), {})
        if group.pop(sender, self) is None and not group:
            del self._live[sender.form, sender.tag_bytes]

    def _drop_pending(self) -> None:
        """Too much to send for this machine or this link: everybody goes on at the newest key frame."""
        self._count_lags.inc(len(self._senders))
        self._pending.popleft()
        while self._pending and not self._pending[0][1].is_key:
            self._pending.popleft()
        if not self._pending:
            self._awaits_key = True
            self._forget_gop()
            self._hub.want_key_frame()

    def _forget_gop(self) -> None:
        self._gop.clear()
        self._gop_bytes = 0

    async def _cast(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                _, au = self._pending.popleft()
                await self._turns.take(1 + len(au.data) // (PAYLOAD_BYTES * _CUTS_PER_PACKET))
                try:
                    packets = self._number(au)
                    if packets is not None:
                        await self._round(packets)
                except MalformedMedia:
                    logger.warning("an access unit is malformed", extra={"camera": self._hub.camera})
                    self._awaits_key = True
                except Exception:
                    # A mistake of ours: this camera's viewers miss a GOP, not the rest of the day.
                    logger.exception("an access unit cannot be sent", extra={"camera": self._hub.camera})
                    self._awaits_key = True
                    for sender in tuple(self._senders):
                        self._restart(sender, ())

    def _number(self, au: AccessUnit) -> Packets | None:
        """The next access unit as packets; None for one that no decoder could use."""
        if au.is_key or au.discontinuity:
            self._awaits_key = not au.is_key
            self._forget_gop()
        if self._awaits_key:
            return None
        payloads = cut(au)
        if not payloads:
            return None
        self._timed_s = self._loop.time()
        self._timestamp = au.pts + self._epoch
        packets = Packets(self._next, self._timestamp, abs_send_time(self._timed_s), payloads, au.is_key)
        self._next = packets.end
        self._gop_bytes += len(au.data)
        if au.is_key or self._gop:
            self._gop.append(packets)
        if self._gop_bytes > MAX_GOP_BYTES:
            self._forget_gop()
        return packets

    async def _round(self, packets: Packets) -> None:
        """Gives an access unit to everybody who is to have it."""
        for sender in [sender for sender in self._apart if self._is_late(sender, packets)]:
            self.lag(sender)
        if packets.is_key:
            waiting, self._waiting = self._waiting, {}
            for sender in waiting:
                self._part(sender)
        for sender, feed in self._apart.items():
            sender.backlog.append(packets)
            feed.fed.set()
        parts = runs(packets)
        for batch in batches(self._live.values(), _BATCH_VIEWERS):
            pace = Pace(self._burst_bps, self._burst_bps)
            for start, stop in parts:
                for senders in batch:
                    await self._send(senders, packets, start, stop)
                delay = pace.delay(stop - start, self._loop.time())
                if delay and stop < len(packets.payloads):
                    await asyncio.sleep(delay)

    def _is_late(self, sender: Sender, packets: Packets) -> bool:
        is_due = packets.is_key and self._loop.time() - sender.restarted_s > CATCH_UP_S
        return len(sender.backlog) > (1 if is_due else MAX_BACKLOG)

    async def _feed(self, sender: Sender, fed: asyncio.Event, pace: Pace) -> None:
        """Sends a viewer its backlog until it is at live."""
        is_first = not sender.stream.count
        while True:
            while sender.backlog:
                packets = sender.take(self._timestamp, abs_send_time(self._loop.time()))
                for start, stop in runs(packets):
                    await self._send((sender,), packets, start, stop)
                    if sender not in self._apart:
                        return
                    if is_first:
                        is_first = False
                        seconds = self._loop.time() - sender.requested_s
                        metrics.viewer_start.labels(Protocol.WEBRTC).observe(seconds)
                    if delay := pace.delay(stop - start, self._loop.time()):
                        await asyncio.sleep(delay)
            if sender.is_at_live(self._timestamp):
                sender.go_live(self._next)
                del self._apart[sender]
                self._live.setdefault((sender.form, sender.tag_bytes), {})[sender] = None
                return
            fed.clear()
            await fed.wait()

    async def _send(self, senders: Sequence[Sender], packets: Packets, start: int, stop: int) -> None:
        """Sends the packets [start, stop) to viewers of one kind, a slice of them in each turn."""
        form, slots = senders[0].form, _slots(senders[0].form.header_bytes, senders[0].tag_bytes)
        step = max(1, PACKETS_PER_TURN // (stop - start))
        run = None
        for at in range(0, len(senders), step):
            some = senders[at : at + step]
            await self._turns.take((stop - start) * len(some))
            while True:
                if run is None or run is not slots.run:
                    # The first time, or somebody else has used the slots meanwhile.
                    run = slots.lay(form, packets, start, stop)
                blocked = self._transmit(run, some)
                if blocked is None:
                    break
                await self._unblock(blocked, run)

    def _transmit(self, run: Run, senders: Sequence[Sender]) -> Sender | None:
        """Encrypts and sends a run to one viewer after the other.

        Returns:
            The viewer that found the socket full, None when all are done with.
        """
        first, size_bytes, send = run.first, len(run.datagrams), self._port.sending(run)
        # Whoever is elsewhere in its numbers is gone, or was taken out of the round since that began.
        queue = iter([sender for sender in senders if sender.stream.next == first + sender.stream.ahead])
        served, blocked, is_done = 0, None, False
        while not is_done:
            try:
                # The innermost loop of the relay: whatever is done here is done for each viewer.
                for sender in queue:
                    sender.stream.protect(run)
                    send(sender.address)
                    sender.viewer.bytes_sent += size_bytes
                    served += 1
                is_done = True
            except BlockingIOError:
                blocked, is_done = sender, True
            except OSError as error:
                self._port.forgive(error, run, sender.address)
            except ValueError:
                logger.exception("a viewer cannot be sent to", extra={"camera": self._hub.camera})
                sender.viewer.end(EndReason.CLIENT_GONE)
        self._count_packets.inc(served * run.count)
        self._count_bytes.inc(served * size_bytes)
        return blocked

    async def _unblock(self, sender: Sender, run: Run) -> None:
        """Waits for room in the socket and sends what found none."""
        first = run.first + sender.stream.ahead
        try:
            async with asyncio.timeout(MAX_BLOCKED_S):
                await self._port.writable()
        except TimeoutError:
            self.lag(sender)
            return
        for index in range(first, first + run.count):
            if datagram := sender.stream.again(index & 0xFFFF):
                self._port.send(datagram, sender.address)
                sender.viewer.bytes_sent += len(datagram)
