"""The life of a camera, with a worker made of a list."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator

import pytest

from builders import PARAMS, PCMA, SPS_720P, make_params
from camrelay import config, metrics
from camrelay.errors import CameraAuthFailed, ConfigError, CredentialsOnHold, WorkerLost
from camrelay.ingest import feed
from camrelay.ingest.backoff import REFUSED_WAIT_S
from camrelay.ingest.budget import Budget
from camrelay.ingest.egress import EgressPolicy
from camrelay.ingest.source import FAILING_AFTER, Listener, Source, Turnstile
from camrelay.model import CLOCK_RATE, CameraState
from ingest.recorder import PATIENCE_S, Recorder

LIVE, OFFLINE = CameraState.LIVE, CameraState.OFFLINE
CANARY = "canary-password"
#: Retries at once, and a patience no test reaches unless it is about that.
OPTIONS = config.Ingest(backoff_min_s=0.001, backoff_max_s=0.002, stall_timeout_s=60, open_timeout_s=60)


class FakeLine:
    """A worker that says what the test says."""

    def __init__(self) -> None:
        self.starts: list[feed.Start] = []
        self.hung_up: list[int] = []
        self.is_ready = asyncio.Event()
        self.is_ready.set()
        self.is_lost = False
        self._dialled = asyncio.Event()
        self._listener: Listener | None = None

    async def ready(self) -> None:
        await self.is_ready.wait()

    def dial(self, start: feed.Start, listener: Listener) -> None:
        if self.is_lost:
            self.is_lost = False
            raise WorkerLost("gone")
        self.starts.append(start)
        self._listener = listener
        self._dialled.set()

    async def hang_up(self, attempt: int) -> None:
        self.hung_up.append(attempt)

    @property
    def attempt(self) -> int:
        return self.starts[-1].attempt

    async def dialled(self) -> None:
        """Returns at the next attempt."""
        await asyncio.wait_for(self._dialled.wait(), PATIENCE_S)
        self._dialled.clear()

    def say(self, *messages: feed.Message) -> None:
        assert self._listener is not None
        for message in messages:
            self._listener(message)

    def opened(self) -> None:
        self.say(feed.Opened(self.attempt), feed.Params(self.attempt, PARAMS))

    def unit(self, pts: int | None = 0, *, is_key: bool = False) -> None:
        self.say(feed.Unit(self.attempt, is_key, pts, 1_700_000_000_000_000, b"\x00\x00\x00\x01\x65"))

    def ended(self, reason: str) -> None:
        self.say(feed.Ended(self.attempt, reason))


@contextlib.asynccontextmanager
async def source(
    line: FakeLine,
    recorder: Recorder,
    *,
    options: config.Ingest = OPTIONS,
    egress: tuple[str, ...] = (),
    turnstile: Turnstile | None = None,
    budget: Budget | None = None,
    **camera: str,
) -> AsyncIterator[asyncio.Task[None]]:
    """A camera at a private address, started; stopped in the end."""
    task = asyncio.create_task(
        Source(
            config.Camera(**{"id": "yard", "url": "rtsp://10.1.2.3/live", **camera}),  # type: ignore[arg-type]
            options=options,
            egress=EgressPolicy(config.Egress(allow=egress)),
            line=line,
            turnstile=turnstile or Turnstile(4),
            budget=budget or Budget(),
            publish=recorder.publish,
            report=recorder.report,
            publish_sound=recorder.publish_sound,
        ).run()
    )
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def line() -> FakeLine:
    return FakeLine()


@pytest.fixture
async def recorder() -> Recorder:
    return Recorder()


def sample(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(f"camrelay_camera_{name}", {"camera": "yard", **labels})


class TestSound:
    async def test_it_is_placed_among_the_pictures(self, line: FakeLine, recorder: Recorder) -> None:
        """By the video's clock where the camera tells; before the first picture there is nothing to hear."""
        heard = make_params(audio=PCMA)
        async with source(line, recorder):
            await line.dialled()
            line.say(feed.Opened(line.attempt), feed.Params(line.attempt, heard))
            line.say(feed.Sound(line.attempt, 0, None, 160, b"too early"))
            line.unit(9000, is_key=True)
            line.say(feed.Sound(line.attempt, 160, 9000 - 450, 160, b"sound"))
            line.say(feed.Sound(line.attempt, 160, 9000 - 450, 160, b"again"))

        (sound,) = recorder.sounds
        assert (sound.data, sound.params, sound.duration) == (b"sound", PCMA, 160)
        assert recorder.units[0].pts - sound.pts == 450
        assert recorder.units[0].params.audio == PCMA

    async def test_repeated_sound_is_counted(self, line: FakeLine, recorder: Recorder) -> None:
        """As everything that is received and not passed on."""
        async with source(line, recorder):
            await line.dialled()
            line.say(feed.Opened(line.attempt), feed.Params(line.attempt, make_params(audio=PCMA)))
            line.unit(0, is_key=True)
            for _ in range(3):
                line.say(feed.Sound(line.attempt, 0, None, 8000, b"sound"))
            assert sample("dropped_access_units_total", reason="sound") == 2

    async def test_it_keeps_no_camera_alive(self, line: FakeLine, recorder: Recorder) -> None:
        """Silence is measured on pictures (fault F3)."""
        options = config.Ingest(backoff_min_s=0.001, backoff_max_s=0.002, stall_timeout_s=0.1)
        async with source(line, recorder, options=options):
            await line.dialled()
            line.say(feed.Opened(line.attempt), feed.Params(line.attempt, make_params(audio=PCMA)))
            line.unit(0, is_key=True)
            for n in range(1000):
                if OFFLINE in recorder.states:
                    break
                line.say(feed.Sound(line.attempt, n, None, 160, b"sound"))
                await asyncio.sleep(0.005)

        assert "interrupted" in recorder.reasons


class TestLife:
    async def test_goes_from_connecting_to_live(self, line: FakeLine, recorder: Recorder) -> None:
        """One state after the other; pictures from the first key frame on."""
        async with source(line, recorder):
            await line.dialled()
            line.opened()
            line.unit(0)
            line.unit(3600, is_key=True)
            line.unit(7200)

        assert recorder.states == ["connecting", "waiting_for_key_frame", "live"]
        assert [unit.is_key for unit in recorder.units] == [True, False]
        assert [unit.params for unit in recorder.units] == [PARAMS, PARAMS]
        assert recorder.units[1].dts - recorder.units[0].dts == 3600

    async def test_waits_for_parameter_sets(self, line: FakeLine, recorder: Recorder) -> None:
        """A key frame that nobody can decode is not one (fault F8)."""
        async with source(line, recorder):
            await line.dialled()
            line.say(feed.Opened(line.attempt))
            line.unit(0, is_key=True)
            line.say(feed.Params(line.attempt, PARAMS))
            line.unit(3600)
            line.unit(7200, is_key=True)

        assert len(recorder.units) == 1

    async def test_new_parameters_go_with_the_units_they_are_for(
        self, line: FakeLine, recorder: Recorder
    ) -> None:
        """A change of resolution is seen on the access unit itself (fault F7)."""
        other = make_params(sps=SPS_720P)
        async with source(line, recorder):
            await line.dialled()
            line.opened()
            line.unit(0, is_key=True)
            line.say(feed.Params(line.attempt, other))
            line.unit(3600, is_key=True)

        assert [unit.params for unit in recorder.units] == [PARAMS, other]

    async def test_equal_parameters_are_kept_once(self, line: FakeLine, recorder: Recorder) -> None:
        """However often the camera comes back: the access units in a ring all refer to the same ones."""
        async with source(line, recorder):
            for attempt in range(5):
                await line.dialled()
                line.say(feed.Opened(line.attempt), feed.Params(line.attempt, make_params()))
                line.unit(attempt, is_key=True)
                line.ended("interrupted")

        assert len(recorder.units) == 5
        assert len({id(unit.params) for unit in recorder.units}) == 1

    async def test_comes_back_with_one_discontinuity(self, line: FakeLine, recorder: Recorder) -> None:
        """The clock goes on across the outage, whatever the camera's own does (fault F1)."""
        async with source(line, recorder):
            await line.dialled()
            line.opened()
            line.unit(9_000_000, is_key=True)
            line.ended("interrupted")
            await line.dialled()
            line.opened()
            line.unit(100, is_key=True)
            line.unit(3700)

        assert recorder.states == [
            "connecting",
            "waiting_for_key_frame",
            "live",
            "offline",
            "waiting_for_key_frame",
            "live",
        ]
        assert [unit.discontinuity for unit in recorder.units] == [False, True, False]
        first, second, third = (unit.dts for unit in recorder.units)
        assert 0 < second - first < CLOCK_RATE * PATIENCE_S
        assert third - second == 3600

    async def test_stays_offline_while_it_is_retried(self, line: FakeLine, recorder: Recorder) -> None:
        """Since when is what people want to know; each retry says when the next one is."""
        async with source(line, recorder):
            for _ in range(3):
                await line.dialled()
                line.ended("unreachable")
            await line.dialled()

        offline = [status for status in recorder.statuses if status.state is OFFLINE]
        assert len(offline) == 3
        assert len({status.since_us for status in offline}) == 1
        assert all(status.retry_at_us and status.retry_at_us > status.since_us for status in offline)

    async def test_the_attempt_is_hung_up_before_the_next(self, line: FakeLine, recorder: Recorder) -> None:
        """Cameras allow few sessions (fault F16)."""
        async with source(line, recorder):
            await line.dialled()
            line.ended("interrupted")
            await line.dialled()
            first, second = (start.attempt for start in line.starts)
            assert line.hung_up == [first]
        assert line.hung_up == [first, second]

    async def test_words_about_an_attempt_that_is_over_mean_nothing(
        self, line: FakeLine, recorder: Recorder
    ) -> None:
        """They may still be in the socket when the next attempt begins."""
        async with source(line, recorder):
            await line.dialled()
            old = line.attempt
            line.opened()
            line.ended("interrupted")
            line.ended("interrupted")
            await line.dialled()
            line.opened()
            line.say(feed.Unit(old, True, 0, 0, b""), feed.Ended(old, "interrupted"), feed.Opened(old))
            line.unit(0, is_key=True)

        assert len(recorder.units) == 1
        assert recorder.reasons == ["interrupted"]


class TestFailure:
    async def test_silence_is_an_interruption(self, line: FakeLine, recorder: Recorder) -> None:
        """Of video access units: nothing else the worker says counts (fault F3)."""
        options = config.Ingest(backoff_min_s=0.001, backoff_max_s=0.002, stall_timeout_s=0.2)
        async with source(line, recorder, options=options):
            await line.dialled()
            line.opened()
            line.unit(0, is_key=True)
            last_unit = time.monotonic()
            await recorder.until_state(OFFLINE, "interrupted")
            assert time.monotonic() - last_unit >= 0.2
            await line.dialled()

    async def test_a_worker_that_says_nothing_is_not_waited_for(
        self, line: FakeLine, recorder: Recorder
    ) -> None:
        """Opening has a limit here too, for a worker that is stuck."""
        options = config.Ingest(backoff_min_s=0.001, backoff_max_s=0.002, open_timeout_s=0.01)
        async with source(line, recorder, options=options):
            await recorder.until_state(OFFLINE, "unreachable")

    async def test_a_second_refusal_ends_trying_for_half_an_hour(
        self, line: FakeLine, recorder: Recorder
    ) -> None:
        """A third try might lock the account (fault F11)."""
        async with source(line, recorder):
            for _ in range(2):
                await line.dialled()
                line.ended("credentials_refused")
            await recorder.until(lambda: len(recorder.reasons) == 2)
            status = recorder.statuses[-1]

        assert len(line.starts) == 2
        assert status.retry_at_us is not None
        assert status.retry_at_us - time.time_ns() // 1000 > (REFUSED_WAIT_S - PATIENCE_S) * 1_000_000

    async def test_what_others_tried_counts(self, line: FakeLine, recorder: Recorder) -> None:
        """Two refusals at this camera, over whatever protocol: not dialled, and people see until when."""
        budget = Budget()
        account = budget.account("10.1.2.3", "admin", CANARY)
        for _ in range(2):
            with contextlib.suppress(CameraAuthFailed):
                async with budget.showing(account):
                    raise CameraAuthFailed("no")

        async with source(line, recorder, budget=budget, username="admin", password=CANARY):
            await recorder.until_state(OFFLINE, "credentials_on_hold")
            status = recorder.statuses[-1]

        assert line.starts == []
        assert status.retry_at_us is not None
        assert status.retry_at_us - time.time_ns() // 1000 > (REFUSED_WAIT_S - PATIENCE_S) * 1_000_000

    async def test_what_it_tried_counts_for_others(self, line: FakeLine, recorder: Recorder) -> None:
        """A probe of the same camera is told to wait."""
        budget = Budget()
        async with source(line, recorder, budget=budget, username="admin", password=CANARY):
            for _ in range(2):
                await line.dialled()
                line.ended("credentials_refused")
            await recorder.until(lambda: len(recorder.reasons) == 2)

        with pytest.raises(CredentialsOnHold):
            async with budget.showing(budget.account("10.1.2.3", "admin", CANARY)):
                pytest.fail("it was shown")

    async def test_a_dead_worker_is_not_held_against_the_camera(
        self, line: FakeLine, recorder: Recorder
    ) -> None:
        """It is dialled again as soon as there is a worker, without waiting its turn of failures."""
        options = config.Ingest(backoff_min_s=PATIENCE_S * 2)
        async with source(line, recorder, options=options):
            await line.dialled()
            line.is_ready.clear()
            line.ended("worker_lost")
            await recorder.until_state(OFFLINE, "worker_lost")
            line.is_lost = True
            line.is_ready.set()
            await line.dialled()

        assert recorder.reasons == ["worker_lost"] * 2

    async def test_a_fault_of_ours_is_logged_and_retried(
        self, line: FakeLine, recorder: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nothing ends a source, and the log shows no password."""

        def fail(*_: object) -> None:
            raise RuntimeError("a mistake")

        async with source(line, recorder, username="u", password=CANARY):
            await line.dialled()
            line.dial, dial = fail, line.dial  # type: ignore[method-assign, assignment]
            line.ended("interrupted")
            await recorder.until_state(OFFLINE, "source_failed")
            line.dial = dial  # type: ignore[method-assign]
            await line.dialled()

        assert "a mistake" in caplog.text
        assert CANARY not in caplog.text

    async def test_failures_are_logged_once(
        self, line: FakeLine, recorder: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A camera that stays away does not fill the log."""
        caplog.set_level(logging.INFO, "camrelay.ingest")
        async with source(line, recorder):
            for _ in range(20):
                await line.dialled()
                line.ended("unreachable")
            await line.dialled()

        assert [record.getMessage() for record in caplog.records] == ["connecting ", "offline unreachable"]


class TestAddress:
    async def test_credentials_are_in_the_start_and_nowhere_else(
        self, line: FakeLine, recorder: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whatever is logged, shown or measured."""
        caplog.set_level(logging.DEBUG)
        async with source(line, recorder, username="ad min", password=CANARY):
            await line.dialled()

            start = line.starts[0]
            assert (start.username, start.password) == ("ad min", CANARY)
            assert (start.address, start.authority, start.target) == ("10.1.2.3", "10.1.2.3:554", "/live")
            assert CANARY not in caplog.text
            assert CANARY not in repr(recorder.statuses)
            assert CANARY.encode() not in b"".join(metrics.render())

    async def test_the_pinned_certificate_goes_along(self, line: FakeLine, recorder: Recorder) -> None:
        """The worker compares it."""
        pin = {"url": "rtsps://10.1.2.3/live", "tls_fingerprint": "0a" * 32}
        async with source(line, recorder, **pin):
            await line.dialled()

        assert line.starts[0].camera.tls_fingerprint == "0a" * 32
        assert line.starts[0].camera.is_tls

    async def test_a_name_is_asked_for_at_every_attempt(
        self, line: FakeLine, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Cameras move (fault F12); what is dialled is an address that was checked."""
        answers = iter([["10.0.0.7"], ["10.0.0.8"]])
        resolve_to(monkeypatch, lambda: next(answers))
        async with source(line, recorder, url="rtsp://cam.lan/live"):
            await line.dialled()
            line.ended("interrupted")
            await line.dialled()

        assert [start.address for start in line.starts] == ["10.0.0.7", "10.0.0.8"]
        assert {start.authority for start in line.starts} == {"cam.lan:554"}

    async def test_one_forbidden_address_forbids_the_name(
        self, line: FakeLine, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A name that also means this machine is an attack, not a camera (abuse case 45)."""
        resolve_to(monkeypatch, lambda: ["10.0.0.7", "127.0.0.1"])
        async with source(line, recorder, url="rtsp://cam.lan/live"):
            await recorder.until_state(OFFLINE, "egress_denied")

        assert line.starts == []

    async def test_several_addresses_take_turns(
        self, line: FakeLine, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One of them may be dead."""
        resolve_to(monkeypatch, lambda: ["10.0.0.7", "10.0.0.8"])
        async with source(line, recorder, url="rtsp://cam.lan/"):
            for _ in range(2):
                await line.dialled()
                line.ended("unreachable")
            await line.dialled()

        assert [start.address for start in line.starts] == ["10.0.0.7", "10.0.0.8", "10.0.0.7"]

    async def test_a_name_without_address_is_unreachable(
        self, line: FakeLine, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may have one later."""

        def fail() -> list[str]:
            raise socket.gaierror(socket.EAI_NONAME, "no such host")

        resolve_to(monkeypatch, fail)
        async with source(line, recorder, url="rtsp://cam.lan/"):
            await recorder.until(lambda: recorder.reasons[:2] == ["unreachable"] * 2)

    async def test_a_url_that_is_none_is_refused_at_once(self, line: FakeLine, recorder: Recorder) -> None:
        """Not at the first attempt."""
        with pytest.raises(ConfigError):
            async with source(line, recorder, url="http://10.0.0.1/"):
                pass


def resolve_to(monkeypatch: pytest.MonkeyPatch, addresses: object) -> None:
    """Names resolve to what `addresses()` returns."""

    async def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        assert host == "cam.lan"
        return [(2, 1, 6, "", (address, port)) for address in addresses()]  # type: ignore[operator]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


class TestTurnstile:
    async def test_cameras_connect_a_few_at_a_time(self, recorder: Recorder) -> None:
        """After a power cut they do not all dial at once (fault F18)."""
        turnstile, lines = Turnstile(2), [FakeLine() for _ in range(3)]
        async with contextlib.AsyncExitStack() as stack:
            for line in lines:
                await stack.enter_async_context(source(line, Recorder(), turnstile=turnstile))
            await lines[0].dialled()
            assert [len(line.starts) for line in lines] == [1, 0, 0]
            lines[0].opened()
            await lines[1].dialled()
            assert [len(line.starts) for line in lines] == [1, 1, 0]

    async def test_dead_cameras_do_not_hold_up_the_others(self) -> None:
        """They queue for places of their own."""
        turnstile, dead, good = Turnstile(2), FakeLine(), FakeLine()
        async with source(dead, Recorder(), turnstile=turnstile):
            for _ in range(FAILING_AFTER):
                await dead.dialled()
                dead.ended("unreachable")
            await dead.dialled()
            async with source(good, Recorder(), turnstile=turnstile):
                await good.dialled()


class TestMetrics:
    async def test_what_happens_is_counted(self, line: FakeLine, recorder: Recorder) -> None:
        """Units, bytes, breaks, losses, reconnects; and whether there is a picture now."""
        async with source(line, recorder):
            await line.dialled()
            assert sample("up") == 0
            line.opened()
            line.unit(0, is_key=True)
            line.unit(500_000_000)
            line.say(feed.Dropped(line.attempt, 3, "backlog"))
            assert sample("up") == 1
            assert sample("access_units_total") == 2
            assert sample("bytes_total") == 10
            assert sample("discontinuities_total") == 1
            assert sample("dropped_access_units_total", reason="backlog") == 3
            assert 0 <= (sample("key_frame_age_seconds") or 0.0) < PATIENCE_S
            line.ended("interrupted")
            await line.dialled()
            assert sample("up") == 0
            assert sample("reconnects_total", reason="interrupted") == 1

    async def test_a_removed_camera_leaves_no_metric(self, line: FakeLine, recorder: Recorder) -> None:
        """Nor does /metrics grow with every camera that ever was."""
        async with source(line, recorder):
            await line.dialled()
            line.opened()
            line.unit(0, is_key=True)
            line.say(feed.Dropped(line.attempt, 3, "backlog"))
            line.ended("interrupted")
            await line.dialled()
            assert b"yard" in b"".join(metrics.render())

        assert b"yard" not in b"".join(metrics.render())
