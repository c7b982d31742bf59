"""Real workers and real cameras: what dies, hangs or comes late, and what that costs the others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from cameras.gst import GstCamera
from camrelay import config, metrics
from camrelay.errors import ConfigError
from camrelay.ingest.fleet import Fleet
from camrelay.model import CameraId, CameraState, EndReason, Protocol, Viewer
from camrelay.simulate.options import Options, Picture
from camrelay.simulate.server import Simulator
from ingest.recorder import Recorder

LIVE, OFFLINE = CameraState.LIVE, CameraState.OFFLINE
SMALL = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=12)
LOOPBACK = config.Egress(allow=("127.0.0.0/8",))
OPTIONS = config.Ingest(backoff_min_s=0.05, backoff_max_s=0.2)


@contextlib.asynccontextmanager
async def running(options: config.Ingest = OPTIONS) -> AsyncIterator[Fleet]:
    fleet = Fleet(options, LOOPBACK)
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.stop()


def add(fleet: Fleet, id: str, url: str, **camera: str) -> Recorder:
    recorder = Recorder()
    fleet.add(
        config.Camera(id=id, url=url, **camera),  # type: ignore[arg-type]
        publish=recorder.publish,
        status=recorder.report,
    )
    return recorder


def workers() -> list[int]:
    """Process ids of the workers this process has now, oldest first."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    found = []
    for pid in children:
        with contextlib.suppress(FileNotFoundError):  # it ended since
            if b"camrelay.ingest.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


def restarts(worker: str) -> float:
    return metrics.REGISTRY.get_sample_value("camrelay_worker_restarts_total", {"worker": worker}) or 0.0


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Three cameras without a password."""
    async with Simulator(Options(cameras=3, picture=SMALL)) as simulator:
        yield simulator


async def test_cameras_share_workers(simulator: Simulator) -> None:
    """As many to a worker as the configuration says, and no worker without a camera."""
    async with running(config.Ingest(cameras_per_worker=2)) as fleet:
        recorders = [add(fleet, f"cam{i}", simulator.url(i)) for i in (1, 2, 3)]
        for recorder in recorders:
            await recorder.until_state(LIVE)
        assert len(workers()) == 2

        await fleet.remove("cam3")
        assert len(workers()) == 1
    assert workers() == []


async def test_cameras_added_before_the_start_begin_with_it(simulator: Simulator) -> None:
    """The order of composition does not matter."""
    fleet = Fleet(OPTIONS, LOOPBACK)
    recorder = add(fleet, "cam1", simulator.url(1))
    assert recorder.statuses == []

    await fleet.start()
    await recorder.until_state(LIVE)
    await fleet.stop()
    assert workers() == []


async def test_a_killed_worker_is_replaced_and_the_others_do_not_notice(simulator: Simulator) -> None:
    """Its cameras are back with one discontinuity; a camera on another worker loses nothing (fault F5)."""
    async with running(config.Ingest(cameras_per_worker=1)) as fleet:
        hit, bystander = add(fleet, "hit", simulator.url(1)), add(fleet, "bystander", simulator.url(2))
        await hit.until_state(LIVE)
        await bystander.until_state(LIVE)
        before = restarts("1")

        os.kill(workers()[0], signal.SIGKILL)
        await hit.until_state(OFFLINE, "worker_lost")
        await hit.until_state(LIVE)
        await hit.more_units(5)

        assert restarts("1") == before + 1
        assert [unit.discontinuity for unit in hit.units].count(True) == 1
        assert all(a.dts < b.dts for a, b in zip(hit.units, hit.units[1:], strict=False))
        assert bystander.states[-1] is LIVE
        assert OFFLINE not in bystander.states
        assert not any(unit.discontinuity for unit in bystander.units)


async def test_a_stopped_worker_costs_its_camera_only_the_stall_timeout(simulator: Simulator) -> None:
    """A worker that neither dies nor obeys is killed, at the latest when the fleet stops."""
    async with running(config.Ingest(stall_timeout_s=0.5, open_timeout_s=0.5)) as fleet:
        recorder = add(fleet, "cam1", simulator.url(1))
        await recorder.until_state(LIVE)
        pid = workers()[0]

        os.kill(pid, signal.SIGSTOP)
        await recorder.until_state(OFFLINE, "interrupted")
        await recorder.until_state(LIVE)

        assert pid not in workers()


async def test_cameras_come_and_go_without_touching_others(simulator: Simulator) -> None:
    """Adding and removing is live; nothing is heard of a camera after it was removed."""
    async with running() as fleet:
        stays = add(fleet, "stays", simulator.url(1))
        goes = add(fleet, "goes", simulator.url(2))
        await stays.until_state(LIVE)
        await goes.until_state(LIVE)

        await fleet.remove("goes")
        heard = len(goes.units), len(goes.statuses)
        again = add(fleet, "goes", simulator.url(3))
        await again.until_state(LIVE)
        await stays.more_units(5)

        assert (len(goes.units), len(goes.statuses)) == heard
        assert stays.states.count(LIVE) == 1
        assert OFFLINE not in stays.states


async def test_an_on_demand_camera_is_read_while_somebody_watches(simulator: Simulator) -> None:
    """Its clock goes on over the rest, and its viewers' other cameras are none of its business."""
    async with running(config.Ingest(linger_s=1.0)) as fleet:
        rests = add(fleet, "rests", simulator.url(1), connect="on_demand")
        always = add(fleet, "always", simulator.url(2))
        await always.until_state(LIVE)
        assert rests.states == [CameraState.STANDBY]

        for id in ("v1", "v2"):
            viewer = Viewer(
                id=id, session="s", camera=CameraId("rests"), protocol=Protocol.WEBRTC, subject=""
            )
            fleet.watch(viewer)
            await rests.until_state(LIVE)
            await rests.more_units(3)
            viewer.end(EndReason.CLIENT_CLOSED)
            await rests.until_state(CameraState.STANDBY)

        assert [unit.discontinuity for unit in rests.units].count(True) == 1
        assert all(a.dts < b.dts for a, b in zip(rests.units, rests.units[1:], strict=False))


async def test_a_viewing_of_an_on_demand_camera_reads_all_its_streams(simulator: Simulator) -> None:
    """Players change over between them without being asked."""
    async with running(config.Ingest(linger_s=1.0)) as fleet:
        streams = [add(fleet, name, simulator.url(1), connect="on_demand") for name in ("rests", "rests/sub")]
        camera = CameraId("rests")
        viewer = Viewer(id="v", session="s", camera=camera, protocol=Protocol.HLS, subject="")
        fleet.watch(viewer)
        for stream in streams:
            await stream.until_state(LIVE)
        viewer.end(EndReason.CLIENT_CLOSED)
        for stream in streams:
            await stream.until_state(CameraState.STANDBY)


async def test_a_camera_that_cannot_be_removed_in_time_costs_the_others_nothing(
    simulator: Simulator,
) -> None:
    """Removing does not wait for a dead address, and does not kill the worker of those that play."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent, running() as fleet:
        plays = add(fleet, "plays", simulator.url(1))
        await plays.until_state(LIVE)
        dead = add(fleet, "dead", f"rtsp://127.0.0.1:{silent.sockets[0].getsockname()[1]}/")
        await dead.until(lambda: bool(dead.statuses))
        pid = workers()[0]

        await asyncio.wait_for(fleet.remove("dead"), 5.0)
        await plays.more_units(5)

        assert workers() == [pid]
        assert OFFLINE not in plays.states


async def test_a_camera_that_is_not_there_yet_is_found_when_it_is(simulator: Simulator) -> None:
    """And then goes live by itself."""
    url = simulator.url(1)
    await simulator.stop()
    async with running() as fleet:
        recorder = add(fleet, "cam1", url)
        await recorder.until_state(OFFLINE, "unreachable")

        await simulator.start()
        await recorder.until_state(LIVE)


async def test_a_camera_that_reboots_comes_back(simulator: Simulator) -> None:
    """With new timestamps on the same clock, and one discontinuity (fault F1)."""
    async with running() as fleet:
        recorder = add(fleet, "cam1", simulator.url(1))
        await recorder.until_state(LIVE)
        await recorder.more_units(5)

        await simulator.stop()
        await recorder.until_state(OFFLINE)
        await simulator.start()
        await recorder.until_state(LIVE)
        await recorder.more_units(5)

        assert [unit.discontinuity for unit in recorder.units].count(True) == 1
        assert all(a.dts < b.dts for a, b in zip(recorder.units, recorder.units[1:], strict=False))


async def test_a_camera_that_hangs_is_noticed_and_found_again() -> None:
    """Its connection stays open and silent, as after a power cut (fault F2)."""
    async with (
        GstCamera("--key-int-max", "12") as camera,
        running(config.Ingest(stall_timeout_s=1.0)) as fleet,
    ):
        recorder = add(fleet, "cam1", camera.url)
        await recorder.until_state(LIVE)

        with camera.paused():
            await recorder.until_state(OFFLINE, "interrupted")
        await recorder.until_state(LIVE)


async def test_a_wrong_password_is_tried_twice() -> None:
    """Then the camera is left alone: a third try might lock the account (fault F11)."""
    tries: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                if "Authorization:" in head:
                    tries.append(head.split()[0])
                number = next(line for line in head.split("\r\n") if line.startswith("CSeq:"))
                writer.write(
                    f"RTSP/1.0 401 Unauthorized\r\n{number}\r\n"
                    'WWW-Authenticate: Digest realm="camera", nonce="1"\r\n\r\n'.encode()
                )
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server, running() as fleet:
        url = f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        recorder = add(fleet, "cam1", url, username="admin", password="wrong")
        await recorder.until(lambda: len(recorder.reasons) == 2)

        assert recorder.reasons == ["credentials_refused"] * 2
        status = recorder.statuses[-1]
        assert status.retry_at_us is not None
        assert status.retry_at_us - status.since_us > 1_700_000_000
        assert len(tries) == 2


async def test_a_forbidden_address_is_never_dialled(simulator: Simulator) -> None:
    """Without an entry for loopback, nothing on this machine is a camera."""
    fleet = Fleet(OPTIONS, config.Egress())
    await fleet.start()
    recorder = add(fleet, "cam1", simulator.url(1))
    await recorder.until_state(OFFLINE, "egress_denied")
    await fleet.stop()


async def test_refuses_what_it_cannot_understand() -> None:
    """At once, before anything is started."""
    with pytest.raises(ConfigError):
        Fleet(OPTIONS, config.Egress(allow=("cameras",)))
    with pytest.raises(ConfigError):
        add(Fleet(OPTIONS, LOOPBACK), "cam1", "http://10.0.0.1/")


async def test_nothing_is_left_when_it_stops(simulator: Simulator) -> None:
    """No process, no descriptor, no task; and it does not take long, even with a worker that hangs."""
    others, descriptors = asyncio.all_tasks(), len(os.listdir("/proc/self/fd"))
    fleet = Fleet(config.Ingest(cameras_per_worker=1), LOOPBACK)
    await fleet.start()
    recorders = [add(fleet, f"cam{i}", simulator.url(i)) for i in (1, 2, 3)]
    for recorder in recorders:
        await recorder.until_state(LIVE)
    os.kill(workers()[0], signal.SIGSTOP)

    started = asyncio.get_running_loop().time()
    await fleet.stop()

    assert asyncio.get_running_loop().time() - started < 4.0
    assert workers() == []
    assert asyncio.all_tasks() <= others
    await simulator.stop()
    await simulator.start()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_runs_on_uvloop_as_the_relay_does() -> None:
    """Socket pairs, processes and a worker's death included."""

    async def scenario() -> None:
        async with Simulator(Options(picture=SMALL)) as simulator, running() as fleet:
            recorder = add(fleet, "cam1", simulator.url(1))
            await recorder.until_state(LIVE)
            os.kill(workers()[0], signal.SIGKILL)
            await recorder.until_state(OFFLINE, "worker_lost")
            await recorder.until_state(LIVE)
        assert workers() == []

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
