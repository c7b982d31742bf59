"""What one viewer is sent: its numbers, its keys and its address. No socket, no clock.

Most viewers of a camera share its numbers. One that joined shortly before a wrap, asked for a replay or was
dropped to a key frame goes on under its own, without a gap: a gap would be a loss to it, and be asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from camrelay.fanout.webrtc import rtcp
from camrelay.fanout.webrtc.ice import Address
from camrelay.fanout.webrtc.rtp import PacketFormat, Packets
from camrelay.fanout.webrtc.srtp import Session
from camrelay.model import CLOCK_RATE, Viewer

#: Before a wrap a viewer needs this many packets, or losing them all would leave its rollover counter behind.
WRAP_MARGIN = 512

#: Access units of the past are shown this close together, in ticks: 0.1 ms, so that a GOP of 250 passes in
#: 25 ms and the viewer ends at live, also one that plays by timestamps and not by arrival.
_PAST_STEP = 9

#: Retransmissions a viewer may have for each packet it was sent: where packets overtake each other, Chromium
#: asks for nearly all of them, and for some twice. More would cost other viewers more than a replay costs.
REPEATS = 2
#: And at once: Chromium waits for up to 1,000, and asks for each again when it has waited for 100 ms.
MAX_REPEATS = 2000

#: This many drops to a key frame within this time, and the viewer is closed: it will not get better.
MAX_LAGS = 5
LAG_WINDOW_S = 30.0


class Sender:
    """One viewer's outgoing stream.

    Args:
        viewer: whose `bytes_sent` is kept, here for retransmissions and by the caster for everything else.
        session: its keys.
        form: of its media packets; viewers with equal forms share headers.
        rtx: of its retransmissions, None when it did not offer RTX (RFC 4588).
        cname: of the camera, for RTCP.
        start: first sequence number where the camera's cannot be used; below 32768, so that no wrap is near.
        keep_s: how far back NACKs are answered.

    Attributes:
        address: where to send.
        requested_s, restarted_s: when it asked to watch, and when it last started with a key frame.
        backlog: numbered access units that it is still to be sent apart.
        sound_bytes: what of the viewer's bytes was sound.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        form: PacketFormat,
        rtx: PacketFormat | None,
        *,
        address: Address,
        cname: str,
        start: int,
        keep_s: float,
        requested_s: float,
    ) -> None:
        self.viewer = viewer
        self.address = address
        self.requested_s = requested_s
        self.restarted_s = requested_s
        self.sound_bytes = 0
        self.backlog: deque[Packets] = deque()
        self.form = form
        self.tag_bytes = session.tag_bytes
        self.stream = session.stream(form, round(keep_s * CLOCK_RATE))
        self._session = session
        self._rtx_form = rtx
        self._rtx = session.stream(rtx) if rtx else None
        self._cname = cname.encode()
        self._start = start
        self._repeated = 0
        self._repeated_bytes = 0
        self._lags: deque[float] = deque(maxlen=MAX_LAGS)
        self._allowance = 0
        self._allowed = 0

    def begin(self, gop: Iterable[Packets], now: float) -> None:
        """Lets the viewer start (again) with a key frame and what followed it; with () at the next one."""
        self.restarted_s = now
        self.backlog = deque(gop)
        self.stream.ahead = 0

    def take(self, newest: int, send_time: int) -> Packets:
        """The next access unit of the backlog under this viewer's numbers.

        Timestamps never go back. Those of the past end at `newest`, the timestamp of what is live.
        """
        packets = self.backlog.popleft()
        if not self.stream.count:
            can_share = packets.first % 0x10000 <= 0x10000 - WRAP_MARGIN
            self.stream.start_at(packets.first if can_share else self._start)
        past = newest - len(self.backlog) * _PAST_STEP
        timestamp = max(packets.timestamp, past, self.stream.last_timestamp + 1)
        return packets.renumbered(self.stream.next, timestamp, send_time)

    def is_at_live(self, newest: int) -> bool:
        """Whether it has everything, and what comes after the timestamp `newest` can be sent as it is."""
        return not self.backlog and self.stream.last_timestamp <= newest

    def go_live(self, first: int) -> None:
        """Goes on with the camera's packets from `first` on, under the numbers that it has come to."""
        self.stream.ahead = self.stream.next - first

    def is_hopeless(self, now: float) -> bool:
        """Counts a drop to the next key frame; True for one too many in LAG_WINDOW_S."""
        self._lags.append(now)
        return len(self._lags) == MAX_LAGS and now - self._lags[0] < LAG_WINDOW_S

    def retransmit(self, sequences: Iterable[int]) -> Iterator[bytes]:
        """The datagrams that answer a NACK; nothing for what is forgotten or beyond the allowance."""
        earned = REPEATS * (self.stream.count - self._allowed)
        self._allowance = min(MAX_REPEATS, self._allowance + earned)
        self._allowed = self.stream.count
        for sequence in sequences:
            datagram = self._repeat(sequence) if self._allowance else None
            if datagram is not None:
                self._allowance -= 1
                self._repeated_bytes += len(datagram)
                self.viewer.bytes_sent += len(datagram)
                yield datagram

    def _repeat(self, sequence: int) -> bytes | None:
        if self._rtx is None or self._rtx_form is None:
            datagram = self.stream.again(sequence)
            self._repeated += datagram is not None
            return datagram
        found = self.stream.find(sequence)
        if found is None:
            return None
        packets, place = found
        marker = 0x80 if place == len(packets.payloads) - 1 else 0
        index = self._rtx.next or self._start
        header = self._rtx_form.raw_header(index, packets.timestamp, marker, packets.send_time)
        # The original sequence number goes before the payload (RFC 4588 §4).
        return self._rtx.protect_packet(header, sequence.to_bytes(2) + packets.payloads[place], index)

    def report(self, now_us: int, timestamp: int) -> bytes:
        """A sender report with the RTP time of the UTC microsecond `now_us`, encrypted."""
        return self._session.protect_rtcp(
            rtcp.sender_report(
                self.form.ssrc,
                self._cname,
                now_us=now_us,
                timestamp=timestamp,
                packets=self.stream.count + self._repeated,
                octets=self._octets(),
            )
        )

    def _octets(self) -> int:
        """Payload bytes of the media stream, out of what was sent in all."""
        overhead_bytes = self.form.header_bytes + self.tag_bytes
        other_bytes = self._repeated_bytes + self.sound_bytes
        return max(0, self.viewer.bytes_sent - other_bytes - self.stream.count * overhead_bytes)

    def goodbye(self) -> bytes:
        """The BYE that ends the stream, encrypted."""
        return self._session.protect_rtcp(rtcp.goodbye(self.form.ssrc, self._cname))

    def feedback(self, data: bytes) -> list[rtcp.Feedback]:
        """What the viewer says in an SRTCP datagram.

        Raises:
            BadRtpPacket: not authentic, or not RTCP.
        """
        return rtcp.parse(self._session.unprotect_rtcp(data))
