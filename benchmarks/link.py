"""A link that is not perfect: a UDP relay on loopback that loses, delays, paces and moves.

The viewer talks to the link's port, the server sees the link's other socket. Only what goes to the viewer is
impaired, as on a downlink; every decision comes from a seeded generator.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from types import TracebackType

#: A link holds this much before it drops, as the queue of a home router does: 50 ms at 20 Mb/s.
QUEUE_BYTES = 125_000


class Link:
    """One viewer's way to the server; use as a context manager.

    Args:
        server: the port that the server has on loopback.
        loss: share of datagrams lost, 0 to 1.
        burst: how many in a row are lost at each loss; the share stays the same.
        jitter_s: each datagram is delayed by up to this, at random, and so overtaken by others.
        bps: what the link carries; 0 for no limit.

    Attributes:
        port: for the viewer.
        lost, passed: datagrams to the viewer.
    """

    def __init__(
        self,
        server: int,
        *,
        loss: float = 0.0,
        burst: int = 1,
        jitter_s: float = 0.0,
        bps: int = 0,
        seed: int = 1,
    ) -> None:
        self.loss, self.burst, self.jitter_s, self.bps = loss, burst, jitter_s, bps
        self.lost = self.passed = 0
        self._server = ("127.0.0.1", server)
        self._random = random.Random(seed)
        self._losing = 0
        self._free_s = 0.0
        self._viewer: tuple[str, int] | None = None

    async def __aenter__(self) -> Link:
        self._loop = asyncio.get_running_loop()
        self._near = self._open(self._from_viewer)
        self._far = self._open(self._from_server)
        self.port = int(self._near.getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for udp in (self._near, self._far):
            self._shut(udp)

    def move(self) -> None:
        """From now on the server sees the viewer at another address, as after a change of network."""
        self._shut(self._far)
        self._far = self._open(self._from_server)

    def _open(self, take: Callable[[bytes, tuple[str, int]], None]) -> socket.socket:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        udp.bind(("127.0.0.1", 0))

        def read() -> None:
            while True:
                try:
                    data, address = udp.recvfrom(2048)
                except BlockingIOError:
                    return
                take(data, address)

        self._loop.add_reader(udp, read)
        return udp

    def _shut(self, udp: socket.socket) -> None:
        self._loop.remove_reader(udp)
        udp.close()

    def _from_viewer(self, data: bytes, address: tuple[str, int]) -> None:
        self._viewer = address
        self._far.sendto(data, self._server)

    def _from_server(self, data: bytes, _: tuple[str, int]) -> None:
        # Checks and handshakes pass: what is tested is what happens to media.
        is_media = data[0] >= 128
        if is_media and self._is_lost(len(data)):
            self.lost += 1
            return
        self.passed += is_media
        delay = self._random.uniform(0, self.jitter_s) if is_media else 0.0
        if self.bps:
            now = self._loop.time()
            self._free_s = max(self._free_s, now) + len(data) * 8 / self.bps
            delay += self._free_s - now
        if delay:
            self._loop.call_later(delay, self._deliver, data)
        else:
            self._deliver(data)

    def _is_lost(self, size: int) -> bool:
        if self._losing:
            self._losing -= 1
            return True
        if self.bps and (self._free_s - self._loop.time()) * self.bps > QUEUE_BYTES * 8:
            return True
        if self._random.random() < self.loss / self.burst:
            self._losing = self.burst - 1
            return True
        return False

    def _deliver(self, data: bytes) -> None:
        if self._viewer is not None and self._near.fileno() >= 0:
            self._near.sendto(data, self._viewer)
