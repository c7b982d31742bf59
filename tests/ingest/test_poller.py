"""Tests of camrelay.ingest.poller."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from camrelay.ingest.poller import READ, TICK_S, WRITE, Poller

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def poller() -> Poller:
    return Poller()


def test_calls_whoever_waits_for_what_happened(poller: Poller, pair: Pair) -> None:
    """And, after a change, for something else."""
    calls: list[str] = []
    poller.register(pair[0], READ, lambda now: calls.append("read"))
    pair[1].send(b"x")
    poller.poll()
    poller.change(pair[0], WRITE, lambda now: calls.append("write"))
    poller.poll()

    assert calls == ["read", "write"]


def test_a_socket_that_is_closed_by_another_event_hears_nothing(poller: Poller, pair: Pair) -> None:
    """Its number must not be given away while its own event is still on its way."""
    calls: list[int] = []

    def close_both(now: float) -> None:
        calls.append(pair[0].fileno())
        for sock in pair:
            poller.close(sock)
        assert all(sock.fileno() >= 0 for sock in pair)

    for sock in pair:
        sock.send(b"x")
        poller.register(sock, READ, close_both)
    poller.poll()

    assert len(calls) == 1
    assert all(sock.fileno() < 0 for sock in pair)


def test_time_passes_without_events(poller: Poller) -> None:
    """Deadlines are looked at, and those who no longer care are left alone."""
    ticks: list[float] = []
    poller.add_ticker(ticks.append)
    began = time.monotonic()
    poller.poll()
    poller.poll()
    poller.remove_ticker(ticks.append)
    poller.remove_ticker(ticks.append)
    poller.poll()

    assert 1 <= len(ticks) <= 2
    assert time.monotonic() - began >= TICK_S
