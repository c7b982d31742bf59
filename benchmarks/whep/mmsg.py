"""Many datagrams of one socket in one call, and their RTP sequence numbers in one more.

recvmmsg(2) through ctypes, because Python has no such call and one call per packet is more than a core has at
2,000 viewers. With UDP_GRO a whole run of packets that the sender handed over in one UDP_SEGMENT call arrives
as one message; without, each packet is a message of its own. Callers see neither: they see datagrams.

The buffers belong to the object and are overwritten by the next `receive`. Linux on 64 bits only.
"""

from __future__ import annotations

import ctypes
import functools
import socket
import struct
import sys
from collections.abc import Iterator

if sys.platform != "linux" or sys.maxsize < 2**32:  # pragma: no cover
    raise ImportError("the load client's message layout is that of 64-bit Linux")

#: udp(7); Python has no name for it.
UDP_GRO = 104
SOL_UDP = 17
#: socket(7); the value of SO_TIMESTAMPNS_OLD, also the type of its control message.
SO_TIMESTAMPNS = 35
#: unix: SO_MEMINFO and the place of the drop counter in its answer (linux/sock_diag.h).
_SO_MEMINFO, _MEMINFO_DROPS = 55, 8

#: The most datagrams one UDP_SEGMENT call makes (the kernel's UDP_MAX_SEGMENTS is 128), and one message
#: holds.
_GRO_MESSAGE_BYTES = 65_536
#: Above any path MTU we meet: loopback senders keep to 1,500.
_PLAIN_MESSAGE_BYTES = 2_048

#: Messages per call. A key frame of 40 kB is 35 packets; the rest comes with the next call.
_MESSAGES_WITH_GRO, _MESSAGES_WITHOUT = 16, 64

#: struct mmsghdr: name, namelen, iov, iovlen, control, controllen, flags, then msg_len.
_MESSAGE = struct.Struct("=QI4xQQQQi4xI4x")
_IOVEC = struct.Struct("=QQ")
#: Room for one SO_TIMESTAMPNS (32 bytes) and one UDP_GRO (24 bytes).
_CONTROL_BYTES = 64
_CMSG = struct.Struct("=Qii")
_TIMESPEC = struct.Struct("=qq")
_INT = struct.Struct("=i")

#: (controllen, msg_len) of each of the first n messages.
_RESULTS = [struct.Struct("=" + "40xQ8xI4x" * n) for n in range(_MESSAGES_WITHOUT + 1)]


@functools.cache
def _rtp_heads(stride: int, count: int) -> struct.Struct:
    """Reads (first two bytes, sequence number) of `count` packets that start `stride` bytes apart."""
    return struct.Struct("!" + f"HH{stride - 4}x" * (count - 1) + "HH")


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class Datagrams:
    """Receives from any number of UDP sockets into one set of buffers."""

    def __init__(self, *, gro: bool) -> None:
        self.gro = gro
        self._messages = _MESSAGES_WITH_GRO if gro else _MESSAGES_WITHOUT
        self._stride = _GRO_MESSAGE_BYTES if gro else _PLAIN_MESSAGE_BYTES
        self._buffer = bytearray(self._messages * self._stride)
        self._control = bytearray(self._messages * _CONTROL_BYTES)
        self._vectors = bytearray(self._messages * _IOVEC.size)
        self._headers = bytearray(self._messages * _MESSAGE.size)
        buffer, control, vectors = map(_address, (self._buffer, self._control, self._vectors))
        for i in range(self._messages):
            _IOVEC.pack_into(self._vectors, i * _IOVEC.size, buffer + i * self._stride, self._stride)
            message = (0, 0, vectors + i * _IOVEC.size, 1, control + i * _CONTROL_BYTES, _CONTROL_BYTES, 0, 0)
            _MESSAGE.pack_into(self._headers, i * _MESSAGE.size, *message)
        #: What the kernel overwrites, by the number of messages it wrote.
        self._fresh = [bytes(self._headers[: i * _MESSAGE.size]) for i in range(self._messages + 1)]
        self._headers_address = _address(self._headers)
        self._recvmmsg = ctypes.PyDLL(None).recvmmsg
        self._recvmmsg.argtypes = [
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_void_p,
        ]
        self._results: tuple[int, ...] = ()
        self.received_bytes = 0

    def prepare(self, udp: socket.socket, *, stamps: bool) -> None:
        """Readies a socket that `receive` will read; `stamps` asks for the kernel's arrival times."""
        if self.gro:
            udp.setsockopt(SOL_UDP, UDP_GRO, 1)
        if stamps:
            udp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def receive(self, fd: int) -> tuple[int, ...]:
        """Takes what waits at the socket, within the limit of messages per call.

        Returns:
            First two bytes and sequence number of each datagram, flat, as if all were RTP; empty when nothing
            waited. `received_bytes` is their length.
        """
        count = self._recvmmsg(fd, self._headers_address, self._messages, socket.MSG_DONTWAIT, None)
        if count <= 0:
            self._results = ()
            self.received_bytes = 0
            return ()
        self._results = results = _RESULTS[count].unpack_from(self._headers)
        self._headers[: count * _MESSAGE.size] = self._fresh[count]
        if count == 1:
            control, length = results
            self.received_bytes = length
            segment = self._segment_bytes(0, control) if control else 0
            if not segment or segment >= length:
                return _rtp_heads(4, 1).unpack_from(self._buffer)
            return _rtp_heads(segment, -(-length // segment)).unpack_from(self._buffer)
        self.received_bytes = sum(results[1::2])
        if not any(results[::2]):
            return _rtp_heads(self._stride, count).unpack_from(self._buffer)
        heads: list[int] = []
        for start, length, segment, _ in self._runs():
            heads += _rtp_heads(max(segment, 4), -(-length // segment)).unpack_from(self._buffer, start)
        return tuple(heads)

    def datagrams(self) -> Iterator[tuple[bytes, int]]:
        """(datagram, arrival in nanoseconds of UTC or 0) of each that the last `receive` took."""
        for start, length, segment, stamp in self._runs():
            for offset in range(start, start + length, segment):
                yield bytes(self._buffer[offset : min(offset + segment, start + length)]), stamp

    def _runs(self) -> Iterator[tuple[int, int, int, int]]:
        """(offset, length, segment length, stamp) of each message of the last `receive`."""
        pairs = zip(self._results[::2], self._results[1::2], strict=True)
        for index, (control, length) in enumerate(pairs):
            if length:
                segment = self._segment_bytes(index, control) or length
                yield index * self._stride, length, segment, self._stamp(index, control)

    def _control_data(self, index: int, length: int, kind: tuple[int, int]) -> int:
        """Offset of the data of the control message (level, type), 0 when there is none."""
        start = index * _CONTROL_BYTES
        position, end = start, start + length
        while position + _CMSG.size <= end:
            size, level, type_ = _CMSG.unpack_from(self._control, position)
            if (level, type_) == kind:
                return position + _CMSG.size
            position += max(size + 7 & ~7, _CMSG.size)
        return 0

    def _segment_bytes(self, index: int, control: int) -> int:
        at = self._control_data(index, control, (SOL_UDP, UDP_GRO))
        return int(_INT.unpack_from(self._control, at)[0]) if at else 0

    def _stamp(self, index: int, control: int) -> int:
        at = self._control_data(index, control, (socket.SOL_SOCKET, SO_TIMESTAMPNS))
        if not at:
            return 0
        seconds, nanoseconds = _TIMESPEC.unpack_from(self._control, at)
        return int(seconds * 1_000_000_000 + nanoseconds)


def dropped(udp: socket.socket) -> int:
    """Datagrams the kernel threw away because this socket's buffer was full: the load client's own fault."""
    answer = udp.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
    return int(struct.unpack_from("=9I", answer)[_MEMINFO_DROPS])
