"""The numbers of one viewer: shared while it can, its own and without a gap when it cannot."""

from __future__ import annotations

from itertools import pairwise

import pytest
from aiortc.rtp import RtcpPacket, RtcpSrPacket

from camrelay.fanout.webrtc import rtcp
from camrelay.fanout.webrtc.rtp import PacketFormat, Packets, runs
from camrelay.fanout.webrtc.sender import LAG_WINDOW_S, MAX_LAGS, MAX_REPEATS, REPEATS, WRAP_MARGIN, Sender
from camrelay.fanout.webrtc.slots import Slots
from camrelay.fanout.webrtc.srtp import AEAD_AES_128_GCM, Session
from camrelay.model import CameraId, Protocol, Viewer

MEDIA = PacketFormat(7, 102)
RTX = PacketFormat(8, 103)
START = 1234

KEY, BROWSER_KEY = b"k" * 28, b"K" * 28


def make_sender(rtx: PacketFormat | None = None) -> Sender:
    viewer = Viewer(id="v", session="s", camera=CameraId("cam"), protocol=Protocol.WEBRTC, subject="")
    return Sender(
        viewer,
        Session(AEAD_AES_128_GCM, KEY, BROWSER_KEY, repeats=True),
        MEDIA,
        rtx,
        address=("192.0.2.1", 5000),
        cname="cam",
        start=START,
        keep_s=1.0,
        requested_s=0.0,
    )


def make_packets(first: int, timestamp: int, count: int = 2, *, is_key: bool = False) -> Packets:
    return Packets(first, timestamp, 0, tuple(bytes([i + 1]) * 20 for i in range(count)), is_key)


def gop(first: int, units: int = 5, timestamp: int = 0) -> list[Packets]:
    return [make_packets(first + 2 * i, timestamp + 3600 * i, is_key=i == 0) for i in range(units)]


def drain(sender: Sender, newest: int) -> list[Packets]:
    """Takes and protects the whole backlog, as the caster does."""
    taken = []
    slots = Slots(12, 16)
    while sender.backlog:
        packets = sender.take(newest, 77)
        for start, stop in runs(packets):
            sender.stream.protect(slots.lay(MEDIA, packets, start, stop))
        taken.append(packets)
    return taken


class TestNumbers:
    def test_a_joiner_gets_the_gop_under_the_camera_s_numbers(self) -> None:
        """So that it can go on with what is live, without a gap and without anything twice."""
        sender = make_sender()
        sender.begin(gop(100), 0.0)

        taken = drain(sender, newest=4 * 3600)

        assert [packets.first for packets in taken] == [100, 102, 104, 106, 108]
        assert sender.stream.next == 110
        assert {packets.send_time for packets in taken} == {77}

    def test_the_past_is_shown_close_to_what_is_live(self) -> None:
        """Timestamps go up in small steps to that of the newest: a player that goes by them is not behind."""
        sender = make_sender()
        sender.begin(gop(100), 0.0)

        stamps = [packets.timestamp for packets in drain(sender, newest=4 * 3600)]

        assert stamps[-1] == 4 * 3600
        assert {b - a for a, b in pairwise(stamps)} == {9}

    def test_shortly_before_a_wrap_a_viewer_begins_with_numbers_of_its_own(self) -> None:
        """Were its first packets all lost, it could not know that the rollover counter went up."""
        for first, shares in ((65536 - WRAP_MARGIN, True), (65536 - WRAP_MARGIN + 1, False), (65536, True)):
            sender = make_sender()
            sender.begin(gop(first), 0.0)

            taken = drain(sender, newest=0)

            assert taken[0].first == (first if shares else START)

    def test_a_replay_goes_on_without_a_gap(self) -> None:
        """The same access units again have new numbers and later timestamps, and keep both from then on."""
        sender = make_sender()
        sender.begin(gop(100), 0.0)
        drain(sender, newest=4 * 3600)

        sender.begin(gop(100), 5.0)
        taken = drain(sender, newest=4 * 3600)
        sender.backlog.append(make_packets(110, 5 * 3600))
        taken += drain(sender, newest=5 * 3600)

        assert sender.restarted_s == 5.0
        assert [packets.first for packets in taken] == [110, 112, 114, 116, 118, 120]
        stamps = [packets.timestamp for packets in taken]
        assert stamps == [14401, 14402, 14403, 14404, 14405, 18000]

    def test_a_viewer_that_never_got_anything_still_shares(self) -> None:
        """Waiting for its first key frame is no reason for numbers of its own."""
        sender = make_sender()
        sender.begin((), 0.0)
        sender.begin(gop(100), 1.0)

        assert drain(sender, newest=0)[0].first == 100

    def test_at_live_it_goes_on_under_the_numbers_it_has_come_to(self) -> None:
        """What is live is laid under the camera's numbers; a viewer that was replayed is ahead of them."""
        sender = make_sender()
        sender.begin(gop(100), 0.0)
        assert not sender.is_at_live(4 * 3600)
        drain(sender, newest=4 * 3600)
        sender.go_live(110)
        assert sender.stream.ahead == 0

        sender.begin(gop(100), 5.0)
        drain(sender, newest=4 * 3600)
        assert not sender.is_at_live(4 * 3600), "the replay has later timestamps than the newest"
        assert sender.is_at_live(5 * 3600)
        sender.go_live(112)
        sender.stream.protect(Slots(12, 16).lay(MEDIA, make_packets(112, 6 * 3600), 0, 2))

        assert (sender.stream.ahead, sender.stream.next) == (8, 122)
        assert sender.stream.find(120) == (make_packets(120, 6 * 3600), 0)
        sender.begin((), 6.0)
        assert sender.stream.ahead == 0

    def test_drops_to_a_key_frame_are_forgiven_after_a_while(self) -> None:
        """Only many of them in a short time make a viewer hopeless."""
        sender = make_sender()
        rare = [sender.is_hopeless(i * LAG_WINDOW_S / (MAX_LAGS - 1)) for i in range(20)]
        assert not any(rare)

        often = [make_sender().is_hopeless(0.0)]
        other = make_sender()
        often = [other.is_hopeless(float(i)) for i in range(MAX_LAGS)]
        assert often == [False] * (MAX_LAGS - 1) + [True]


class TestRetransmit:
    def test_without_rtx_the_packet_comes_again(self) -> None:
        """The same datagram, for as long as it is remembered."""
        sender = make_sender()
        sender.begin(gop(100), 0.0)
        drain(sender, newest=0)

        datagrams = list(sender.retransmit([101, 50, 109]))

        assert datagrams == [sender.stream.again(101), sender.stream.again(109)]

    def test_with_rtx_it_comes_in_a_stream_of_its_own(self) -> None:
        """RFC 4588: own SSRC, type and numbers; the old number stands before the payload."""
        sender = make_sender(RTX)
        sender.begin(gop(100), 0.0)
        (first, *_) = drain(sender, newest=0)

        one, other = sender.retransmit([100, 101, 3])

        assert one[:12] == RTX.raw_header(START, first.timestamp, 0, 77)
        assert other[:12] == RTX.raw_header(START + 1, first.timestamp, 0x80, 77)
        again = Session(AEAD_AES_128_GCM, KEY, BROWSER_KEY, repeats=True).stream(RTX)
        assert one == again.protect_packet(one[:12], (100).to_bytes(2) + first.payloads[0], START)

    def test_a_viewer_may_ask_for_everything_at_any_rate(self) -> None:
        """Where packets overtake each other, one asks for nearly all of them: of a large picture, too."""
        sender = make_sender()
        asked = answered = 0
        for unit in range(100):
            first = 100 + 60 * unit
            sender.begin([make_packets(first, 1800 * unit, 60)], 0.0)
            drain(sender, newest=0)
            asked += 60
            answered += len(list(sender.retransmit(range(first, first + 60))))

        assert answered == asked

    def test_there_is_an_allowance(self) -> None:
        """A viewer that asks for one packet again and again gets a share, and more with each packet sent."""
        sender = make_sender()
        sender.begin(gop(100), 0.0)
        drain(sender, newest=0)

        assert len(list(sender.retransmit([100] * 1000))) == REPEATS * 10
        assert list(sender.retransmit([100])) == []
        sender.backlog.append(make_packets(110, 5 * 3600))
        drain(sender, newest=5 * 3600)
        assert len(list(sender.retransmit([100] * 1000))) == REPEATS * 2

    def test_what_was_not_asked_for_is_not_saved_up(self) -> None:
        """Not beyond what a large key frame needs, however long nothing was lost."""
        sender = make_sender()
        sender.begin(gop(100, MAX_REPEATS), 0.0)
        newest = drain(sender, newest=0)[-1].first

        assert len(list(sender.retransmit([newest] * 2 * MAX_REPEATS))) == MAX_REPEATS


class TestReports:
    def test_a_report_counts_what_was_sent(self) -> None:
        """Packets with their repetitions, and the clock of the camera."""
        sender = make_sender()
        sender.begin(gop(100), 0.0)
        drain(sender, newest=0)
        sender.viewer.bytes_sent += 10 * (12 + 20 + 16)
        list(sender.retransmit([100]))
        browser = Session(AEAD_AES_128_GCM, BROWSER_KEY, KEY, repeats=True)

        report, _ = RtcpPacket.parse(browser.unprotect_rtcp(sender.report(0, 90_000)))

        assert isinstance(report, RtcpSrPacket)
        assert report.ssrc == MEDIA.ssrc
        assert (report.sender_info.packet_count, report.sender_info.octet_count) == (11, 200)
        assert report.sender_info.rtp_timestamp == 90_000

    def test_a_goodbye_ends_the_stream(self) -> None:
        """The viewer's library understands it."""
        browser = Session(AEAD_AES_128_GCM, BROWSER_KEY, KEY, repeats=True)

        found = rtcp.parse(browser.unprotect_rtcp(make_sender().goodbye()))

        assert rtcp.Bye() in found

    def test_feedback_is_decrypted_and_parsed(self) -> None:
        """What the viewer's library sends is understood here."""
        browser = Session(AEAD_AES_128_GCM, BROWSER_KEY, KEY, repeats=True)
        pli = bytes.fromhex("81ce0002 00000001 00000007")

        assert make_sender().feedback(browser.protect_rtcp(pli)) == [rtcp.KeyFrameRequest(7)]


@pytest.mark.parametrize("rtx", [None, RTX])
def test_no_two_plaintexts_under_one_number(rtx: PacketFormat | None) -> None:
    """Joins, replays, drops and retransmissions mixed: every (SSRC, sequence) has one datagram for life."""
    sender = make_sender(rtx)
    seen: dict[bytes, bytes] = {}
    slots = Slots(12, 16)
    for turn in range(6):
        sender.begin(gop(100, timestamp=turn * 18000), float(turn))
        while sender.backlog:
            packets = sender.take(turn * 18000 + 4 * 3600, 77)
            for start, stop in runs(packets):
                run = slots.lay(MEDIA, packets, start, stop)
                sender.stream.protect(run)
                for data in map(bytes, run.pieces):
                    assert seen.setdefault(data[2:4] + data[8:12], data) == data
        for datagram in sender.retransmit(range(90, 130)):
            assert seen.setdefault(datagram[2:4] + datagram[8:12], datagram) == datagram


def test_sound_is_not_counted_as_the_pictures() -> None:
    """A sender report tells of one stream."""
    sender = make_sender()
    sender.viewer.bytes_sent = sender.sound_bytes = 500
    assert sender._octets() == 0
