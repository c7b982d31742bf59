"""One thread that moves media bytes between cameras and FFmpeg for a whole worker, without looking at them.

splice(2) keeps camera bytes out of Python: socket, pipe, socket. What a camera may have in flight is the
pipe, and a full pipe stops reading that camera alone. The other direction is rare and goes to a callable,
because requests need credentials. A pair ends when either side closes, when it is silent too long, or when
told to.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable

#: At most this is taken from one camera before the next has its turn; also what a pipe holds by default.
BURST_BYTES = 64 * 1024

#: How often silence is looked for.
TICK_S = 0.5

_SPLICE = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK  # type: ignore[attr-defined, unused-ignore]

OnRequest = Callable[[bytes], bytes]


class Pair:
    """A camera's socket and FFmpeg's, joined.

    Args:
        camera: connected, past PLAY.
        client: FFmpeg's end.
        on_request: turns bytes from FFmpeg into bytes for the camera; raises OSError or ValueError to end it.
        on_end: called once in the pump's thread, with True when the camera was the one that ended or was
            silent; last chance to write to the camera.
        silence_s: longest time without a byte from the camera.
    """

    def __init__(
        self,
        camera: socket.socket,
        client: socket.socket,
        *,
        on_request: OnRequest,
        on_end: Callable[[bool], None],
        silence_s: float,
        datagrams: tuple[Relay, ...] = (),
    ) -> None:
        self.camera = camera
        self.client = client
        self.on_request = on_request
        self.on_end = on_end
        self.silence_s = silence_s
        self.datagrams = datagrams
        self.heard_at = time.monotonic()
        self.is_blocked = False
        self.is_over = False
        self._is_tls = isinstance(camera, ssl.SSLSocket)
        self._rest = b""
        self._in_pipe = 0
        self._pipe_out, self._pipe_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def move(self) -> bool:
        """Carries what the camera sent to FFmpeg.

        Returns:
            False when FFmpeg does not keep up and must become writable first.

        Raises:
            OSError: one side is gone.
        """
        return self._move_decrypted() if self._is_tls else self._splice()

    def _splice(self) -> bool:
        if not self._in_pipe:
            try:
                self._in_pipe = os.splice(self.camera.fileno(), self._pipe_in, BURST_BYTES, flags=_SPLICE)
            except BlockingIOError:
                return True
            if not self._in_pipe:
                raise ConnectionResetError
        while self._in_pipe:
            try:
                self._in_pipe -= os.splice(self._pipe_out, self.client.fileno(), self._in_pipe, flags=_SPLICE)
            except BlockingIOError:
                return False
        return True

    def _move_decrypted(self) -> bool:
        # The TLS library may hold decrypted bytes that no poll can see: read until it wants the socket again.
        while True:
            if not self._rest:
                try:
                    self._rest = self.camera.recv(BURST_BYTES)
                except (ssl.SSLWantReadError, BlockingIOError):
                    return True
                if not self._rest:
                    raise ConnectionResetError
            while self._rest:
                try:
                    self._rest = self._rest[self.client.send(self._rest) :]
                except BlockingIOError:
                    return False

    def close(self) -> None:
        """Lets go of every descriptor."""
        self.is_over = True
        for relay in self.datagrams:
            relay.close()
        for end in (self.client, self.camera):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        os.close(self._pipe_in)
        os.close(self._pipe_out)


class Relay:
    """One UDP path from the camera to FFmpeg or back: what arrives at `source` leaves from `out` to `target`.

    Only datagrams from the address `peer` count, if it is given: anybody can send to an open port.
    """

    def __init__(
        self, source: socket.socket, out: socket.socket, target: tuple[str, int], peer: str | None
    ) -> None:
        self.source = source
        self._out = out
        self._target = target
        self._peer = peer

    def move(self) -> bool:
        """Forwards what has arrived; True when any of it counted."""
        counted = False
        # A bound, so that one flooded port does not starve the others.
        for _ in range(64):
            try:
                datagram, (host, *_) = self.source.recvfrom(65_536)
            except OSError:
                break
            if self._peer is None or host == self._peer:
                counted = True
                with contextlib.suppress(OSError):
                    self._out.sendto(datagram, self._target)
        return counted

    def close(self) -> None:
        """Closes the receiving socket."""
        self.source.close()


class Pump:
    """The thread. Pairs are added and ended from any thread."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._by_fd: dict[int, tuple[Pair, Relay | None]] = {}
        self._lock = threading.Lock()
        self._added: list[Pair] = []
        self._ended: list[Pair] = []
        self._is_stopping = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="guard-pump", daemon=True)
        self._thread.start()

    def add(self, pair: Pair) -> None:
        """Starts moving a pair's bytes."""
        with self._lock:
            self._added.append(pair)
        os.eventfd_write(self._wake, 1)

    def end(self, pair: Pair) -> None:
        """Ends a pair soon; ending it twice does no harm."""
        with self._lock:
            self._ended.append(pair)
        os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """Ends every pair and the thread."""
        self._is_stopping = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(2.0)

    def _run(self) -> None:
        checked_at = time.monotonic()
        while not self._is_stopping:
            events = self._poll.poll(TICK_S)
            now = time.monotonic()
            for fd, event in events:
                if fd == self._wake:
                    os.eventfd_read(self._wake)
                elif fd in self._by_fd:
                    self._serve(fd, event, now)
            self._take_orders(now)
            if now - checked_at >= TICK_S:
                checked_at = now
                for pair in self._pairs():
                    if now - pair.heard_at > pair.silence_s:
                        self._finish(pair, by_camera=True)
        for pair in self._pairs():
            self._finish(pair, by_camera=False)

    def _serve(self, fd: int, event: int, now: float) -> None:
        pair, relay = self._by_fd[fd]
        by_camera = fd != pair.client.fileno()
        try:
            if relay is not None:
                if relay.move():
                    pair.heard_at = now
            elif by_camera:
                pair.heard_at = now
                self._set_blocked(pair, not pair.move())
            else:
                if event & select.EPOLLOUT:
                    self._set_blocked(pair, not pair.move())
                if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                    self._take_request(pair)
        except (OSError, ValueError):
            self._finish(pair, by_camera=by_camera)

    def _take_request(self, pair: Pair) -> None:
        data = pair.client.recv(BURST_BYTES)
        if not data:
            raise ConnectionResetError
        answer = pair.on_request(data)
        if answer:
            # A few hundred bytes into an idle direction; where that blocks, the camera has stopped reading.
            pair.camera.send(answer)

    def _set_blocked(self, pair: Pair, is_blocked: bool) -> None:
        if is_blocked == pair.is_blocked:
            return
        pair.is_blocked = is_blocked
        self._poll.modify(pair.camera.fileno(), 0 if is_blocked else select.EPOLLIN)
        self._poll.modify(pair.client.fileno(), select.EPOLLIN | (select.EPOLLOUT if is_blocked else 0))

    def _take_orders(self, now: float) -> None:
        with self._lock:
            added, self._added = self._added, []
            ended, self._ended = self._ended, []
        for pair in added:
            pair.camera.setblocking(False)
            pair.client.setblocking(False)
            pair.heard_at = now
            for fd, relay in (
                (pair.camera.fileno(), None),
                (pair.client.fileno(), None),
                *((relay.source.fileno(), relay) for relay in pair.datagrams),
            ):
                self._by_fd[fd] = (pair, relay)
                self._poll.register(fd, select.EPOLLIN)
            # TLS may have decrypted the first packets during the handshake already.
            self._serve(pair.camera.fileno(), select.EPOLLIN, now)
        for pair in ended:
            self._finish(pair, by_camera=False)

    def _finish(self, pair: Pair, *, by_camera: bool) -> None:
        if pair.is_over:
            return
        for fd in (pair.camera.fileno(), pair.client.fileno(), *(r.source.fileno() for r in pair.datagrams)):
            if self._by_fd.pop(fd, None):
                self._poll.unregister(fd)
        with contextlib.suppress(OSError, ValueError):
            pair.on_end(by_camera)
        pair.close()

    def _pairs(self) -> set[Pair]:
        return {pair for pair, _ in self._by_fd.values()}
