"""A viewer's life over a real socket: handshake, media, what it asks for, and every way it can end."""

from __future__ import annotations

import asyncio
import gc
import re
import weakref
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiortc.rtp import RtcpSrPacket

from camrelay.fanout.webrtc import peer as peer_module
from camrelay.fanout.webrtc.caster import REPLAY_INTERVAL_S
from camrelay.fanout.webrtc.peer import Peer
from camrelay.fanout.webrtc.sender import MAX_LAGS
from camrelay.model import EndReason, Viewer
from camrelay.simulate.options import Picture
from stage import CAMERA, Stage
from whep_client import COUNTER_MODE, GCM, WhepClient, offer

PICTURE = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)

URL = f"/whep/{CAMERA}"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage(PICTURE, listen="127.0.0.1:0", handshake_timeout_s=1.0) as running:
        yield running


@pytest.fixture
async def http(stage: Stage) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(stage.url) as session:
        yield session


@pytest.fixture
async def client() -> AsyncIterator[WhepClient]:
    made = WhepClient()
    yield made
    made.close()


async def ended(viewer: Viewer) -> EndReason:
    """Why the viewing ended, once it has."""
    end: asyncio.Future[EndReason] = asyncio.get_running_loop().create_future()
    viewer.on_end(end.set_result)
    return await asyncio.wait_for(end, 10)


def is_whole(client: WhepClient) -> bool:
    """No gap, nothing twice, nothing out of order, and timestamps that only go up."""
    media = client.media()
    numbers = [(packet.sequence_number - media[0].sequence_number) & 0xFFFF for packet in media]
    stamps = [(packet.timestamp - media[0].timestamp) & 0xFFFFFFFF for packet in media]
    return numbers == list(range(len(media))) and stamps == sorted(stamps)


@pytest.mark.parametrize("profile", [GCM, COUNTER_MODE], ids=["gcm", "counter-mode"])
async def test_both_profiles_play(stage: Stage, http: aiohttp.ClientSession, profile: object) -> None:
    """A key frame first, then everything up to live and beyond, each packet once and decryptable."""
    client = WhepClient(profile=profile)  # type: ignore[arg-type]
    await client.join(http, URL)
    await client.more_packets(60)

    assert is_whole(client)
    assert client.undecryptable == 0
    assert client.media()[0].payload[0] & 0x1F == 24, "an aggregate of the parameter sets"
    assert stage.viewers[0].bytes_sent > 0
    client.close()


async def test_two_viewers_share_the_numbers(stage: Stage, http: aiohttp.ClientSession) -> None:
    """Work is done once per camera: both get the same packets, under keys of their own."""
    clients = [WhepClient(), WhepClient()]
    for client in clients:
        await client.join(http, URL)
    for client in clients:
        await client.more_packets(40)

    first, second = ({packet.sequence_number: packet.payload for packet in c.media()} for c in clients)
    common = first.keys() & second.keys()
    assert len(common) > 20
    assert all(first[number] == second[number] for number in common)
    for client in clients:
        client.close()


async def test_a_nack_is_answered_with_rtx(stage: Stage, http: aiohttp.ClientSession) -> None:
    """In a stream of its own, the old number before the payload (RFC 4588)."""
    client = WhepClient()
    await client.join(http, URL)
    await client.more_packets(20)
    wanted = client.packets[10]

    client.nack(wanted.sequence_number)

    original = wanted.sequence_number.to_bytes(2) + wanted.payload
    await client.until(lambda: original in [p.payload for p in client.packets if p.payload_type == 103])
    assert is_whole(client)
    client.close()


async def test_a_nack_is_answered_without_rtx(stage: Stage, http: aiohttp.ClientSession) -> None:
    """By the same packet once more, which a receiver that lost the first takes as if nothing had been."""
    client = WhepClient(rtx=False)
    lost: list[bytes] = []

    def lose_one(data: bytes) -> bool:
        if len(client.packets) == 10 and not lost:
            lost.append(data)
            return True
        return False

    client.lose = lose_one
    await client.join(http, URL)
    await client.more_packets(20)
    number = int.from_bytes(lost[0][2:4])

    client.nack(number)

    await client.until(lambda: number in [packet.sequence_number for packet in client.packets])
    assert client.undecryptable == 0
    client.close()


async def test_a_viewer_that_lost_its_way_gets_the_gop_again(
    stage: Stage, client: WhepClient, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PLI is answered by a key frame under new numbers; the numbers go on without a gap."""
    monkeypatch.setattr("camrelay.fanout.webrtc.caster.REPLAY_INTERVAL_S", 0.0)
    await client.join(http, URL)
    await client.more_packets(20)
    stage.is_playing = False
    await asyncio.sleep(2 / PICTURE.fps)
    before = client.media()

    client.pli()

    await client.until(lambda: len(client.media()) >= len(before) + 2)
    again = client.media()[len(before)]
    assert again.payload[0] & 0x1F == 24
    stage.is_playing = True
    await client.more_packets(30)
    assert is_whole(client)


async def test_a_pli_storm_is_one_replay(
    stage: Stage, client: WhepClient, http: aiohttp.ClientSession
) -> None:
    """Replays are rare, however often a viewer asks."""
    await client.join(http, URL)
    await client.more_packets(20)
    stage.is_playing = False
    await asyncio.sleep(2 / PICTURE.fps)
    key_frames = sum(packet.payload[0] & 0x1F == 24 for packet in client.media())

    for _ in range(20):
        client.pli()
    await client.check()

    assert REPLAY_INTERVAL_S > 0.5
    assert sum(packet.payload[0] & 0x1F == 24 for packet in client.media()) <= key_frames + 1


async def test_reports_name_the_stream_and_its_clock(
    stage: Stage, client: WhepClient, http: aiohttp.ClientSession
) -> None:
    """The first one comes at once."""
    await client.join(http, URL)
    await client.more_packets(5)
    await client.until(lambda: client.reports)

    report = client.reports[0]
    assert isinstance(report, RtcpSrPacket)
    assert report.ssrc == client.ssrc
    behind = (report.sender_info.rtp_timestamp - client.media()[-1].timestamp) & 0xFFFFFFFF
    assert min(behind, 2**32 - behind) < 90_000


async def test_a_viewer_that_moves_is_followed(
    stage: Stage, client: WhepClient, http: aiohttp.ClientSession
) -> None:
    """One signed check from the new address, and the packets go there, without another handshake."""
    await client.join(http, URL)
    await client.more_packets(20)

    await client.move()
    await client.more_packets(20)

    assert client.undecryptable == 0
    client.bye()
    assert await ended(stage.viewers[0]) == EndReason.CLIENT_CLOSED


async def test_a_stranger_cannot_take_the_picture_away(
    stage: Stage, client: WhepClient, http: aiohttp.ClientSession
) -> None:
    """A check that is not signed, feedback that is not encrypted, DTLS noise: nothing changes."""
    await client.join(http, URL)
    stranger = WhepClient()
    await stranger.post(http, URL)
    stranger._username, stranger._password = client._username, b"guessed"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stranger.check(), 0.2)
    for noise in (b"\x80\xc9" + bytes(30), b"\x16\xfe\xfd" + bytes(30)):
        client.send(noise)

    await client.more_packets(20)

    stranger.close()


class TestEnd:
    """Whatever ends a viewing is told to the viewer, and nothing of it stays."""

    @pytest.mark.parametrize("reason", [EndReason.REVOKED, EndReason.EXPIRED])
    async def test_authority_ends(
        self, stage: Stage, client: WhepClient, http: aiohttp.ClientSession, reason: EndReason
    ) -> None:
        """Not one packet after the end: the server knows nothing of the viewer in the same tick."""
        await client.join(http, URL)
        await client.more_packets(10)

        stage.viewers[0].end(reason)
        assert stage.server._peers == {}
        assert stage.server._port._by_address == {}
        assert stage.server._port._by_ufrag == {}
        sent = stage.viewers[0].bytes_sent

        await asyncio.wait_for(client.closed.wait(), 10)
        assert client.said_goodbye()
        assert stage.viewers[0].bytes_sent == sent

    async def test_the_viewer_deletes(
        self, stage: Stage, client: WhepClient, http: aiohttp.ClientSession
    ) -> None:
        """DELETE on the resource."""
        await client.join(http, URL)

        async with http.delete(client.resource) as response:
            assert response.status == 200

        assert stage.viewers[0].end_reason == EndReason.CLIENT_CLOSED
        await asyncio.wait_for(client.closed.wait(), 10)

    async def test_the_viewer_says_goodbye(
        self, stage: Stage, client: WhepClient, http: aiohttp.ClientSession
    ) -> None:
        """RTCP BYE."""
        await client.join(http, URL)

        client.bye()

        assert await ended(stage.viewers[0]) == EndReason.CLIENT_CLOSED

    async def test_the_viewer_closes_dtls(
        self, stage: Stage, client: WhepClient, http: aiohttp.ClientSession
    ) -> None:
        """What browsers do when a connection is closed properly."""
        await client.join(http, URL)

        client.end_dtls()

        assert await ended(stage.viewers[0]) == EndReason.CLIENT_CLOSED

    async def test_a_handshake_is_forgotten_once_its_keys_are_used(
        self, stage: Stage, client: WhepClient, http: aiohttp.ClientSession
    ) -> None:
        """It takes more memory than everything else of a viewer. The end is still told."""
        await client.join(http, URL)
        (peer,) = stage.server._peers.values()
        assert isinstance(peer, Peer)
        remains = weakref.ref(peer._dtls)

        client.report(lost=0, highest=0)
        await client.until(lambda: peer._dtls is None)
        await client.more_packets(5)
        gc.collect()
        assert remains() is None

        stage.viewers[0].end(EndReason.REVOKED)
        await asyncio.wait_for(client.closed.wait(), 10)

    @pytest.mark.parametrize("stays", [True, False])
    async def test_a_goodbye_that_cannot_be_checked_is_doubted(
        self, http: aiohttp.ClientSession, client: WhepClient, monkeypatch: pytest.MonkeyPatch, stays: bool
    ) -> None:
        """Anybody could have sent it: who is still there keeps talking, who is not is soon forgotten."""
        monkeypatch.setattr(peer_module, "_REPORT_INTERVAL_S", 0.05)
        monkeypatch.setattr(peer_module, "_GOODBYE_S", 0.3)
        async with Stage(PICTURE, listen="127.0.0.1:0") as stage:
            await client.join(http, stage.url + URL)
            (peer,) = stage.server._peers.values()
            client.report(lost=0, highest=0)
            await client.until(lambda: peer._dtls is None)  # type: ignore[attr-defined]

            client.end_dtls()
            ends = asyncio.get_running_loop().time() + 0.6
            while stays and asyncio.get_running_loop().time() < ends:
                heard = len(client.reports)
                client.report(lost=0, highest=0)
                await client.until(lambda heard=heard: len(client.reports) > heard)

            if stays:
                assert stage.viewers[0].end_reason is None
            else:
                assert await ended(stage.viewers[0]) == EndReason.CLIENT_GONE

    async def test_the_viewer_vanishes(
        self, http: aiohttp.ClientSession, client: WhepClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No check for the consent time: nobody is sent to who does not want it (RFC 7675)."""
        monkeypatch.setattr(peer_module, "_REPORT_INTERVAL_S", 0.1)
        async with Stage(PICTURE, listen="127.0.0.1:0", consent_timeout_s=0.3) as stage:
            await client.join(http, stage.url + URL)

            assert await ended(stage.viewers[0]) == EndReason.CLIENT_GONE

    async def test_a_viewer_that_reports_has_not_vanished(
        self, http: aiohttp.ClientSession, client: WhepClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Libnice never checks again once connected; its encrypted reports say as much."""
        monkeypatch.setattr(peer_module, "_REPORT_INTERVAL_S", 0.1)
        async with Stage(PICTURE, listen="127.0.0.1:0", consent_timeout_s=0.5) as stage:
            await client.join(http, stage.url + URL)
            ends = asyncio.get_running_loop().time() + 1.5
            while asyncio.get_running_loop().time() < ends:
                heard = len(client.reports)
                client.report(lost=0, highest=0)
                await client.until(lambda heard=heard: len(client.reports) > heard)

            assert stage.viewers[0].end_reason is None

    async def test_the_camera_is_removed(
        self, stage: Stage, client: WhepClient, http: aiohttp.ClientSession
    ) -> None:
        """Its viewers learn it at once."""
        await client.join(http, URL)

        stage.server.detach(CAMERA)

        assert stage.viewers[0].end_reason == EndReason.CAMERA_REMOVED
        await asyncio.wait_for(client.closed.wait(), 10)

    async def test_the_server_stops(
        self, stage: Stage, client: WhepClient, http: aiohttp.ClientSession
    ) -> None:
        """And says goodbye before it does."""
        await client.join(http, URL)

        await stage.server.stop()

        assert stage.viewers[0].end_reason == EndReason.SERVER_STOP
        await asyncio.wait_for(client.closed.wait(), 10)
        assert client.said_goodbye()

    @pytest.mark.parametrize("checks", [0, 1])
    async def test_an_offer_is_abandoned(
        self, stage: Stage, client: WhepClient, http: aiohttp.ClientSession, checks: int
    ) -> None:
        """Without a check, and with one but no handshake: after the deadline nothing of it is left."""
        others = asyncio.all_tasks()
        await client.post(http, URL)
        for _ in range(checks):
            await client.check()
        remains = weakref.ref(next(iter(stage.server._peers.values())))

        assert await ended(stage.viewers[0]) == EndReason.NEGOTIATION_TIMEOUT

        assert stage.server._peers == {}
        assert stage.server._port._by_address == {}
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
        assert remains() is None
        assert not [task for task in asyncio.all_tasks() - others if task.get_name().startswith("connect")]

    async def test_the_certificate_is_another_one(
        self, stage: Stage, client: WhepClient, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who shakes hands is not who offered: no media."""
        other = re.sub("sha-256 .*", "sha-256 " + ":".join(["00"] * 32), offer())
        monkeypatch.setattr("whep_client.offer", lambda **_: other)
        await client.post(http, URL)
        await client.check()
        client._step()

        assert await ended(stage.viewers[0]) == EndReason.NEGOTIATION_TIMEOUT
        assert stage.viewers[0].bytes_sent == 0

    @pytest.mark.parametrize(("lost", "is_over"), [(50, True), (20, False)])
    async def test_a_link_that_cannot_carry_the_stream(
        self,
        stage: Stage,
        client: WhepClient,
        http: aiohttp.ClientSession,
        monkeypatch: pytest.MonkeyPatch,
        lost: int,
        is_over: bool,
    ) -> None:
        """Half of it lost, again and again: dropped to key frames, then closed. NACKs mend a fifth."""
        monkeypatch.setattr(peer_module, "_JUDGE_INTERVAL_S", 0.0)
        await client.join(http, URL)
        await client.more_packets(5)

        for count in range(1 + 3 * MAX_LAGS):
            client.report(lost=lost * count, highest=100 * count)

        if is_over:
            assert await ended(stage.viewers[0]) == EndReason.LAGGED
        else:
            await client.more_packets(50)
            assert is_whole(client)

    async def test_a_moment_of_loss_is_no_reason(
        self, stage: Stage, client: WhepClient, http: aiohttp.ClientSession
    ) -> None:
        """Reports that come with each NACK cover too little to judge by."""
        await client.join(http, URL)
        await client.more_packets(5)

        for count in range(100):
            client.report(lost=count, highest=count)

        await client.more_packets(20)
        assert is_whole(client)


async def test_feedback_about_other_streams_changes_nothing(
    stage: Stage, client: WhepClient, http: aiohttp.ClientSession
) -> None:
    """Browsers also report on the RTX stream."""
    await client.join(http, URL)
    client.ssrc ^= 1
    for _ in range(3):
        client.report(lost=255, highest=0)
    client.pli()
    client.nack(1)
    client.ssrc ^= 1

    await client.more_packets(20)

    assert is_whole(client)


async def test_feedback_before_the_handshake_is_ignored(
    stage: Stage, client: WhepClient, http: aiohttp.ClientSession
) -> None:
    """A proven address may send anything."""
    await client.post(http, URL)
    await client.check()
    (peer,) = stage.server._peers.values()
    assert isinstance(peer, Peer)

    client.send(b"\x80\xc9" + bytes(30))
    await client.check()

    assert stage.viewers[0].end_reason is None
