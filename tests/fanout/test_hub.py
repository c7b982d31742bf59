"""Tests of camrelay.fanout.hub."""

from __future__ import annotations

import asyncio
import logging

import pytest

from builders import make_au, make_sound
from camrelay import config, metrics
from camrelay.errors import StreamNotReady
from camrelay.fanout import hub as hub_module
from camrelay.fanout.hub import Hub
from camrelay.model import AccessUnit, AudioUnit, CameraId, CameraState, CameraStatus

LIVE = CameraStatus(state=CameraState.LIVE, since_us=1)
OFFLINE = CameraStatus(state=CameraState.OFFLINE, since_us=2, reason="unreachable")
CONNECTING = CameraStatus(state=CameraState.CONNECTING, since_us=3)
STANDBY = CameraStatus(state=CameraState.STANDBY, since_us=4)


class RecordingOutput:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.units: list[AccessUnit] = []
        self.statuses: list[CameraStatus] = []

    def access_unit(self, au: AccessUnit) -> None:
        self.units.append(au)

    def status(self, status: CameraStatus) -> None:
        self.statuses.append(status)


class FailingOutput(RecordingOutput):
    """Raises on everything."""

    def access_unit(self, au: AccessUnit) -> None:
        super().access_unit(au)
        raise RuntimeError("no")

    def status(self, status: CameraStatus) -> None:
        super().status(status)
        raise RuntimeError("no")


@pytest.fixture
def hub() -> Hub:
    return Hub(CameraId("door"), config.Ring())


def failures() -> float:
    return metrics.REGISTRY.get_sample_value("camrelay_camera_output_failures_total", {"camera": "door"}) or 0


class TestHub:
    def test_every_output_gets_what_arrives_and_the_ring_holds_it(self, hub: Hub) -> None:
        """An access unit reaches ring, params and all outputs."""
        first, second = RecordingOutput(), RecordingOutput()
        hub.attach(first)
        hub.attach(second)
        au = make_au(is_key=True)

        hub.publish(au)

        assert [au] == first.units == second.units
        assert (au,) == hub.ring.since_last_key()
        assert au.params is hub.params

    def test_an_output_learns_the_state_when_it_attaches_and_when_it_changes(self, hub: Hub) -> None:
        """Nobody has to ask for the state."""
        early, late = RecordingOutput(), RecordingOutput()
        hub.attach(early)
        hub.set_status(LIVE)
        hub.attach(late)

        hub.set_status(OFFLINE)

        assert [LIVE, OFFLINE] == early.statuses == late.statuses
        assert hub.status == OFFLINE

    def test_a_detached_output_gets_nothing_more(self, hub: Hub) -> None:
        """Detaching is final, and doing it twice does no harm."""
        output, other = RecordingOutput(), RecordingOutput()
        detach = hub.attach(output)
        hub.attach(other)

        detach()
        detach()
        hub.publish(make_au(is_key=True))

        assert output.units == []
        assert len(other.units) == 1

    def test_a_failing_output_is_detached_and_counted_and_hurts_nobody(
        self, hub: Hub, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The others get their access unit, the camera goes on, the operator is told once."""
        failing, other = FailingOutput(), RecordingOutput()
        hub.attach(failing)
        hub.attach(other)
        before = failures()

        with caplog.at_level(logging.ERROR, "camrelay.fanout"):
            hub.publish(make_au(is_key=True))
            hub.publish(make_au(3600))

        assert len(failing.units) == 1
        assert len(other.units) == 2
        assert before + 1 == failures()
        assert [r.getMessage() for r in caplog.records] == ["output FailingOutput failed, detached"]

    def test_an_output_that_fails_on_a_state_is_detached(self, hub: Hub) -> None:
        """A state is no less dangerous than an access unit, on attaching and later."""
        first, second = FailingOutput(), FailingOutput()
        hub.attach(first)
        hub.set_status(LIVE)
        hub.attach(second)

        hub.publish(make_au(is_key=True))

        assert [LIVE] == first.statuses == second.statuses
        assert [] == first.units == second.units

    def test_an_output_may_detach_itself_while_called(self, hub: Hub) -> None:
        """Changing the outputs from inside a call neither skips nor repeats anybody."""

        class OneShot(RecordingOutput):
            def access_unit(self, au: AccessUnit) -> None:
                super().access_unit(au)
                detach()

        once, other = OneShot(), RecordingOutput()
        detach = hub.attach(once)
        hub.attach(other)

        hub.publish(make_au(is_key=True))
        hub.publish(make_au(3600))

        assert len(once.units) == 1
        assert len(other.units) == 2

    def test_prints_what_it_is(self, hub: Hub) -> None:
        """The repr is made for logs."""
        assert (
            repr(hub) == "<Hub door/main no state yet, 0 outputs, <Ring 0 access units in 0 GOPs, 0 bytes>>"
        )
        hub.set_status(LIVE)
        assert repr(hub).startswith("<Hub door/main live")


class TestLive:
    async def test_who_asks_early_waits_until_the_camera_is_live(self, hub: Hub) -> None:
        """Through every state on the way."""
        hub.set_status(STANDBY)
        waiting = asyncio.create_task(hub.live())
        await asyncio.sleep(0)
        hub.set_status(CONNECTING)
        await asyncio.sleep(0)
        assert not waiting.done()

        hub.set_status(LIVE)

        await waiting
        await hub.live()

    async def test_a_camera_that_turns_out_to_be_offline_is_not_waited_for(self, hub: Hub) -> None:
        """Neither when that is known already."""
        hub.set_status(CONNECTING)
        waiting = asyncio.create_task(hub.live())
        await asyncio.sleep(0)
        hub.set_status(OFFLINE)

        with pytest.raises(StreamNotReady):
            await waiting
        with pytest.raises(StreamNotReady):
            await hub.live()

    async def test_waiting_has_an_end(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        """A camera may connect and never send a key frame."""
        monkeypatch.setattr(hub_module, "FIRST_PICTURE_S", 0.01)
        hub.set_status(CONNECTING)

        with pytest.raises(StreamNotReady) as refused:
            await hub.live()

        assert refused.value.retry_after_s == 2

    async def test_a_camera_at_rest_holds_nothing(self, hub: Hub) -> None:
        """Its next viewer gets new pictures, and memory is for cameras that are watched."""
        hub.publish(make_au(is_key=True))

        hub.set_status(STANDBY)

        assert hub.ring.since_last_key() == ()
        assert hub.ring.size_bytes == 0


class TestSound:
    def test_who_listens_hears_what_comes(self, hub: Hub) -> None:
        """Until it is taken back, however often."""
        heard: list[AudioUnit] = []
        stop = hub.hear(heard.append)
        hub.publish_sound(make_sound(1))
        stop()
        stop()
        hub.publish_sound(make_sound(2))

        assert [unit.pts for unit in heard] == [1]

    def test_a_failing_hearer_is_left_out_and_counted(self, hub: Hub) -> None:
        """The others hear on."""
        heard: list[AudioUnit] = []
        calls: list[AudioUnit] = []

        def fail(unit: AudioUnit) -> None:
            calls.append(unit)
            raise RuntimeError("no")

        hub.hear(fail)
        hub.hear(heard.append)
        before = failures()
        for pts in (1, 2):
            hub.publish_sound(make_sound(pts))

        assert (len(calls), len(heard)) == (1, 2)
        assert failures() == before + 1
