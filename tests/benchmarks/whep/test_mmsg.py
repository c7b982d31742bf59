"""Receiving many datagrams in one call, with UDP_GRO and without."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from benchmarks.whep.mmsg import SOL_UDP, Datagrams, dropped

UDP_SEGMENT = 103


def packets(first: int, count: int, length: int = 1186, last: int = 300) -> list[bytes]:
    heads = [struct.pack("!BBH", 0x80, 96, (first + i) & 0xFFFF) for i in range(count)]
    return [head + bytes((last if i == count - 1 else length) - 4) for i, head in enumerate(heads)]


class Pair:
    """A sender and the socket that `datagrams` reads."""

    def __init__(self, *, gro: bool, stamps: bool = False) -> None:
        self.datagrams = Datagrams(gro=gro)
        self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.bind(("127.0.0.1", 0))
        self.datagrams.prepare(self.receiver, stamps=stamps)
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.connect(self.receiver.getsockname())

    def segment(self, run: list[bytes]) -> None:
        """Sends a run in one call, as GSO does."""
        self.sender.sendmsg([b"".join(run)], [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", len(run[0])))])

    def received(self) -> list[bytes]:
        """One receive, as datagrams."""
        heads = self.datagrams.receive(self.receiver.fileno())
        found = [datagram for datagram, _ in self.datagrams.datagrams()]
        assert heads == tuple(value for d in found for value in struct.unpack_from("!HH", d.ljust(4, b"\0")))
        assert self.datagrams.received_bytes == sum(map(len, found))
        return found

    def close(self) -> None:
        self.sender.close()
        self.receiver.close()


@pytest.fixture(params=[True, False], ids=["gro", "plain"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    made = Pair(gro=request.param)
    yield made
    made.close()


def test_a_segmented_run_comes_out_as_its_packets(pair: Pair) -> None:
    """Equal packets and a shorter last one, sent in one call."""
    run = packets(65_530, 9)
    pair.segment(run)
    assert pair.received() == run


def test_single_packets_come_out_in_order(pair: Pair) -> None:
    """Packets sent one by one, of different lengths, taken in one receive."""
    run = [packets(i, 1, last=80 + i)[0] for i in range(5)]
    for packet in run:
        pair.sender.send(packet)
    assert pair.received() == run


def test_runs_and_single_packets_mix(pair: Pair) -> None:
    """Two segmented runs with something small between them."""
    first, second = packets(1, 4), packets(5, 3)
    pair.segment(first)
    pair.sender.send(b"\0\1ab")
    pair.segment(second)
    found = []
    while taken := pair.received():
        found += taken
    assert found == [*first, b"\0\1ab", *second]


def test_nothing_waits(pair: Pair) -> None:
    """An empty socket gives nothing, and forgets what came before."""
    pair.sender.send(b"before")
    pair.received()
    assert pair.received() == []


def test_stamps_are_the_kernels_arrival_times() -> None:
    """In nanoseconds of UTC; GRO's own control message beside them."""
    pair = Pair(gro=True, stamps=True)
    before = time.time_ns()
    pair.segment(packets(1, 3))
    heads = pair.datagrams.receive(pair.receiver.fileno())
    stamps = {stamp for _, stamp in pair.datagrams.datagrams()}
    pair.close()
    assert len(heads) == 6
    assert all(before - 1_000_000 <= stamp <= time.time_ns() for stamp in stamps)


def test_the_kernels_drops_are_seen() -> None:
    """A full receive buffer is the load client's fault, and told apart from the sender's."""
    pair = Pair(gro=False)
    pair.receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for packet in packets(0, 50):
        pair.sender.send(packet)
    count = 0
    while taken := pair.received():
        count += len(taken)
    assert count + dropped(pair.receiver) == 50
    assert dropped(pair.receiver) > 0
    pair.close()
