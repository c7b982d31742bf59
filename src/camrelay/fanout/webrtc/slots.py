"""Reusable room for one run of packets: what does not depend on the viewer is done here, once for all.

A run is neighbouring packets in slots of one size, so that one sendmsg with UDP_SEGMENT carries all up to one
that does not fill its slot. It is laid out once as plaintext; for each viewer it is copied into the slots and
encrypted there, over the one's before, which the kernel has copied by the time sendmsg returns.
"""

from __future__ import annotations

from struct import pack
from typing import Any

from pylibsrtp._binding import ffi  # type: ignore[import-not-found]

from camrelay.fanout.webrtc.rtp import PAYLOAD_BYTES, RUN_PACKETS, PacketFormat, Packets

#: The two bytes of each sequence number, and of those after a wrap that one run may reach.
_HIGH = b"".join(bytes((high,)) * 256 for high in range(256)) + bytes(256)
_LOW = bytes(range(256)) * 257

#: Where libsrtp finds a packet and its length, which it changes: `char *` and `int *`.
Place = tuple[Any, Any]


class Run:
    """Packets laid out to be encrypted and sent.

    Attributes:
        plain, plain_lengths: what `datagrams` and `lengths` hold before encryption.
        datagrams: the slots, each `slot_bytes` long but the last.
        lengths: of each packet, the C int that libsrtp reads and writes.
        places: of both, for each packet.
        pieces: the datagrams as they are handed over: packets that fill their slots, and one that does not.
    """

    __slots__ = (
        "count",
        "datagrams",
        "end",
        "first",
        "lengths",
        "packets",
        "pieces",
        "places",
        "plain",
        "plain_lengths",
        "slot_bytes",
        "starts",
    )

    def __init__(self, packets: Packets, start: int, plain: list[bytes], slots: Slots) -> None:
        self.packets = packets
        self.first = packets.first + start
        self.end = self.first + len(plain)
        self.count = len(plain)
        self.starts = start == 0
        self.slot_bytes = slots.slot_bytes
        ends = [index * self.slot_bytes + len(packet) + slots.tag_bytes for index, packet in enumerate(plain)]
        self.plain = b"".join(packet.ljust(self.slot_bytes, b"\0") for packet in plain)[: ends[-1]]
        self.plain_lengths = pack(f"={self.count}i", *map(len, plain))
        self.datagrams = slots.datagrams[: ends[-1]]
        self.lengths = slots.lengths[: len(self.plain_lengths)]
        self.places = slots.places[: self.count]
        self.pieces = []
        at = 0
        for index, end in enumerate(ends, 1):
            if end % self.slot_bytes or index == self.count:
                self.pieces.append(self.datagrams[at:end])
                at = index * self.slot_bytes

    def number(self, first: int) -> None:
        """Gives the packets in `datagrams`, not encrypted yet, the sequence numbers from `first` on."""
        at = first & 0xFFFF
        self.datagrams[2 :: self.slot_bytes] = _HIGH[at : at + self.count]
        self.datagrams[3 :: self.slot_bytes] = _LOW[at : at + self.count]


class Slots:
    """Room for one run, made once and used for every viewer in turn.

    Args:
        header_bytes: of the RTP headers.
        tag_bytes: that the profile appends.

    Attributes:
        run: what was laid last, and can be used until something else is laid.
        slot_bytes: from the start of one packet to that of the next.
        datagrams, lengths, places: see `Run`; here of the longest one.
    """

    def __init__(self, header_bytes: int, tag_bytes: int) -> None:
        self.run: Run | None = None
        self.slot_bytes = header_bytes + PAYLOAD_BYTES + tag_bytes
        self.tag_bytes = tag_bytes
        datagrams = ffi.new("char[]", self.slot_bytes * RUN_PACKETS)
        lengths = ffi.new("int[]", RUN_PACKETS)
        # The views keep this memory alive.
        self.datagrams = memoryview(ffi.buffer(datagrams))
        self.lengths = memoryview(ffi.buffer(lengths))
        self.places: list[Place] = [
            (datagrams + index * self.slot_bytes, lengths + index) for index in range(RUN_PACKETS)
        ]

    def lay(self, form: PacketFormat, packets: Packets, start: int, stop: int) -> Run:
        """Lays out the packets [start, stop); whatever was laid before cannot be used any more."""
        plain = [form.header(packets, index) + packets.payloads[index] for index in range(start, stop)]
        self.run = Run(packets, start, plain, self)
        return self.run
