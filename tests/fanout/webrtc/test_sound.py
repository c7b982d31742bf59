"""Tests of camrelay.fanout.webrtc.sound: packets for everybody who hears, and nobody who does not wait."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import cast

import pytest
from aiortc.rtp import RtcpPacket, RtcpSrPacket

from builders import AAC, OPUS, PCMA, make_sound
from camrelay import config
from camrelay.fanout.hub import Hub
from camrelay.fanout.webrtc import sound
from camrelay.fanout.webrtc.ice import Address
from camrelay.fanout.webrtc.rtp import PacketFormat
from camrelay.fanout.webrtc.sender import WRAP_MARGIN, Sender
from camrelay.fanout.webrtc.sound import MAX_QUEUED, Broadcast, Listener
from camrelay.fanout.webrtc.srtp import AEAD_AES_128_GCM, Session
from camrelay.fanout.webrtc.turns import Turns
from camrelay.fanout.webrtc.udp import Port
from camrelay.model import CLOCK_RATE, AudioCodec, AudioUnit, CameraId, EndReason, Protocol, Viewer

KEY, BROWSER_KEY = b"k" * 28, b"K" * 28
#: Of a packet of 20 ms, in ticks of the pictures' clock.
STEP = CLOCK_RATE // 50


class FakePort:
    """Remembers what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Address]] = []

    def send(self, data: bytes, address: Address) -> None:
        self.sent.append((data, address))

    async def count(self, count: int) -> list[tuple[int, int, int, int]]:
        """Payload type with marker, sequence number, timestamp and SSRC of each, once there are so many."""
        async with asyncio.timeout(5):
            while len(self.sent) < count:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0)
        return [cast(tuple[int, int, int, int], struct.unpack(">xBHII", data[:12])) for data, _ in self.sent]


@pytest.fixture
def port() -> FakePort:
    return FakePort()


@pytest.fixture
async def broadcast(port: FakePort) -> AsyncIterator[Broadcast]:
    made = Broadcast(Hub(CameraId("cam"), config.Ring()), cast(Port, port), Turns())
    yield made
    made.close()


def listener(
    broadcast: Broadcast, number: int = 1, *, codec: AudioCodec = AudioCodec.OPUS, payload_type: int = 111
) -> Listener:
    viewer = Viewer(
        id=f"v{number}", session="s", camera=CameraId("cam"), protocol=Protocol.WEBRTC, subject=""
    )
    session = Session(AEAD_AES_128_GCM, KEY, BROWSER_KEY, repeats=False)
    sender = Sender(
        viewer,
        session,
        PacketFormat(7, 102),
        None,
        address=("192.0.2.1", number),
        cname="cam",
        start=1,
        keep_s=1.0,
        requested_s=0.0,
    )
    return Listener(sender, session, PacketFormat(broadcast.ssrc, payload_type), codec, "cam")


def opus(n: int, *, jitter: int = 0) -> AudioUnit:
    return make_sound(n * STEP + jitter, data=b"opus%d" % n, duration=960, params=OPUS)


async def test_everybody_gets_the_cameras_packets(broadcast: Broadcast, port: FakePort) -> None:
    """One after the other, a packet's samples apart, whatever the rounding of the pictures' clock."""
    both = [listener(broadcast, 1), listener(broadcast, 2)]
    for each in both:
        broadcast.join(each)
    for n in range(3):
        broadcast.hear(opus(n, jitter=n % 2))

    packets = await port.count(6)

    assert [address for _, address in port.sent] == [("192.0.2.1", 1), ("192.0.2.1", 2)] * 3
    assert {(packet[0], packet[3]) for packet in packets} == {(111, broadcast.ssrc)}
    for one in (packets[::2], packets[1::2]):
        first = one[0]
        assert [(p[1] - first[1] & 0xFFFF, p[2] - first[2]) for p in one] == [(0, 0), (1, 960), (2, 1920)]
    assert all(each.sender.sound_bytes == each.sender.viewer.bytes_sent > 0 for each in both)


async def test_a_gap_is_a_gap(broadcast: Broadcast, port: FakePort) -> None:
    """Where nothing came, timestamps go on with the clock, and numbers do not."""
    broadcast.join(listener(broadcast))
    broadcast.hear(opus(0))
    broadcast.hear(opus(50))

    first, second = await port.count(2)

    assert (second[1] - first[1] & 0xFFFF, second[2] - first[2]) == (1, 48_000)


async def test_only_those_who_agreed_on_it_hear_it(broadcast: Broadcast, port: FakePort) -> None:
    """A camera that comes back with another codec is silent for its viewers; AAC is for nobody here."""
    broadcast.join(listener(broadcast, 1))
    broadcast.join(listener(broadcast, 2, codec=AudioCodec.PCMA, payload_type=8))
    broadcast.hear(make_sound(0, duration=160, params=PCMA))
    broadcast.hear(make_sound(STEP, params=AAC))
    broadcast.hear(opus(2))

    await port.count(2)

    assert [address[1] for _, address in port.sent] == [2, 1]


async def test_who_has_left_gets_nothing_more(broadcast: Broadcast, port: FakePort) -> None:
    """Also of what was queued; the others hear on, and a camera that nobody hears does nothing."""
    goes, stays = listener(broadcast, 1), listener(broadcast, 2)
    for each in (goes, stays):
        broadcast.join(each)
    broadcast.hear(opus(0))
    broadcast.leave(goes)
    await port.count(1)
    broadcast.leave(stays)
    broadcast.hear(opus(1))
    assert broadcast._task is None

    broadcast.join(back := listener(broadcast, 3))
    broadcast.hear(opus(2))
    await port.count(2)
    assert [address[1] for _, address in port.sent] == [2, 3]
    broadcast.leave(back)


async def test_a_queue_that_is_not_emptied_loses_its_oldest(broadcast: Broadcast, port: FakePort) -> None:
    """A second of it at most is kept."""
    broadcast.join(listener(broadcast))
    for n in range(MAX_QUEUED + 20):
        broadcast.hear(opus(n))
    packets = await port.count(MAX_QUEUED)
    await asyncio.sleep(0)
    assert len(port.sent) == MAX_QUEUED
    assert packets[-1][1] - packets[0][1] & 0xFFFF == MAX_QUEUED - 1


async def test_nobody_begins_shortly_before_a_wrap(broadcast: Broadcast, port: FakePort) -> None:
    """Losing the first packets would leave the browser's rollover counter behind."""
    broadcast._next = 0x10000 - WRAP_MARGIN + 1
    broadcast.join(listener(broadcast))
    for n in range(WRAP_MARGIN + 2):
        broadcast.hear(opus(n))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    packets = await port.count(1)
    assert packets[0][1] < WRAP_MARGIN


async def test_a_viewer_that_cannot_be_sent_to_is_ended(broadcast: Broadcast, port: FakePort) -> None:
    """Its numbers are used up; the next one hears all the same."""
    broken, other = listener(broadcast, 1), listener(broadcast, 2)
    broken.stream.close()
    for each in (broken, other):
        broadcast.join(each)
    broadcast.hear(opus(0))
    await port.count(1)
    assert broken.sender.viewer.end_reason is EndReason.CLIENT_GONE
    assert [address[1] for _, address in port.sent] == [2]


async def test_reports_tie_the_sound_to_the_pictures(
    broadcast: Broadcast, port: FakePort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same moment of both has the same wall clock, under one name: browsers then play them in step."""
    heard = listener(broadcast)
    broadcast.join(heard)
    broadcast.hear(opus(10))
    ((_, _, timestamp, _),) = await port.count(1)

    plain: list[bytes] = []
    monkeypatch.setattr(heard._session, "protect_rtcp", lambda data: plain.append(data) or data)
    heard.report(1_000_000, broadcast.rtp_time(10 * STEP + CLOCK_RATE))

    report = RtcpPacket.parse(plain[0])[0]
    assert isinstance(report, RtcpSrPacket)
    assert report.ssrc == broadcast.ssrc
    assert report.sender_info.rtp_timestamp - timestamp == 48_000
    assert (report.sender_info.packet_count, report.sender_info.octet_count) == (1, len(b"opus10"))


def test_tolerance_is_less_than_can_be_heard_as_out_of_step() -> None:
    """ITU-R BT.1359: sound may be 45 ms early before anybody notices."""
    assert sound.TOLERANCE_S <= 0.045
