"""One camera to many viewers, without a socket: who gets what, in which order, and who pays for slowness."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from builders import PARAMS, make_au, make_gop
from camrelay import config
from camrelay.fanout.hub import Hub
from camrelay.fanout.webrtc import caster as caster_module
from camrelay.fanout.webrtc.caster import Caster
from camrelay.fanout.webrtc.ice import Address
from camrelay.fanout.webrtc.pace import Pace
from camrelay.fanout.webrtc.rtp import PAYLOAD_BYTES, RUN_PACKETS, PacketFormat
from camrelay.fanout.webrtc.sender import Sender
from camrelay.fanout.webrtc.slots import Run
from camrelay.fanout.webrtc.srtp import AEAD_AES_128_GCM, server_session
from camrelay.fanout.webrtc.turns import Turns
from camrelay.model import (
    CLOCK_RATE,
    AccessUnit,
    CameraId,
    CameraState,
    CameraStatus,
    Codec,
    EndReason,
    Protocol,
    Viewer,
)

LIMIT_S = 5.0

#: 25 fps.
STEP = CLOCK_RATE // 25


class RecordingPort:
    """Keeps the sequence numbers that went to each address; full for those in `blocked`."""

    def __init__(self) -> None:
        self.sent: dict[Address, list[int]] = defaultdict(list)
        self.order: list[Address] = []
        self.blocked: set[Address] = set()
        self.unreachable: set[Address] = set()
        self.forgiven: list[Address] = []
        self.becomes_writable = True
        self.changed = asyncio.Event()

    def sending(self, run: Run) -> Callable[[Address], object]:
        def send(address: Address) -> None:
            if address in self.blocked:
                raise BlockingIOError
            if address in self.unreachable:
                raise OSError
            self.order.append(address)
            for at in range(0, len(run.datagrams), run.slot_bytes):
                self.send(bytes(run.datagrams[at : at + run.slot_bytes]), address)

        return send

    def forgive(self, error: OSError, run: Run, address: Address) -> None:
        self.forgiven.append(address)

    def send(self, data: bytes, address: Address) -> None:
        self.sent[address].append(int.from_bytes(data[2:4]))
        self.changed.set()

    async def writable(self) -> None:
        if not self.becomes_writable:
            await asyncio.Event().wait()
        self.blocked.clear()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def settle(self) -> None:
        """Until everything published so far is sent and everybody fed."""
        for _ in range(50):
            await asyncio.sleep(0)


class Room:
    """A hub with a caster and as many viewers as wanted."""

    def __init__(self) -> None:
        self.port = RecordingPort()
        self.hub = Hub(CameraId("cam"), config.Ring())
        self.caster = Caster(self.hub, self.port, Turns(), config.Webrtc())  # type: ignore[arg-type]
        self.hub.attach(self.caster)
        self.caster._next = 100
        self.made = 0

    def enter(self, payload_type: int = 102) -> Sender:
        self.made += 1
        viewer = Viewer(
            id=str(self.made), session="", camera=self.hub.camera, protocol=Protocol.WEBRTC, subject=""
        )
        sender = Sender(
            viewer,
            server_session(AEAD_AES_128_GCM, bytes(56)),
            PacketFormat(self.caster.ssrc, payload_type),
            None,
            address=("192.0.2.1", self.made),
            cname="cam",
            start=7,
            keep_s=2.0,
            requested_s=0.0,
        )
        viewer.on_end(lambda _: self.caster.leave(sender))
        self.caster.join(sender)
        return sender

    async def publish(self, *units: AccessUnit) -> None:
        for au in units:
            self.hub.publish(au)
            await self.port.settle()

    def numbers(self, sender: Sender) -> list[int]:
        return self.port.sent[sender.address]


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    made = Room()
    yield made
    made.caster.close()


def big(packets: int, dts: int = 0, *, is_key: bool = False) -> AccessUnit:
    """An access unit of so many full packets; a key frame has one more for its parameter sets."""
    return make_au(dts, is_key=is_key, size=4 + 1 + packets * (PAYLOAD_BYTES - 2))


class TestJoining:
    async def test_the_first_viewer_starts_with_the_ring(self, room: Room) -> None:
        """Nobody watched, so nothing was cut; the GOP so far comes from the ring, then what is live."""
        await room.publish(*make_gop(0, units=30), *make_gop(30 * STEP, units=3))
        viewer = room.enter()
        await room.publish(make_au(33 * STEP))

        assert room.numbers(viewer) == [100, 101, 102, 103]

    async def test_a_later_viewer_gets_the_same_numbers(self, room: Room) -> None:
        """The GOP so far under the numbers that the others had, then live with them."""
        first = room.enter()
        await room.publish(*make_gop(0, units=5))
        second = room.enter()
        await room.publish(make_au(5 * STEP))

        assert room.numbers(first) == room.numbers(second) == [100, 101, 102, 103, 104, 105]

    async def test_without_a_key_frame_a_viewer_waits_for_one(self, room: Room) -> None:
        """Nothing that cannot be decoded is sent."""
        viewer = room.enter()
        await room.publish(make_au(0), make_au(STEP))
        assert room.numbers(viewer) == []

        await room.publish(make_au(2 * STEP, is_key=True))
        assert room.numbers(viewer) == [100]

    async def test_different_payload_types_share_numbers(self, room: Room) -> None:
        """Headers differ, the rest is the same work."""
        viewers = [room.enter(102), room.enter(108)]
        await room.publish(*make_gop(0, units=4))

        assert room.numbers(viewers[0]) == room.numbers(viewers[1]) == [100, 101, 102, 103]

    async def test_a_joiner_before_a_wrap_has_numbers_of_its_own(self, room: Room) -> None:
        """Without a gap, while the rounds that it is in go through the wrap."""
        room.caster._next = 65_534
        first = room.enter()
        await room.publish(*make_gop(0, units=5))

        assert room.numbers(first) == [7, 8, 9, 10, 11]
        assert room.caster._apart == {}

    async def test_the_gop_is_paced(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        """A large GOP does not leave in one burst."""
        sleeps: list[float] = []
        real_sleep = asyncio.sleep

        async def record(delay: float) -> None:
            sleeps.append(delay)
            await real_sleep(0)

        await room.publish(*[big(40, i * STEP, is_key=i == 0) for i in range(10)])
        monkeypatch.setattr(caster_module.asyncio, "sleep", record)
        room.enter()
        for _ in range(100):
            await real_sleep(0)

        bits = 400 * PAYLOAD_BYTES * 8
        assert sum(sleeps) > 0.5 * bits / config.Webrtc().start_burst_bps

    async def test_who_leaves_while_it_joins_is_sent_nothing_more(self, room: Room) -> None:
        """Its own task ends with it."""
        others = asyncio.all_tasks()
        await room.publish(*[big(40, i * STEP, is_key=i == 0) for i in range(10)])
        viewer = room.enter()
        await room.port.until(lambda: len(room.numbers(viewer)) > 0)
        viewer.viewer.end(EndReason.REVOKED)
        sent = len(room.numbers(viewer))

        await room.port.settle()
        assert len(room.numbers(viewer)) == sent
        assert not [task for task in asyncio.all_tasks() - others if task.get_name().startswith("feed")]


class TestRounds:
    async def test_nothing_is_done_when_nobody_watches(self, room: Room) -> None:
        """After the last viewer has left, access units are neither queued nor cut."""
        viewer = room.enter()
        await room.publish(*make_gop(0, units=3))
        viewer.viewer.end(EndReason.CLIENT_CLOSED)
        await room.publish(make_au(3 * STEP))

        assert room.caster._next == 103
        assert not room.caster._pending
        assert not room.caster._gop

    async def test_who_leaves_during_a_round_gets_no_more_of_it(self, room: Room) -> None:
        """Even between two runs of the same access unit."""
        viewers = [room.enter(), room.enter()]
        await room.publish(*make_gop(0, units=2))
        room.hub.publish(big(3 * RUN_PACKETS, 2 * STEP))
        await room.port.until(lambda: len(room.numbers(viewers[1])) > 2)
        sent = len(room.numbers(viewers[0]))
        viewers[0].viewer.end(EndReason.REVOKED)

        await room.port.until(lambda: len(room.numbers(viewers[1])) == 2 + 3 * RUN_PACKETS)
        assert len(room.numbers(viewers[0])) == sent < 2 + 3 * RUN_PACKETS

    async def test_a_large_key_frame_goes_around_run_by_run(self, room: Room) -> None:
        """Every viewer of a batch has the first run before anybody has the second."""
        viewers = [room.enter() for _ in range(3)]
        await room.publish(*make_gop(0, units=2))
        room.port.order.clear()
        room.hub.publish(big(2 * RUN_PACKETS, 2 * STEP))
        await room.port.until(lambda: len(room.port.order) == 6)

        addresses = [viewer.address for viewer in viewers]
        assert room.port.order == addresses * 2

    async def test_a_batch_of_viewers_has_it_all_before_the_next_begins(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first viewers do not wait for the last; kinds of few viewers share a batch."""
        monkeypatch.setattr(caster_module, "_BATCH_VIEWERS", 2)
        viewers = [room.enter(102), room.enter(102), room.enter(102), room.enter(108)]
        await room.publish(*make_gop(0, units=2))
        room.port.order.clear()
        room.hub.publish(big(2 * RUN_PACKETS, 2 * STEP))
        await room.port.until(lambda: len(room.port.order) == 8)

        addresses = [viewer.address for viewer in viewers]
        assert room.port.order == addresses[:2] * 2 + addresses[2:] * 2

    async def test_a_broken_access_unit_is_waited_out(
        self, room: Room, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Viewers stay, and go on at the next key frame without a gap."""
        viewer = room.enter()
        await room.publish(*make_gop(0, units=2))
        broken = msgspec.structs.replace(make_au(2 * STEP), data=b"\0\0\0\7x")

        with caplog.at_level(logging.WARNING):
            await room.publish(broken, make_au(3 * STEP), make_au(4 * STEP, is_key=True))

        assert room.numbers(viewer) == [100, 101, 102]
        assert "malformed" in caplog.text

    @pytest.mark.parametrize("change", [{"reorder_depth": 2}, {"codec": Codec.H265}])
    async def test_what_browsers_cannot_play_ends_the_viewing(
        self, room: Room, change: dict[str, object]
    ) -> None:
        """Somebody turned B-frames or H.265 on: better told than shown pictures in the wrong order."""
        viewers = [room.enter(), room.enter()]
        await room.publish(*make_gop(0, units=2))
        params = msgspec.structs.replace(PARAMS, **change)
        await room.publish(make_au(2 * STEP, is_key=True, params=params))

        assert {viewer.viewer.end_reason for viewer in viewers} == {EndReason.UNPLAYABLE}
        assert [room.numbers(viewer) for viewer in viewers] == [[100, 101]] * 2

    async def test_an_empty_access_unit_has_no_packets(self, room: Room) -> None:
        """And does not end anything."""
        viewer = room.enter()
        await room.publish(
            *make_gop(0, units=2), msgspec.structs.replace(make_au(2 * STEP), data=b""), make_au(3 * STEP)
        )

        assert room.numbers(viewer) == [100, 101, 102]

    async def test_a_break_without_a_key_frame_is_waited_out(self, room: Room) -> None:
        """What follows cannot be decoded; who joins then waits as well."""
        viewer = room.enter()
        await room.publish(*make_gop(0, units=2), make_au(2 * STEP, discontinuity=True), make_au(3 * STEP))
        late = room.enter()
        await room.publish(make_au(4 * STEP, is_key=True), make_au(5 * STEP))

        assert room.numbers(viewer) == [100, 101, 102, 103]
        assert room.numbers(late) == [102, 103]

    async def test_an_endless_gop_is_not_kept(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who joins then waits; who watches does not notice."""
        monkeypatch.setattr(caster_module, "MAX_GOP_BYTES", 350)
        viewer = room.enter()
        await room.publish(*make_gop(0, units=5))
        late = room.enter()
        await room.publish(make_au(5 * STEP))

        assert len(room.numbers(viewer)) == 6
        assert room.numbers(late) == []

    async def test_a_viewer_whose_keys_fail_hurts_nobody_else(
        self, room: Room, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is ended, the others get their packets."""
        viewers = [room.enter() for _ in range(3)]
        await room.publish(*make_gop(0, units=2))

        def refuse(_: Run) -> None:
            raise ValueError("no")

        viewers[1].stream.protect = refuse  # type: ignore[method-assign]
        await room.publish(make_au(2 * STEP))

        assert [len(room.numbers(viewer)) for viewer in viewers] == [3, 2, 3]
        assert viewers[1].viewer.end_reason == EndReason.CLIENT_GONE

    async def test_a_viewer_that_cannot_be_reached_hurts_nobody_else(self, room: Room) -> None:
        """The port decides what to do about it; the others get their packets."""
        viewers = [room.enter() for _ in range(3)]
        await room.publish(*make_gop(0, units=2))
        room.port.unreachable = {viewers[1].address}
        await room.publish(make_au(2 * STEP))

        assert [len(room.numbers(viewer)) for viewer in viewers] == [3, 2, 3]
        assert room.port.forgiven == [viewers[1].address]

    async def test_a_mistake_of_ours_costs_one_gop(
        self, room: Room, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is logged, and the next key frame goes out."""
        viewer = room.enter()
        await room.publish(*make_gop(0, units=2))
        monkeypatch.setattr(caster_module, "runs", lambda _: 1 / 0)
        await room.publish(make_au(2 * STEP))
        monkeypatch.undo()
        await room.publish(make_au(3 * STEP), make_au(4 * STEP, is_key=True), make_au(5 * STEP))

        assert room.numbers(viewer) == [100, 101, 102, 103]
        assert "cannot be sent" in caplog.text

    async def test_the_clock_goes_on_between_access_units(self, room: Room) -> None:
        """Sender reports need it at any time."""
        room.enter()
        await room.publish(make_au(STEP, is_key=True))
        now = room.caster._timed_s

        assert room.caster.rtp_time(now + 1) - room.caster.rtp_time(now) == CLOCK_RATE
        assert room.caster.rtp_time(now) == room.caster._epoch + STEP


class TestLagging:
    async def test_a_full_socket_is_waited_for(self, room: Room) -> None:
        """What found no room is sent when there is some; nobody misses anything."""
        viewers = [room.enter(), room.enter()]
        await room.publish(*make_gop(0, units=2))
        room.port.blocked = {viewers[0].address}
        await room.publish(make_au(2 * STEP), make_au(3 * STEP))

        assert room.numbers(viewers[0]) == room.numbers(viewers[1]) == [100, 101, 102, 103]

    async def test_a_socket_that_stays_full_costs_whose_turn_it_is(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That viewer goes on at the next key frame, under its own numbers; the others have everything."""
        monkeypatch.setattr(caster_module, "MAX_BLOCKED_S", 0.01)
        viewers = [room.enter(), room.enter()]
        await room.publish(*make_gop(0, units=2))
        room.port.becomes_writable = False
        room.port.blocked = {viewers[0].address}
        room.hub.publish(make_au(2 * STEP))
        await room.port.until(lambda: len(room.numbers(viewers[1])) == 3)
        room.port.blocked = set()
        await room.publish(make_au(3 * STEP), make_au(4 * STEP, is_key=True), make_au(5 * STEP))

        assert room.numbers(viewers[1]) == [100, 101, 102, 103, 104, 105]
        # 102 was encrypted and found no room; it is never used again.
        assert room.numbers(viewers[0]) == [100, 101, 103, 104]

    async def test_a_joiner_that_finds_the_socket_full_starts_again(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its own task ends and the next key frame begins another."""
        monkeypatch.setattr(caster_module, "MAX_BLOCKED_S", 0.01)
        room.port.becomes_writable = False
        await room.publish(*make_gop(0, units=3))
        room.port.blocked = {("192.0.2.1", 1)}
        viewer = room.enter()
        dropped = asyncio.Event()
        viewer.is_hopeless = lambda now: bool(dropped.set())  # type: ignore[method-assign, func-returns-value]
        await asyncio.wait_for(dropped.wait(), LIMIT_S)
        room.port.blocked = set()
        await room.publish(*make_gop(3 * STEP, units=2))

        assert room.numbers(viewer) == [101, 102]

    async def test_who_does_not_catch_up_goes_on_at_a_key_frame(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A backlog that never empties is dropped, and so is one without an end."""
        monkeypatch.setattr(caster_module, "CATCH_UP_S", -1.0)
        await room.publish(*make_gop(0, units=8))
        slow = asyncio.Event()
        monkeypatch.setattr(Turns, "take", lambda *_: slow.wait())
        viewer = room.enter()
        for au in make_gop(8 * STEP, units=2):
            room.hub.publish(au)
        await room.port.settle()
        slow.set()
        await room.port.settle()

        assert room.numbers(viewer) == [108, 109]

        _, delta = room.caster._gop
        viewer.backlog.extend([delta] * caster_module.MAX_BACKLOG)
        assert not room.caster._is_late(viewer, delta)
        viewer.backlog.append(delta)
        assert room.caster._is_late(viewer, delta)

    async def test_a_complaint_slows_a_joiner_down(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it asks for again is lost on its link; who is live has no pace to ease."""
        await room.publish(*[big(40, i * STEP, is_key=i == 0) for i in range(4)])
        eased: list[float] = []
        monkeypatch.setattr(Pace, "ease", lambda self, now: eased.append(now))
        viewer = room.enter()
        await room.port.until(lambda: len(room.numbers(viewer)) > 0)
        room.caster.retransmitted(viewer, 1, 0)
        await asyncio.gather(*[feed.task for feed in room.caster._apart.values()])
        room.caster.retransmitted(viewer, 1, 0)

        assert len(eased) == 1

    async def test_the_camera_is_asked_for_a_key_frame_when_somebody_waits_for_one(self, room: Room) -> None:
        """Not for a viewer that joins: it has the GOP so far."""
        wanted: list[None] = []
        room.hub.want_key_frame = lambda: wanted.append(None)
        viewer = room.enter()
        await room.publish(*make_gop(0, units=2))
        assert wanted == []

        room.caster.lag(viewer)

        assert wanted == [None]

    async def test_a_hopeless_viewer_is_closed(self, room: Room) -> None:
        """Dropped to a key frame too often in a short time."""
        viewer = room.enter()
        await room.publish(*make_gop(0, units=2))

        for _ in range(10):
            room.caster.lag(viewer)

        assert viewer.viewer.end_reason == EndReason.LAGGED

    async def test_too_much_to_send_is_dropped_up_to_a_key_frame(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For all viewers alike, and before it has numbers: nobody sees a gap."""
        viewer = room.enter()
        await room.publish(*make_gop(0, units=2))
        monkeypatch.setattr(caster_module, "MAX_PENDING_S", -1.0)
        wanted: list[None] = []
        room.hub.want_key_frame = lambda: wanted.append(None)
        for au in (make_au(2 * STEP), make_au(3 * STEP)):
            room.hub.publish(au)
        assert wanted
        monkeypatch.undo()
        await room.publish(make_au(4 * STEP), make_au(5 * STEP, is_key=True), make_au(6 * STEP))

        assert room.numbers(viewer) == [100, 101, 102, 103]

    async def test_what_waits_behind_a_key_frame_is_kept(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The newest key frame in the queue is where everybody goes on."""
        viewer = room.enter()
        await room.publish(*make_gop(0, units=2))
        for au in (make_au(2 * STEP), make_au(3 * STEP), make_au(4 * STEP, is_key=True)):
            room.hub.publish(au)
        monkeypatch.setattr(caster_module, "MAX_PENDING_S", -1.0)
        room.hub.publish(make_au(5 * STEP))
        monkeypatch.undo()
        await room.port.settle()

        assert room.numbers(viewer) == [100, 101, 102, 103]


class TestReplay:
    async def test_a_replay_takes_a_viewer_out_of_the_rounds(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It gets the GOP so far and is in them again, numbers going on; the others notice nothing."""
        monkeypatch.setattr(caster_module, "REPLAY_INTERVAL_S", 0.0)
        viewers = [room.enter(), room.enter()]
        await room.publish(*make_gop(0, units=3))
        room.caster.replay(viewers[0])
        await room.publish(make_au(3 * STEP))
        room.caster.replay(viewers[0])
        await room.publish(make_au(4 * STEP))

        assert room.numbers(viewers[0]) == list(range(100, 100 + 3 + 4 + 5))
        assert room.numbers(viewers[1]) == [100, 101, 102, 103, 104]
        assert room.caster._apart == {}

    async def test_a_replay_during_a_round_does_not_repeat_a_number(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Asked for between two runs of one access unit."""
        monkeypatch.setattr(caster_module, "REPLAY_INTERVAL_S", 0.0)
        viewer = room.enter()
        await room.publish(*make_gop(0, units=2))
        room.hub.publish(big(2 * RUN_PACKETS, 2 * STEP))
        await room.port.until(lambda: len(room.numbers(viewer)) >= 2 + RUN_PACKETS)
        room.caster.replay(viewer)
        await room.port.until(lambda: len(room.numbers(viewer)) >= 4 + 3 * RUN_PACKETS)

        numbers = room.numbers(viewer)
        assert numbers == list(range(100, 100 + len(numbers)))

    async def test_a_camera_that_is_away_is_not_replayed(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its past is not what anybody wants to see again and again."""
        monkeypatch.setattr(caster_module, "REPLAY_INTERVAL_S", 0.0)
        viewer = room.enter()
        await room.publish(*make_gop(0, units=3))
        room.hub.set_status(CameraStatus(CameraState.CONNECTING, 0))
        room.caster.replay(viewer)
        await room.port.settle()
        assert room.numbers(viewer) == [100, 101, 102]

        room.hub.set_status(CameraStatus(CameraState.LIVE, 0))
        room.caster.replay(viewer)
        await room.port.settle()
        assert room.numbers(viewer) == list(range(100, 106))

    async def test_without_a_gop_there_is_nothing_to_replay(self, room: Room) -> None:
        """The viewer waits for the key frame as it did."""
        viewer = room.enter()
        room.caster.replay(viewer)
        await room.publish(make_au(0, is_key=True))

        assert room.numbers(viewer) == [100]
