"""Reusable room for one run of packets: what does not depend on the viewer is done here, once for all.

A run is packets of one size but the last, back to back in one buffer, so that one sendmsg with UDP_SEGMENT
carries them. Headers are written when the run is laid; each viewer's ciphertext then overwrites the one's
before, and the kernel has copied that by the time sendmsg returns.
"""

from __future__ import annotations

from camrelay.fanout.webrtc.rtp import PAYLOAD_BYTES, RUN_PACKETS, PacketFormat, Packets

#: 16-bit sequence number, payload, header, and where the encrypted payload with its tag goes.
Row = tuple[int, bytes, bytes, memoryview]


class Run:
    """Packets laid out for one sendmsg: headers in place, room behind them for `srtp.Stream.protect`.

    Attributes:
        datagrams: all packets back to back, each `slot_bytes` long but the last.
        buffers: the same as sendmsg wants it.
    """

    __slots__ = (
        "buffers",
        "count",
        "datagrams",
        "end",
        "first",
        "packets",
        "rollover",
        "rows",
        "slot_bytes",
        "starts",
    )

    def __init__(
        self,
        packets: Packets,
        start: int,
        rows: list[Row],
        datagrams: memoryview,
        slot_bytes: int,
    ) -> None:
        self.packets = packets
        self.first = packets.first + start
        self.end = self.first + len(rows)
        self.count = len(rows)
        self.rollover = self.first >> 16
        self.starts = start == 0
        self.rows = rows
        self.datagrams = datagrams
        self.buffers = [datagrams]
        self.slot_bytes = slot_bytes


class Slots:
    """Room for one run, made once and used for every viewer in turn.

    Args:
        header_bytes: of the RTP headers.
        tag_bytes: that the profile appends.
    """

    def __init__(self, header_bytes: int, tag_bytes: int) -> None:
        #: What was laid last, and can be used until something else is laid.
        self.run: Run | None = None
        self.slot_bytes = header_bytes + PAYLOAD_BYTES + tag_bytes
        self._header_bytes = header_bytes
        self._tag_bytes = tag_bytes
        self._buffer = memoryview(bytearray(self.slot_bytes * RUN_PACKETS))
        starts = range(0, len(self._buffer), self.slot_bytes)
        self._outs = [self._buffer[at + header_bytes : at + self.slot_bytes] for at in starts]

    def lay(self, form: PacketFormat, packets: Packets, start: int, stop: int) -> Run:
        """Writes the headers of the packets [start, stop); whatever was laid before is overwritten."""
        rows: list[Row] = []
        buffer, step, at = self._buffer, self.slot_bytes, 0
        for index in range(start, stop):
            header = form.header(packets, index)
            payload = packets.payloads[index]
            buffer[at : at + self._header_bytes] = header
            out = self._outs[index - start]
            if len(payload) != PAYLOAD_BYTES:
                out = out[: len(payload) + self._tag_bytes]
            rows.append((packets.first + index & 0xFFFF, payload, header, out))
            at += step
        end = at - step + self._header_bytes + len(out)
        self.run = Run(packets, start, rows, buffer[:end], step)
        return self.run
