"""Tests of camrelay.ingest.pump: bytes in one side come out of the other, nobody waits for anybody."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from collections.abc import Iterator

import pytest

from camrelay.ingest.pump import Pair, Pump, Relay

WAIT_S = 5.0


@pytest.fixture
def pump() -> Iterator[Pump]:
    made = Pump()
    yield made
    made.stop()


class Ends:
    """A pair with the two far ends in the test's hands."""

    def __init__(self, *, silence_s: float = WAIT_S, datagrams: tuple[Relay, ...] = ()) -> None:
        self.camera, inner_camera = _connected()
        self.client, inner_client = _connected()
        self.is_over = threading.Event()
        self.by_camera: bool | None = None
        self.pair = Pair(
            inner_camera,
            inner_client,
            on_request=lambda data: b"<" + data + b">",
            on_end=self._end,
            silence_s=silence_s,
            datagrams=datagrams,
        )

    def _end(self, by_camera: bool) -> None:
        self.by_camera = by_camera
        self.is_over.set()

    def close(self) -> None:
        self.camera.close()
        self.client.close()


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname(), WAIT_S)
        near, _ = listener.accept()
    far.settimeout(WAIT_S)
    return far, near


def _read(peer: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += peer.recv(65536)
    return bytes(data)


def test_bytes_arrive_whole_and_in_order_though_the_reader_is_slow(pump: Pump) -> None:
    """Far more than a pipe and the socket buffers hold goes through unchanged."""
    ends = Ends()
    pump.add(ends.pair)
    sent = random.Random(1).randbytes(20_000_000)
    writer = threading.Thread(target=ends.camera.sendall, args=(sent,))
    writer.start()

    received = _read(ends.client, len(sent))

    writer.join()
    assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()
    ends.close()


def test_a_reader_that_stops_holds_up_nobody_else(pump: Pump) -> None:
    """FFmpeg stuck on one camera: that camera waits in its own pipe, the others flow."""
    stuck, fine = Ends(), Ends()
    pump.add(stuck.pair)
    pump.add(fine.pair)
    stuck.camera.settimeout(0.2)
    with pytest.raises(TimeoutError):
        stuck.camera.sendall(bytes(100_000_000))

    fine.camera.sendall(b"media")

    assert _read(fine.client, 5) == b"media"
    stuck.close()
    fine.close()


def test_requests_go_to_the_camera_translated(pump: Pump) -> None:
    """The way back passes through the callable that adds credentials."""
    ends = Ends()
    pump.add(ends.pair)

    ends.client.sendall(b"keepalive")

    assert _read(ends.camera, 11) == b"<keepalive>"
    ends.close()


@pytest.mark.parametrize("who", ["camera", "client"])
def test_a_side_that_closes_ends_the_pair_and_is_named(pump: Pump, who: str) -> None:
    """Whoever left, the other side is closed too, and the end says whose it was."""
    ends = Ends()
    pump.add(ends.pair)
    left, stayed = (ends.camera, ends.client) if who == "camera" else (ends.client, ends.camera)

    left.close()

    assert ends.is_over.wait(WAIT_S)
    assert ends.by_camera is (who == "camera")
    assert stayed.recv(100) == b""
    ends.close()


def test_silence_ends_the_pair_as_the_cameras_fault(pump: Pump) -> None:
    """No byte for too long, though both connections stand."""
    ends = Ends(silence_s=0.1)
    pump.add(ends.pair)

    assert ends.is_over.wait(WAIT_S)
    assert ends.by_camera is True
    ends.close()


def test_datagrams_count_only_from_the_camera(pump: Pump) -> None:
    """Anybody can send to an open port; only the pinned address is forwarded."""
    inner, outer = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    player = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger, camera = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for each, address in ((inner, "127.0.0.1"), (outer, "127.0.0.1"), (player, "127.0.0.1")):
        each.bind((address, 0))
    stranger.bind(("127.0.0.2", 0))
    camera.bind(("127.0.0.1", 0))
    player.settimeout(WAIT_S)
    outer.setblocking(False)
    ends = Ends(datagrams=(Relay(outer, inner, player.getsockname(), "127.0.0.1"),))
    pump.add(ends.pair)

    stranger.sendto(b"forged", outer.getsockname())
    camera.sendto(b"media", outer.getsockname())

    assert player.recv(100) == b"media"
    ends.close()
    assert ends.is_over.wait(WAIT_S)
    for each in (inner, player, stranger, camera):
        each.close()


def test_stopping_closes_every_pair() -> None:
    """Nothing is left behind by a worker that stops."""
    pump = Pump()
    ends = Ends()
    pump.add(ends.pair)
    ends.camera.sendall(b"x")
    _read(ends.client, 1)

    pump.stop()

    assert ends.is_over.is_set()
    assert ends.client.recv(100) == b""
    ends.close()
