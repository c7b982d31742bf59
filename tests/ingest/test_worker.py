"""Ingest workers: as processes against RTSP servers, and their parts with hand-made access units."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
import pytest

from builders import PCMA, PPS, SPS_360P, SPS_720P
from cameras.gst import GstCamera
from camrelay.ingest import feed, worker
from camrelay.ingest.audio import RtpSound
from camrelay.ingest.h264 import CODED, avcc_nal_units, to_avcc
from camrelay.ingest.rtp import RtpUnit
from camrelay.ingest.sdp import Description, Track
from camrelay.ingest.worker import RECOVERY_POINT_AFTER_S, Attempt, Outbox
from camrelay.simulate.options import Options, Picture
from camrelay.simulate.server import Simulator
from ingest.recorder import PATIENCE_S

Transport = Literal["tcp", "udp"]

SMALL = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)
CANARY = "canary-p@ss/word"

IDR = bytes.fromhex("65888040ff")
SLICE = bytes.fromhex("419a2040ff")
B_SLICE = bytes.fromhex("019e2040ff")
RECOVERY_POINT = bytes.fromhex("0606018480")
#: Main profile, 320 x 240, without VUI.
SILENT_MAIN_SPS = bytes.fromhex("674d001ef40a0fc8")


def unit(timestamp: int, *nal_units: bytes) -> RtpUnit:
    return RtpUnit(timestamp, nal_units)


class Process:
    """A worker process, seen from the relay's end of its feed."""

    def __init__(self, sock: socket.socket, process: asyncio.subprocess.Process) -> None:
        self.socket = sock
        self.process = process
        self.received = b""
        self._decoder = feed.Decoder()
        self._messages: list[feed.Message] = []

    def send(self, message: feed.Message) -> None:
        self.socket.send(feed.encode(message))

    def start(
        self, url: str, *, attempt: int = 1, user: str = "", password: str = "", transport: Transport = "tcp"
    ) -> None:
        authority, _, path = url.removeprefix("rtsp://").partition("/")
        host, _, port = authority.partition(":")
        self.send(
            feed.Start(attempt, host, int(port), authority, f"/{path}", False, user, password, transport)
        )

    async def next(self) -> feed.Message:
        while not self._messages:
            data = await asyncio.wait_for(
                asyncio.get_running_loop().sock_recv(self.socket, 65_536), PATIENCE_S
            )
            assert data, "the worker closed its feed"
            self.received += data
            self._messages += self._decoder.feed(data)
        return self._messages.pop(0)

    async def until(self, kind: type[feed.Message]) -> feed.Message:
        while True:
            message = await self.next()
            if isinstance(message, kind):
                return message


@contextlib.asynccontextmanager
async def running(*, open_s: float = 10.0, silence_s: float = 5.0) -> AsyncIterator[Process]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "camrelay.ingest.worker",
            str(theirs.fileno()),
            str(open_s),
            str(silence_s),
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        ours.setblocking(False)
        try:
            yield Process(ours, process)
        finally:
            ours.close()
            await asyncio.wait_for(process.wait(), PATIENCE_S)


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    async with running() as started:
        yield started


class TestAgainstCameras:
    async def test_plays_a_camera_until_told_to_stop(self, process: Process) -> None:
        """Opened, Params, units from a key frame on with the camera's own times, one Ended."""
        async with Simulator(Options(picture=SMALL)) as camera:
            process.start(camera.url())

            assert await process.next() == feed.Opened(1)
            params = await process.next()
            assert isinstance(params, feed.Params)
            assert (params.video.width, params.video.height) == (320, 180)
            units = [await process.next() for _ in range(30)]
            process.send(feed.Stop(1))
            ended = await process.until(feed.Ended)

        assert all(isinstance(unit, feed.Unit) for unit in units)
        times = [unit.pts for unit in units if isinstance(unit, feed.Unit)]
        assert [(time - times[0]) % (1 << 32) for time in times] == [i * 3600 for i in range(30)]
        assert units[0].is_key  # type: ignore[union-attr]
        assert sum(unit.is_key for unit in units if isinstance(unit, feed.Unit)) in (1, 2)
        assert ended == feed.Ended(1, "interrupted")

    @pytest.mark.parametrize("transport", ["tcp", "udp"])
    @pytest.mark.parametrize(
        "options",
        [
            Options(picture=SMALL, first_sequence=65_500, first_timestamp=(1 << 32) - 36_000),
            Options(picture=msgspec.structs.replace(SMALL, b_frames=2, slices=4)),
            Options(picture=SMALL, user="u", password="p", auth="digest-sha256"),
            Options(picture=msgspec.structs.replace(SMALL, width=1920, height=1080, bitrate_bps=8_000_000)),
        ],
        ids=["numbers that wrap", "B-frames and slices", "SHA-256", "large pictures"],
    )
    async def test_plays_every_kind_of_camera(
        self, process: Process, options: Options, transport: Transport
    ) -> None:
        """Every unit of two seconds arrives, none is dropped, and each holds all of its slices."""
        async with Simulator(options) as camera:
            process.start(camera.url(), user=options.user, password=options.password, transport=transport)
            await process.until(feed.Params)
            messages = [await process.next() for _ in range(50)]

        units = [message for message in messages if isinstance(message, feed.Unit)]
        assert all(isinstance(message, feed.Unit | feed.Params) for message in messages)
        assert units[0].is_key
        for unit in units:
            slices = [n for n in avcc_nal_units(unit.data) if n[0] & 0x1F in CODED]
            assert len(slices) == options.picture.slices

    @pytest.mark.parametrize("transport", ["tcp", "udp"])
    async def test_plays_a_camera_that_is_not_ours(self, process: Process, transport: Transport) -> None:
        """GStreamer's server; its B-frames are announced in the parameter sets."""
        async with GstCamera("--b-frames", "2", "--profile", "main", "--audio") as camera:
            process.start(camera.url, transport=transport)

            params = await process.until(feed.Params)
            media = [await process.next() for _ in range(90)]
            process.send(feed.Stop(1))
            ended = await process.until(feed.Ended)

        assert isinstance(params, feed.Params)
        assert params.video.reorder_depth > 0
        assert params.video.audio == PCMA
        assert {type(message) for message in media} == {feed.Unit, feed.Sound}
        assert next(unit for unit in media if isinstance(unit, feed.Unit)).is_key
        assert ended == feed.Ended(1, "interrupted")

    async def test_credentials_work_and_never_come_back(self, process: Process) -> None:
        """Whatever the password holds, no message repeats it, nor where the camera is."""
        async with Simulator(Options(picture=SMALL, user="us er", password=CANARY)) as camera:
            process.start(camera.url(), user="us er", password=CANARY)
            await process.until(feed.Unit)
            process.start(camera.url(), attempt=2, user="us er", password="canary-wrong")
            ended = await process.until(feed.Ended)

        assert ended == feed.Ended(2, "credentials_refused")
        assert b"canary" not in process.received
        assert b"rtsp:" not in process.received

    async def test_says_why_a_camera_can_not_be_opened(self, process: Process) -> None:
        """A wrong path is not an unreachable camera."""
        async with Simulator(Options(picture=SMALL)) as camera:
            process.start(camera.url(7))
            assert await process.next() == feed.Ended(1, "stream_not_found")
            url = camera.url()
        process.start(url, attempt=2)
        assert await process.next() == feed.Ended(2, "unreachable")

    async def test_a_camera_that_accepts_and_says_nothing_is_unreachable(self) -> None:
        """Opening is bounded."""
        async with running(open_s=0.5) as process:
            with socket.create_server(("127.0.0.1", 0)) as silent:
                process.start(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/")

                assert await process.next() == feed.Ended(1, "unreachable")

    async def test_a_stop_does_not_wait_for_the_camera(self, process: Process) -> None:
        """However long the camera might still have to answer."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            process.start(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/")
            connection, _ = await asyncio.to_thread(silent.accept)
            with connection:
                process.send(feed.Stop(1))

                ended = await asyncio.wait_for(process.next(), 5.0)

        assert isinstance(ended, feed.Ended)

    async def test_a_server_that_does_not_speak_rtsp_is_no_camera(self, process: Process) -> None:
        """With a code of ours."""

        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n" * 100)
            writer.close()

        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            process.start(f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/")

            assert await process.next() == feed.Ended(1, "unreachable")

    async def test_a_camera_that_falls_silent_is_interrupted(self) -> None:
        """The silence is bounded, too."""
        async with GstCamera() as camera, running(silence_s=1.0) as process:
            process.start(camera.url)
            await process.until(feed.Unit)
            with camera.paused():
                ended = await process.until(feed.Ended)

        assert ended == feed.Ended(1, "interrupted")

    async def test_leaves_when_the_relay_does(self) -> None:
        """A worker without its relay would go on occupying cameras."""
        async with Simulator(Options(picture=SMALL)) as camera, running() as process:
            process.start(camera.url())
            await process.until(feed.Unit)
            process.socket.close()

            assert await asyncio.wait_for(process.process.wait(), PATIENCE_S) == 0


DESCRIPTION = Description("", ())


def track(parameter_sets: str) -> Track:
    return Track("video", "H264", 96, format={"sprop-parameter-sets": parameter_sets})


class FakeOutbox:
    """Takes what a real one takes, or nothing more once it is full."""

    def __init__(self) -> None:
        self.messages: list[feed.Message] = []
        self.is_full = False

    def put(self, message: feed.Message) -> bool:
        if self.is_full and isinstance(message, feed.Unit):
            return False
        self.messages.append(message)
        return True

    @property
    def kinds(self) -> str:
        """O for Opened, P for Params, K for a key unit, u for another, D for Dropped."""
        return "".join(
            ("K" if message.is_key else "u") if isinstance(message, feed.Unit) else type(message).__name__[0]
            for message in self.messages
        )


@pytest.fixture
def outbox() -> FakeOutbox:
    return FakeOutbox()


@pytest.fixture
def attempt(outbox: FakeOutbox) -> Attempt:
    return Attempt(1, outbox)  # type: ignore[arg-type]


class TestSound:
    def test_it_is_announced_with_the_pictures_and_sent_beside_them(
        self, attempt: Attempt, outbox: FakeOutbox
    ) -> None:
        """What is heard is part of what a decoder must know."""
        attempt.sound_opened(PCMA)
        attempt.access_unit(unit(0, SPS_360P, PPS, IDR))
        attempt.sound(RtpSound(2**32 + 7, 160, b"sound"), 99)
        attempt.sound_dropped(3)

        params, _, sound, dropped = outbox.messages
        assert isinstance(params, feed.Params)
        assert params.video.audio == PCMA
        assert sound == feed.Sound(1, 7, 99, 160, b"sound")
        assert dropped == feed.Dropped(1, 3, "sound")

    @pytest.mark.parametrize("transport", ["tcp", "udp"])
    async def test_a_camera_is_heard(self, transport: Transport) -> None:
        """Over both transports, with its place among the pictures."""
        async with Simulator(Options(picture=SMALL, audio="opus")) as camera, running() as process:
            process.start(camera.url(), transport=transport)
            while True:
                sound = await process.until(feed.Sound)
                assert isinstance(sound, feed.Sound)
                if sound.video_timestamp is not None:
                    break
            assert sound.duration == 960


class TestAccessUnits:
    def test_parameter_sets_go_before_the_first_unit_that_needs_them(
        self, attempt: Attempt, outbox: FakeOutbox
    ) -> None:
        """Once, until they change."""
        attempt.access_unit(unit(0, SPS_360P, PPS, IDR))
        attempt.access_unit(unit(3600, SLICE))
        attempt.access_unit(unit(7200, SPS_360P, PPS, IDR))
        attempt.access_unit(unit(10_800, SPS_720P, PPS, IDR))

        assert outbox.kinds == "PKuKPK"
        assert outbox.messages[1] == feed.Unit(
            1,
            True,
            0,
            outbox.messages[1].arrived_us,
            to_avcc([IDR]),  # type: ignore[union-attr]
        )

    def test_lost_packets_cost_everything_up_to_the_next_key_frame(
        self, attempt: Attempt, outbox: FakeOutbox
    ) -> None:
        """A unit that is whole but refers to what was lost is as bad; the loss is counted."""
        attempt.access_unit(unit(0, SPS_360P, PPS, IDR))
        attempt.access_unit(unit(3600))
        attempt.access_unit(unit(7200, SLICE))
        attempt.access_unit(unit(10_800, IDR))

        assert outbox.kinds == "PKDK"
        assert outbox.messages[2] == feed.Dropped(1, 2, "malformed")

    def test_what_the_description_says_is_known_before_the_first_unit(
        self, attempt: Attempt, outbox: FakeOutbox
    ) -> None:
        """F8: some cameras never repeat their parameter sets; others announce nonsense."""
        sets = ",".join(base64.b64encode(nal_unit).decode() for nal_unit in (SPS_360P, PPS))

        attempt.opened(DESCRIPTION, track(sets))
        attempt.access_unit(unit(0, IDR))

        assert outbox.kinds == "OPK"

    def test_a_description_of_nonsense_is_passed_over(self, attempt: Attempt, outbox: FakeOutbox) -> None:
        """The stream may still say it better."""
        attempt.opened(DESCRIPTION, track(base64.b64encode(b"\xe7\x42").decode()))
        attempt.access_unit(unit(0, SPS_360P, PPS, IDR))

        assert outbox.kinds == "OPK"

    def test_bad_parameter_sets_are_passed_over(self, attempt: Attempt, outbox: FakeOutbox) -> None:
        """The ones before them still stand, and the picture is not lost."""
        attempt.access_unit(unit(0, SPS_360P, PPS, IDR))
        attempt.access_unit(unit(3600, SPS_720P[:5], PPS, IDR))

        assert outbox.kinds == "PKK"

    def test_b_slices_change_the_parameters_of_a_stream_that_did_not_say(
        self, attempt: Attempt, outbox: FakeOutbox
    ) -> None:
        """WebRTC viewers must hear of it before they see it."""
        attempt.access_unit(unit(0, SILENT_MAIN_SPS, PPS, IDR))
        attempt.access_unit(unit(3600, B_SLICE))

        assert outbox.kinds == "PKPu"
        assert [m.video.reorder_depth for m in outbox.messages if isinstance(m, feed.Params)] == [0, 2]

    def test_a_malformed_unit_costs_everything_up_to_the_next_key_frame(
        self, attempt: Attempt, outbox: FakeOutbox
    ) -> None:
        """What refers to it would be shown broken (fault F15); the loss is counted."""
        attempt.access_unit(unit(0, SPS_360P, PPS, IDR))
        attempt.access_unit(unit(3600, b"\xc1\x9a\x20"))
        attempt.access_unit(unit(7200, SLICE))
        attempt.access_unit(unit(10_800, IDR))
        attempt.access_unit(unit(14_400, SLICE))

        assert outbox.kinds == "PKDKu"
        assert outbox.messages[2] == feed.Dropped(1, 2, "malformed")

    def test_what_the_relay_does_not_read_is_dropped_up_to_a_key_frame(
        self, attempt: Attempt, outbox: FakeOutbox
    ) -> None:
        """The camera does not wait, and no unit follows one that is missing."""
        attempt.access_unit(unit(0, SPS_360P, PPS, IDR))
        outbox.is_full = True
        attempt.access_unit(unit(3600, SLICE))
        outbox.is_full = False
        attempt.access_unit(unit(7200, SLICE))
        attempt.access_unit(unit(10_800, IDR))

        assert outbox.kinds == "PKDK"
        assert outbox.messages[2] == feed.Dropped(1, 2, "backlog")

    def test_recovery_points_count_only_in_a_stream_without_idr_pictures(
        self, attempt: Attempt, outbox: FakeOutbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Gradual refresh is played after a while; elsewhere a recovery point is not a clean start."""
        now = 1000.0
        monkeypatch.setattr(worker.time, "monotonic", lambda: now)
        attempt.access_unit(unit(0, SPS_360P, PPS, IDR))
        attempt.access_unit(unit(3600, RECOVERY_POINT, SLICE))
        now += RECOVERY_POINT_AFTER_S + 1
        attempt.access_unit(unit(7200, SLICE))
        attempt.access_unit(unit(10_800, RECOVERY_POINT, SLICE))

        assert outbox.kinds == "PKuuK"


class TestOutbox:
    @pytest.fixture
    def pair(self) -> AsyncIterator[tuple[socket.socket, socket.socket]]:  # type: ignore[misc]
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.setblocking(False)
            ours.settimeout(PATIENCE_S)
            yield ours, theirs  # type: ignore[misc]

    def read_all(self, ours: socket.socket, outbox: Outbox) -> list[feed.Message]:
        decoder, messages = feed.Decoder(), []
        ours.setblocking(False)
        while True:
            outbox.flush()
            try:
                messages += decoder.feed(ours.recv(65_536))
            except BlockingIOError:
                return messages

    def test_sends_everything_at_once_while_the_relay_reads(
        self, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        """What one turn of the loop has brought is one write."""
        outbox = Outbox(pair[1])

        assert outbox.put(feed.Opened(1))
        assert outbox.put(feed.Opened(2))
        outbox.flush()

        assert feed.Decoder().feed(pair[0].recv(100)) == [feed.Opened(1), feed.Opened(2)]
        assert not outbox.has_backlog

    def test_sends_before_the_end_of_a_turn_that_brings_much(
        self, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or a turn of many cameras would fill the backlog while the relay waits."""
        monkeypatch.setattr(worker, "SEND_BYTES", 1_000)
        outbox = Outbox(pair[1])
        unit = feed.Unit(1, False, 0, 0, bytes(600))

        outbox.put(unit)
        outbox.put(unit)

        assert feed.Decoder().feed(pair[0].recv(10_000)) == [unit, unit]

    def test_keeps_order_and_bytes_while_the_relay_pauses(
        self, pair: tuple[socket.socket, socket.socket]
    ) -> None:
        """Wherever the socket stops taking them."""
        outbox = Outbox(pair[1])
        units = [feed.Unit(1, False, i, i, bytes([i]) * 100_000) for i in range(20)]

        assert all(outbox.put(unit) for unit in units)
        outbox.flush()

        assert outbox.has_backlog
        assert self.read_all(pair[0], outbox) == units
        assert not outbox.has_backlog

    def test_refuses_units_but_never_words_when_the_backlog_is_full(
        self, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Memory is bounded; how an attempt ended is still told."""
        monkeypatch.setattr(worker, "BACKLOG_BYTES", 500_000)
        outbox = Outbox(pair[1])
        unit = feed.Unit(1, False, 0, 0, bytes(100_000))

        taken = [outbox.put(unit) for _ in range(20)]

        assert taken == sorted(taken, reverse=True)
        assert 5 <= sum(taken) <= 12
        assert outbox.put(feed.Ended(1, "interrupted"))
        messages = self.read_all(pair[0], outbox)
        assert messages == [unit] * sum(taken) + [feed.Ended(1, "interrupted")]
        assert outbox.put(unit)

    def test_a_relay_that_is_gone_is_no_error(self, pair: tuple[socket.socket, socket.socket]) -> None:
        """The reading end notices it and ends the process."""
        outbox = Outbox(pair[1])
        pair[0].close()

        assert outbox.put(feed.Opened(1))
        outbox.flush()

        assert not outbox.has_backlog
