"""Tests of camrelay.ingest.sound_track."""

from __future__ import annotations

import struct

from builders import PCMA
from camrelay.ingest import sdp
from camrelay.ingest.sound_track import SoundTrack, choose

SDP = b"""v=0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=control:trackID=1
m=audio 0 RTP/AVP 99
a=rtpmap:99 G726-32/8000
a=control:trackID=2
m=audio 0 RTP/AVP 8
a=control:trackID=3
"""


def track(udp_port: int | None = None) -> SoundTrack | None:
    return choose(sdp.parse(SDP), lambda each: f"rtsp://cam/{each.control}", "rtsp://cam/trackID=1", udp_port)


def test_the_first_track_that_can_be_relayed_is_chosen() -> None:
    """It says how it wants to be set up."""
    found = track()
    assert found is not None
    assert (found.params, found.url) == (PCMA, "rtsp://cam/trackID=3")
    assert found.wish == "RTP/AVP/TCP;unicast;interleaved=2-3"


def test_a_track_without_an_address_of_its_own_is_not_asked_for() -> None:
    """A second SETUP of the pictures would take them away."""
    assert choose(sdp.parse(SDP), lambda each: "rtsp://cam/", "rtsp://cam/", None) is None


def test_what_comes_on_its_channels_is_taken() -> None:
    """Sound, its reports, and those of the pictures, which say where it belongs."""
    found = track()
    assert found is not None
    takers = found.accept("RTP/AVP/TCP;unicast;interleaved=4-5", (0, 1))
    assert takers is not None
    assert sorted(takers) == [1, 4, 5]

    def give(channel: int, data: bytes) -> None:
        assert takers is not None
        takers[channel](data, 0, len(data))

    rtp = struct.pack(">BBHII", 0x80, 8, 1, 8000, 5) + b"sound"
    give(4, rtp)
    ((unit, unknown),) = found.take()
    give(1, struct.pack(">BBHIIII", 0x80, 200, 6, 1, 10, 0, 0))
    give(5, struct.pack(">BBHIIII", 0x80, 200, 6, 1, 10, 0, 0))
    give(4, rtp[:2] + b"\x00\x02" + rtp[4:])
    ((_, known),) = found.take()

    assert (unit.data, unknown, known) == (b"sound", None, 90_000)
    assert found.take() == []


def test_channels_that_are_taken_already_are_refused() -> None:
    """Some cameras put everything on the channels of the pictures; so is an answer without any."""
    found = track()
    assert found is not None
    assert found.accept("RTP/AVP/TCP;interleaved=0-1", (0, 1)) is None
    assert found.accept("RTP/AVP", (0, 1)) is None


def test_datagrams_come_to_its_own_ports() -> None:
    """And the camera says where it takes some."""
    found = track(5004)
    assert found is not None
    assert found.wish == "RTP/AVP;unicast;client_port=5004-5005"
    assert found.accept("RTP/AVP;unicast;server_port=7000-7001", (-1, -1)) == {}
    assert found.server_ports == (7000, 7001)
