"""What a worker waits for, in one place: sockets that can be read or written, and the passing of time."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT

#: How often deadlines are looked at.
TICK_S = 0.25

OnEvent = Callable[[float], None]


class Poller:
    """Calls whoever registered a socket when something has happened there, with the time in seconds.

    One thread, no locks. A socket is closed through here: its number must not be given to another one while
    an event of the first is still on its way.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._by_fd: dict[int, OnEvent] = {}
        self._tickers: set[OnEvent] = set()
        self._to_close: list[socket.socket] = []
        self._ticked_at = 0.0

    def register(self, sock: socket.socket, events: int, on_event: OnEvent) -> None:
        """Calls `on_event` whenever one of `events` holds, or the socket failed."""
        self._epoll.register(sock.fileno(), events)
        self._by_fd[sock.fileno()] = on_event

    def change(self, sock: socket.socket, events: int, on_event: OnEvent) -> None:
        """Waits for something else from now on."""
        self._epoll.modify(sock.fileno(), events)
        self._by_fd[sock.fileno()] = on_event

    def close(self, sock: socket.socket) -> None:
        """Forgets and closes a socket."""
        if self._by_fd.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())
        self._to_close.append(sock)

    def add_ticker(self, ticker: OnEvent) -> None:
        """Calls `ticker` every TICK_S."""
        self._tickers.add(ticker)

    def remove_ticker(self, ticker: OnEvent) -> None:
        """Calls it no more."""
        self._tickers.discard(ticker)

    def poll(self) -> None:
        """Waits until something happens, TICK_S at most, and has it dealt with."""
        events = self._epoll.poll(TICK_S)
        now = time.monotonic()
        for fd, _ in events:
            on_event = self._by_fd.get(fd)
            if on_event is not None:
                on_event(now)
        if now - self._ticked_at >= TICK_S:
            self._ticked_at = now
            for ticker in tuple(self._tickers):
                ticker(now)
        for sock in self._to_close:
            sock.close()
        self._to_close.clear()
