"""One camera and its receivers: who lags skips to a key frame, and nobody else notices."""

from __future__ import annotations

from typing import Any

import pytest

from camrelay.simulate import rtp
from camrelay.simulate.camera import MAX_LAG_S, MAX_WAITING_BYTES, REPORT_S, Camera, TcpReceiver, UdpReceiver
from camrelay.simulate.options import Options
from camrelay.simulate.rtsp import Transport

KEY = rtp.cut((b"\x65" + b"k" * 3000,), is_key=True, delay=0)
DELTA = rtp.cut((b"\x41" + b"d" * 100,), is_key=False, delay=0)
OPTIONS = Options(first_sequence=0, first_timestamp=0)
FPS = OPTIONS.picture.fps


class Wire:
    """An asyncio transport that keeps what is written, and pretends that `waiting` bytes are not sent yet."""

    def __init__(self) -> None:
        self.written: list[Any] = []
        self.waiting = 0
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def sendto(self, data: bytes, addr: tuple[str, int]) -> None:
        self.written.append((addr, data))

    def abort(self) -> None:
        self.is_aborted = True


def camera() -> Camera:
    """A camera whose loop is a key frame and three others."""
    return Camera(1, [KEY, DELTA, DELTA, DELTA], b"", OPTIONS)


def tcp(wire: Wire, channel: int = 0) -> TcpReceiver:
    """A receiver on two neighbouring channels."""
    return TcpReceiver(wire, Transport("tcp", channel, channel + 1))  # type: ignore[arg-type]


def kinds(wire: Wire) -> str:
    """What was written: K for a key frame, d for another access unit, r for a report."""
    sizes = {len(KEY.template): "K", len(DELTA.template): "d"}
    return "".join(sizes.get(len(data), "r") for data in wire.written)


def run(camera: Camera, ticks: range) -> None:
    """Lets the camera send at these ticks."""
    for tick in ticks:
        camera.depart(tick, now=tick / FPS, now_us=tick * 40_000)


def test_a_receiver_gets_everything_and_a_report() -> None:
    """From the first key frame on, a sender report after the first access unit and every five seconds."""
    subject, wire = camera(), Wire()
    subject.attach(tcp(wire))

    run(subject, range(REPORT_S * FPS + 1))

    assert kinds(wire).startswith("KrdddKddd")
    assert kinds(wire).endswith("r")
    assert kinds(wire).count("r") == 2


def test_a_second_receiver_waits_for_a_key_frame() -> None:
    """It joins a running camera on its own channels, and shares the packets."""
    subject, first, second = camera(), Wire(), Wire()
    subject.attach(tcp(first))
    run(subject, range(2))

    subject.attach(tcp(second, channel=8))
    run(subject, range(2, 6))

    assert kinds(second) == "Kd"
    assert second.written[0][1] == 8
    assert second.written[0].replace(b"$\x08", b"$\x00") == first.written[-2]


def test_a_lagging_receiver_skips_to_a_key_frame() -> None:
    """Over its limit nothing more is written; once there is room it goes on at a key frame."""
    subject, slow, other = camera(), Wire(), Wire()
    subject.attach(tcp(slow))
    subject.attach(tcp(other))
    run(subject, range(1))

    slow.waiting = MAX_WAITING_BYTES + 1
    run(subject, range(1, 6))
    slow.waiting = MAX_WAITING_BYTES
    run(subject, range(6, 10))

    assert kinds(slow) == "KrKd"
    assert kinds(other) == "KrdddKdddKd"
    assert not slow.is_aborted


def test_a_hopeless_receiver_is_cut() -> None:
    """After ten seconds over the limit, not before; reports are not added to its backlog."""
    subject, slow = camera(), Wire()
    subject.attach(tcp(slow))
    run(subject, range(1))
    slow.waiting = MAX_WAITING_BYTES + 1

    run(subject, range(1, int(MAX_LAG_S * FPS)))
    assert not slow.is_aborted
    run(subject, range(int(MAX_LAG_S * FPS), int(MAX_LAG_S * FPS) + 6))

    assert slow.is_aborted
    assert kinds(slow) == "Kr"


def test_datagrams_go_to_both_ports() -> None:
    """RTP to one, reports to the other; a full socket costs access units up to the next key frame."""
    subject, media, control = camera(), Wire(), Wire()
    subject.attach(UdpReceiver(media, control, "192.0.2.7", Transport("udp", 5000, 5001)))
    run(subject, range(1))
    media.waiting = MAX_WAITING_BYTES + 1
    run(subject, range(1, 2))
    media.waiting = 0
    run(subject, range(2, 6))

    assert {("192.0.2.7", 5000)} == {address for address, _ in media.written}
    assert [address for address, _ in control.written] == [("192.0.2.7", 5001)]
    assert len(media.written) == 2 * len(KEY.headers) + len(DELTA.headers)


def test_nobody_watching_the_camera_stands_at_a_key_frame() -> None:
    """The next one to come does not wait, wherever the last one left."""
    subject, first, second = camera(), Wire(), Wire()
    receiver = tcp(first)
    subject.attach(receiver)
    run(subject, range(2))
    subject.detach(receiver)
    run(subject, range(2, 5))

    subject.attach(tcp(second))
    run(subject, range(5, 6))

    assert kinds(first) == "Krd"
    assert kinds(second) == "Kr"


def test_a_restarted_camera_has_a_new_timeline() -> None:
    """Random unless it was told where to start."""
    free = Camera(1, [KEY], b"", Options())
    told = camera()
    before = (free.cue(0), told.cue(0))

    free.restart()
    told.restart()

    assert free.cue(0) != before[0]
    assert (told.cue(0).sequence, told.cue(0).timestamp) == (0, 0)
    assert told.cue(0).ssrc != before[1].ssrc


@pytest.mark.parametrize("tick", [0, 100])
def test_the_cue_is_the_timelines(tick: int) -> None:
    """The timestamp follows the tick."""
    assert camera().cue(tick).timestamp == tick * 90_000 // FPS
