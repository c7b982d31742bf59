"""Thousands of WHEP viewers in one process on one core.

Sockets of viewers that play are looked at by the clock, through an epoll that nobody waits for. Were
this process woken by packets, the sender's kernel would do the waking, a seventh of its time, and viewers who
are elsewhere never make it do that. Delays come from the kernel's stamps and do not notice.

A receive is one system call for an access unit, and its sequence numbers are checked in one comparison; only
a sample is opened.
"""

from __future__ import annotations

import asyncio
import collections
import select
import time
from collections.abc import Callable
from typing import NamedTuple

import aiohttp

from benchmarks.whep.dtls import Certificate
from benchmarks.whep.mmsg import Datagrams, dropped
from benchmarks.whep.sample import Sample
from benchmarks.whep.viewer import JoinFailed, Sampling, Viewer

#: Sockets served before other callbacks of the event loop get their turn.
_BATCH = 512

#: RFC 7675 §5.1: a consent check about every 5 s.
_CONSENT_INTERVAL_S = 5.0

#: Joins under way at once; a browser crowd does not wait for one another, a handshake is a millisecond of
#: CPU.
_JOINS_AT_ONCE = 16


class Totals(NamedTuple):
    """The account of the whole crowd at one moment; differences of two are what a measurement reports."""

    at: float
    viewers: int
    packets: int
    bytes: int
    missing: int
    late: int
    #: Packets the load client itself lost: its sockets' buffers were full.
    dropped: int


class Crowd:
    """Viewers that join, are counted, and leave.

    Args:
        gro: receive runs of packets in one piece (UDP_GRO).
        sample_every: each n-th viewer decrypts what it gets, and reads the camera's clock; 0 for none.
        decode_every: each n-th of those decodes pictures too.
        address: the local one of every viewer; another than loopback only for servers that refuse it.
        reports_s: seconds between receiver reports of a viewer, as browsers send them; 0 for none.
        look_s: seconds between two looks at the viewers that play.
    """

    def __init__(
        self,
        *,
        gro: bool = True,
        sample_every: int = 100,
        decode_every: int = 10,
        address: str = "127.0.0.1",
        reports_s: float = 1.0,
        look_s: float = 0.001,
    ) -> None:
        self._address = address
        self._datagrams = Datagrams(gro=gro)
        self._sample_every = sample_every
        self._decode_every = decode_every
        self._reports_s = reports_s
        self._look_s = look_s
        self._certificate = Certificate()
        #: Viewers on their way to the first packet, whose moment counts: the event loop waits for these.
        self._joining = select.epoll()
        self._playing = select.epoll()
        self._by_fd: dict[int, Viewer] = {}
        self._http: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._made = 0
        self.viewers: list[Viewer] = []
        self.failures: collections.Counter[str] = collections.Counter()

    async def __aenter__(self) -> Crowd:
        asyncio.get_running_loop().add_reader(self._joining.fileno(), self._drain, self._joining)
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=10), connector=aiohttp.TCPConnector(limit=_JOINS_AT_ONCE)
        )
        self._tasks = [asyncio.create_task(self._look()), asyncio.create_task(self._keep_alive())]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._http is not None
        for task in self._tasks:
            task.cancel()
        asyncio.get_running_loop().remove_reader(self._joining.fileno())
        self._joining.close()
        self._playing.close()
        viewers, self.viewers = self.viewers, []
        places = asyncio.Semaphore(_JOINS_AT_ONCE)

        async def leave(viewer: Viewer) -> None:
            async with places:
                assert self._http is not None
                await viewer.leave(self._http)

        await asyncio.gather(*map(leave, viewers))
        await self._http.close()

    def add(self) -> Viewer:
        """A viewer whose socket is read from now on, not yet joined."""
        viewer = Viewer(self._datagrams, self._sampling(self._made), self._address)
        self._made += 1
        self._by_fd[viewer.fd] = viewer
        self._joining.register(viewer.fd, select.EPOLLIN)
        self.viewers.append(viewer)
        return viewer

    def _sampling(self, number: int) -> Sampling:
        if not self._sample_every:
            return "count"
        sample, rest = divmod(number, self._sample_every)
        if rest:
            return "count"
        return "open" if sample % self._decode_every else "decode"

    def discard(self, viewer: Viewer) -> None:
        """Forgets a viewer and closes its socket."""
        (self._playing if viewer.first_packet_at else self._joining).unregister(viewer.fd)
        del self._by_fd[viewer.fd]
        self.viewers.remove(viewer)
        viewer.udp.close()

    async def join(
        self,
        url: str,
        count: int,
        *,
        per_second: float,
        headers: dict[str, str] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> list[Viewer]:
        """Lets `count` viewers join, evenly spread in time; failures are counted by reason.

        Returns:
            Those that succeeded.
        """
        places = asyncio.Semaphore(_JOINS_AT_ONCE)
        began = time.monotonic()
        joined: list[Viewer] = []

        async def one(index: int) -> None:
            await asyncio.sleep(max(0.0, began + index / per_second - time.monotonic()))
            async with places:
                viewer = self.add()
                try:
                    assert self._http is not None
                    await viewer.join(self._http, url, headers or {}, self._certificate)
                except JoinFailed as failure:
                    self.failures[str(failure)] += 1
                    self.discard(viewer)
                    return
            joined.append(viewer)
            if progress is not None:
                progress(len(joined))

        await asyncio.gather(*(one(i) for i in range(count)))
        return joined

    def totals(self) -> Totals:
        """The account now."""
        viewers = self.viewers
        return Totals(
            at=time.monotonic(),
            viewers=len(viewers),
            packets=sum(v.sequence.packets for v in viewers),
            bytes=sum(v.bytes for v in viewers),
            missing=sum(max(0, v.sequence.missing) for v in viewers),
            late=sum(v.sequence.late for v in viewers),
            dropped=sum(dropped(v.udp) for v in viewers),
        )

    def samples(self) -> list[Sample]:
        """The opened viewers."""
        return [v.sample for v in self.viewers if v.sample is not None]

    async def _look(self) -> None:
        while True:  # Not for an event: see above.
            pause_s = 0 if self._drain(self._playing) == _BATCH else self._look_s
            await asyncio.sleep(pause_s)

    def _drain(self, epoll: select.epoll) -> int:
        """Receives once from every socket that has something, up to one batch; returns how many had."""
        now = time.monotonic()
        receive, datagrams = self._datagrams.receive, self._datagrams
        ready = epoll.poll(0, _BATCH)
        for fd, _ in ready:
            viewer = self._by_fd.get(fd)
            if viewer is None:
                continue
            heads = receive(fd)
            viewer.bytes += datagrams.received_bytes
            if viewer.sample is None and viewer.sequence.fast(heads):
                viewer.last_media_at = now
            else:
                viewer.slow(now)
                if epoll is self._joining and viewer.first_packet_at:
                    self._joining.unregister(fd)
                    self._playing.register(fd, select.EPOLLIN)
        return len(ready)

    async def _keep_alive(self) -> None:
        """Spreads consent checks and receiver reports evenly over their intervals."""
        tick_s = 0.1
        checks = reports = 0.0
        check_at = report_at = 0
        while True:
            await asyncio.sleep(tick_s)
            count = len(self.viewers)
            if not count:
                continue
            checks += count * tick_s / _CONSENT_INTERVAL_S
            while checks >= 1:
                checks -= 1
                check_at = (check_at + 1) % count
                self.viewers[check_at].check()
            if self._reports_s:
                reports += count * tick_s / self._reports_s
                while reports >= 1:
                    reports -= 1
                    report_at = (report_at + 1) % count
                    self.viewers[report_at].report()
