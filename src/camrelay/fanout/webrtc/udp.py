"""The one UDP socket of all WebRTC viewers.

Datagrams are told apart by their first byte (RFC 7983 §7). STUN finds its session by the user name, DTLS and
SRTCP by the address that a signed check came from; everything else is dropped before it costs anything.
Sending uses UDP_SEGMENT where the kernel has it: one system call for a run of packets.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from functools import cache, partial
from struct import pack
from typing import Protocol

from aioice.ice import get_host_addresses

from camrelay import metrics
from camrelay.config import split_address
from camrelay.errors import BadStunMessage, ConfigError
from camrelay.fanout.webrtc import ice
from camrelay.fanout.webrtc.ice import Address
from camrelay.fanout.webrtc.slots import Run

logger = logging.getLogger("camrelay.fanout")

#: Datagrams read in one turn of the event loop: about 1 ms of them, so that a flood cannot hold it.
READS_PER_TURN = 64

#: Longest datagram a viewer has reason to send is one Ethernet frame; longer ones are cut, and then invalid.
_READ_BYTES = 2048

#: A round of a 2 Mb/s camera to 2,000 viewers is 20 MB/s x 40 ms; the kernel caps this at net.core.wmem_max.
_SEND_BUFFER_BYTES = 8 << 20
#: 5,000 viewers reporting and checking at once, with the kernel's overhead for each small datagram.
_RECEIVE_BUFFER_BYTES = 4 << 20

#: Neither is in Python 3.11's socket module.
_UDP_SEGMENT = 103

#: RFC 7983: the second byte of RTCP; RTP, which no viewer has reason to send, has other values there.
_RTCP_TYPES = range(192, 224)


@cache
def _segmented(size: int) -> list[tuple[int, int, bytes]]:
    """The control message that makes the kernel cut what it is given into datagrams of `size` bytes."""
    return [(socket.IPPROTO_UDP, _UDP_SEGMENT, pack("=H", size))]


class Session(Protocol):
    """A viewer as the port sees it. The port calls these in its read loop: they must not wait."""

    def receive_check(self, data: bytes, address: Address) -> None:
        """Takes a STUN binding request that names this session; it may be anybody's."""
        ...

    def receive_dtls(self, data: bytes) -> None:
        """Takes a DTLS record from a proven address."""
        ...

    def receive_rtcp(self, data: bytes) -> None:
        """Takes an SRTCP packet from a proven address."""
        ...


class Port:
    """A bound socket and who is reached through it.

    Args:
        listen: such as "0.0.0.0:8189" or "[::]:8189", which takes IPv4 as well.
        use_gso: False never tries UDP_SEGMENT.
    """

    def __init__(self, listen: str, *, use_gso: bool = True) -> None:
        self._listen = listen
        self._has_gso = use_gso
        self._by_ufrag: dict[str, Session] = {}
        self._by_address: dict[Address, Session] = {}
        self._socket: socket.socket | None = None
        self._writable: asyncio.Future[None] | None = None

    def open(self) -> None:
        """Binds and starts to read.

        Raises:
            ConfigError: the address is taken or not this machine's.
        """
        host, number = split_address(self._listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if family == socket.AF_INET6:
                udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            udp.bind((host, number))
        except OSError as error:
            udp.close()
            reason = error.strerror or "refused"
            raise ConfigError(f"cannot use UDP {self._listen} for WebRTC: {reason}") from None
        try:
            # Off for the socket, asked for by each call: this only finds out whether the kernel knows it.
            udp.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 0)
        except OSError:
            self._has_gso = False
        self._socket = udp
        asyncio.get_running_loop().add_reader(udp, self._read)

    def close(self) -> None:
        """Stops reading and closes the socket; closing twice does no harm."""
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        self._socket.close()
        self._socket = None

    @property
    def number(self) -> int:
        """The port number it is bound to."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    def hosts(self) -> list[str]:
        """The addresses viewers can try: the one bound, or those of the interfaces, or loopback."""
        host, _ = split_address(self._listen)
        if host not in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound to
            return [host]
        return get_host_addresses(use_ipv4=True, use_ipv6=host == "::") or ["127.0.0.1"]

    def register(self, ufrag: str, session: Session) -> None:
        """Gives checks that name `ufrag` to the session."""
        self._by_ufrag[ufrag] = session

    def prove(self, address: Address, session: Session) -> None:
        """Gives what comes from `address` to the session, whoever had it before."""
        self._by_address[address] = session

    def disprove(self, address: Address, session: Session) -> None:
        """Takes an address away again, if the session still has it."""
        if self._by_address.get(address) is session:
            del self._by_address[address]

    def unregister(self, ufrag: str) -> None:
        """Forgets a session's name; its addresses are disproved one by one."""
        self._by_ufrag.pop(ufrag, None)

    def send(self, data: bytes, address: Address) -> None:
        """Sends one datagram; one that cannot be sent is lost, as any datagram may be."""
        assert self._socket is not None
        try:
            self._socket.sendto(data, address)
        except OSError:
            metrics.webrtc_datagrams_dropped.labels("not_sent").inc()

    def sending(self, run: Run) -> Callable[[Address], object]:
        """What sends the packets of a run to an address, in as few calls as the kernel allows.

        Made once per run, as it is called once per viewer. It raises BlockingIOError when the socket is full:
        what went out before is not known, and may be sent again; any other OSError is for `forgive`.
        """
        if not self._has_gso:
            return partial(self._send_each, run)
        first, *rest = [self._sending(piece, run.slot_bytes) for piece in run.pieces]
        if not rest:
            return first

        def send(address: Address) -> None:
            first(address)
            for send_piece in rest:
                send_piece(address)

        return send

    def _sending(self, piece: memoryview, slot_bytes: int) -> Callable[[Address], object]:
        assert self._socket is not None
        if len(piece) <= slot_bytes:
            return partial(self._socket.sendto, piece)
        return partial(self._socket.sendmsg, [piece], _segmented(slot_bytes), 0)

    def forgive(self, error: OSError, run: Run, address: Address) -> None:
        """Deals with a run that could not be sent: another way, or it is lost, as any datagram may be."""
        if error.errno not in (errno.EIO, errno.EINVAL):
            metrics.webrtc_datagrams_dropped.labels("not_sent").inc(run.count)
            return
        if self._has_gso:
            # The route's device cannot segment (UDP checksums not offloaded): go on without.
            logger.warning("UDP segmentation does not work here, sending packets one by one")
            self._has_gso = False
        with contextlib.suppress(BlockingIOError):
            self._send_each(run, address)

    def _send_each(self, run: Run, address: Address) -> None:
        assert self._socket is not None
        for piece in run.pieces:
            for at in range(0, len(piece), run.slot_bytes):
                try:
                    self._socket.sendto(piece[at : at + run.slot_bytes], address)
                except BlockingIOError:
                    raise
                except OSError:
                    metrics.webrtc_datagrams_dropped.labels("not_sent").inc()

    async def writable(self) -> None:
        """Waits until the socket takes datagrams again."""
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        if self._writable is None:
            self._writable = loop.create_future()
            loop.add_writer(self._socket, self._on_writable)
        await asyncio.shield(self._writable)

    def _on_writable(self) -> None:
        assert self._socket is not None
        assert self._writable is not None
        asyncio.get_running_loop().remove_writer(self._socket)
        self._writable.set_result(None)
        self._writable = None

    def _read(self) -> None:
        assert self._socket is not None
        for _ in range(READS_PER_TURN):
            try:
                data, address = self._socket.recvfrom(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                # An ICMP error of an earlier datagram; it says nothing about the next one.
                continue
            if not self._dispatch(data, address):
                metrics.webrtc_datagrams_dropped.labels("unknown").inc()
            if self._socket is None:
                return

    def _dispatch(self, data: bytes, address: Address) -> bool:
        """Gives a datagram to its session; False when it is nobody's."""
        first = data[0] if data else 255
        if first < 4:
            try:
                named = self._by_ufrag.get(ice.local_ufrag(data))
            except BadStunMessage:
                return False
            if named is not None:
                named.receive_check(data, address)
            return named is not None
        session = self._by_address.get(address)
        if session is None:
            return False
        if 20 <= first < 64:
            session.receive_dtls(data)
            return True
        if 128 <= first < 192 and len(data) > 1 and data[1] in _RTCP_TYPES:
            session.receive_rtcp(data)
            return True
        return False
