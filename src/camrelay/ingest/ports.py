"""Pairs of UDP sockets for RTP and RTCP."""

from __future__ import annotations

import contextlib
import socket

from camrelay.errors import SourceError

#: A key frame of a 4K camera arrives in one burst; the kernel's usual 200 KB would lose the end of it.
DATAGRAM_BUFFER_BYTES = 2_000_000


def neighbours(address: str) -> list[socket.socket]:
    """Two UDP sockets on an even port and the next one, as RTP and RTCP want (RFC 3550 §11).

    Raises:
        SourceError: no such ports are free.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Half of all ports are odd and some are taken: a few tries find a pair, and a full machine is an error.
    for _ in range(64):
        pair = [socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for _ in range(2)]
        with contextlib.suppress(OSError):
            pair[0].bind((address, 0))
            port = pair[0].getsockname()[1]
            if port % 2 == 0:
                pair[1].bind((address, port + 1))
                pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DATAGRAM_BUFFER_BYTES)
                return pair
        for sock in pair:
            sock.close()
    raise SourceError("no free UDP ports")


def first_port(pair: list[socket.socket]) -> int | None:
    """The port of RTP; None when there is no pair."""
    return pair[0].getsockname()[1] if pair else None
