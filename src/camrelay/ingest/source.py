"""The life of one camera: connecting, waiting for a key frame, live, offline, and again.

A source owns what must outlive connections and workers: the output clock, the backoff, the state that people
see. Rules:

- What a camera does ends in a state and a counter; nothing a camera does ends its source.
- Access units are published from the first key frame on, in order, on one clock.
- Silence is measured on video access units, never on bytes: cameras go on talking without a picture (F3).
- The address is asked for at every attempt, every answer is checked, and what is dialled was checked.
- Credentials that the camera refused twice wait for the end of their hold, whoever showed them.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Callable
from typing import Protocol

from camrelay import config, metrics
from camrelay.errors import (
    CameraAuthFailed,
    CameraUnreachable,
    CredentialsOnHold,
    SourceError,
    StreamInterrupted,
    WorkerLost,
)
from camrelay.ingest import feed
from camrelay.ingest.backoff import Backoff
from camrelay.ingest.budget import Budget
from camrelay.ingest.egress import EgressPolicy, parse_camera_url
from camrelay.ingest.resolve import resolve
from camrelay.ingest.sound_clock import SoundClock
from camrelay.ingest.timeline import Timeline
from camrelay.model import AccessUnit, AudioUnit, CameraState, CameraStatus, VideoParams, void

logger = logging.getLogger("camrelay.ingest")

#: After this many failures in a row, a camera queues apart from those that may be about to come back.
FAILING_AFTER = 3

Publish = Callable[[AccessUnit], None]
PublishSound = Callable[[AudioUnit], None]
Report = Callable[[CameraStatus], None]
Listener = Callable[[feed.Message], None]

_attempts = itertools.count(1)


class Line(Protocol):
    """A worker, as a source sees it."""

    async def ready(self) -> None:
        """Returns when there is a worker to dial with."""

    def dial(self, start: feed.Start, listener: Listener) -> None:
        """Begins an attempt. Its messages go to `listener`; the last one is Ended, whatever happens.

        Raises:
            WorkerLost: there is no worker at the moment.
        """

    async def hang_up(self, attempt: int) -> None:
        """Ends an attempt if it has not ended; returns when nothing is left of it."""


class Turnstile:
    """How many cameras connect at the same time (fault F18).

    Cameras that keep failing have half of the places to themselves: a dead one holds its place for the whole
    open timeout, and a hundred of them must not hold up the camera that just rebooted.
    """

    def __init__(self, places: int) -> None:
        self._usual = asyncio.Semaphore(max(1, places - places // 2))
        self._failing = asyncio.Semaphore(max(1, places // 2))

    def queue(self, failures: int) -> asyncio.Semaphore:
        """Where a camera with that many failures in a row waits for its turn."""
        return self._failing if failures >= FAILING_AFTER else self._usual


class Source:
    """One camera. `run` is its whole life; cancelling it hangs up."""

    def __init__(
        self,
        camera: config.Camera,
        *,
        options: config.Ingest,
        egress: EgressPolicy,
        line: Line,
        turnstile: Turnstile,
        budget: Budget,
        publish: Publish,
        report: Report,
        publish_sound: PublishSound = void,
    ) -> None:
        self._camera = camera
        self._url = parse_camera_url(camera.url)
        self._options = options
        self._egress = egress
        self._line = line
        self._turnstile = turnstile
        self._budget = budget
        self._publish = publish
        self._report = report
        self._publish_sound = publish_sound
        self._backoff = Backoff(options.backoff_min_s, options.backoff_max_s)
        self._timeline = Timeline()
        self._status: CameraStatus | None = None
        #: What a decoder needed last, whichever attempt said so.
        self._known_params: VideoParams | None = None
        # Of the attempt that is under way:
        self._attempt = 0
        self._params: VideoParams | None = None
        self._live_since: float | None = None
        self._sound_clock: SoundClock | None = None
        self._last_unit_at = 0.0
        self._held_until_us: int | None = None

    async def run(self) -> None:
        """Connects, and connects again, until it is cancelled."""
        self._loop = asyncio.get_running_loop()
        self._meters = _Meters(self._camera.id)
        self._show(CameraState.CONNECTING)
        try:
            while True:
                reason = await self._connect()
                self._meters.ended(reason)
                wait_s = self._wait_after(reason)
                self._show(CameraState.OFFLINE, reason, wait_s)
                await asyncio.sleep(wait_s)
        finally:
            self._meters.remove()

    async def _connect(self) -> str:
        """One attempt, from asking for the address to hanging up. Returns why it ended."""
        self._attempt = next(_attempts)
        self._params = self._live_since = self._held_until_us = self._sound_clock = None
        self._timeline.restart()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        try:
            await self._line.ready()
            start = await self._start()
            account = self._budget.account(start.address, start.username, start.password)
            async with self._budget.showing(account), self._turnstile.queue(self._backoff.failures):
                await self._open(start)
            if self._opened.done():
                await self._budget.accepted(account)
            with self._budget.playing(account):
                return await self._watch()
        except CredentialsOnHold as error:
            self._held_until_us = error.retry_at_us
            return error.code
        except SourceError as error:
            return error.code
        except Exception:
            logger.exception("a fault in camrelay", extra={"camera": self._camera.id})
            return SourceError.code
        finally:
            await self._line.hang_up(self._attempt)

    async def _start(self) -> feed.Start:
        """What the worker is told.

        Raises:
            CameraUnreachable: the name does not resolve.
            EgressDenied: to an address that no camera may have.
        """
        url = self._url
        addresses = [url.address] if url.address else await resolve(url.host, url.port)
        for address in addresses:
            self._egress.check(address, url.port)
        # One address after the other, attempt by attempt, when there are several.
        address = addresses[self._backoff.failures % len(addresses)]
        return feed.Start(
            self._attempt,
            str(address),
            url.port,
            url.authority,
            url.target,
            url.tls,
            self._camera.username,
            self._camera.password,
            self._camera.transport,
            self._camera.tls_fingerprint,
            self._camera.audio,
        )

    async def _open(self, start: feed.Start) -> None:
        """Dials, and waits until the camera plays or the attempt has ended.

        Raises:
            CameraAuthFailed: it ended with the credentials refused.
            CameraUnreachable: the worker says neither.
        """
        self._line.dial(start, self._receive)
        either = (self._opened, self._ended)
        timeout_s = self._options.open_timeout_s
        await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if self._ended.done() and self._ended.result() == CameraAuthFailed.code:
            raise CameraAuthFailed("the camera refused the credentials")
        if not self._opened.done() and not self._ended.done():
            raise CameraUnreachable("no answer in time")

    async def _watch(self) -> str:
        """Waits for the attempt's end, or for silence."""
        while not self._ended.done():
            left_s = self._last_unit_at + self._options.stall_timeout_s - self._loop.time()
            if left_s <= 0:
                return StreamInterrupted.code
            await asyncio.wait((self._ended,), timeout=left_s)
        return self._ended.result()

    def _wait_after(self, reason: str) -> float:
        if reason == WorkerLost.code:
            # Not the camera's fault; the next worker is awaited before the next attempt anyway.
            return 0.0
        if self._held_until_us is not None:
            return max(0.0, (self._held_until_us - time.time_ns() // 1000) / 1e6)
        now = self._loop.time()
        return self._backoff.failed(
            now=now,
            lived_s=0.0 if self._live_since is None else now - self._live_since,
            refused=reason == CameraAuthFailed.code,
            random=random.random(),  # noqa: S311 - jitter, not a secret
        )

    def _receive(self, message: feed.Message) -> None:
        if message.attempt != self._attempt:
            return
        if isinstance(message, feed.Unit):
            self._access_unit(message)
        elif isinstance(message, feed.Sound):
            self._sound(message)
        elif isinstance(message, feed.Params):
            # Access units outlive their connection: those of a camera that comes back as it was share these.
            if message.video != self._known_params:
                self._known_params = message.video
            self._params = self._known_params
            if message.video.audio is not None and self._sound_clock is None:
                self._sound_clock = SoundClock(message.video.audio.clock_rate)
        elif isinstance(message, feed.Opened):
            self._last_unit_at = self._loop.time()
            self._show(CameraState.WAITING_FOR_KEY_FRAME)
            if not self._opened.done():
                self._opened.set_result(None)
        elif isinstance(message, feed.Dropped):
            self._meters.dropped(message)
        elif isinstance(message, feed.Ended) and not self._ended.done():
            self._ended.set_result(message.reason)

    def _access_unit(self, unit: feed.Unit) -> None:
        now = self._last_unit_at = self._loop.time()
        params = self._params
        if params is None:
            return
        if self._live_since is None:
            if not unit.is_key:
                return
            self._live_since = now
            self._show(CameraState.LIVE)
        stamp = self._timeline.place(
            unit.pts, now, frame_rate=params.frame_rate, reorder_depth=params.reorder_depth
        )
        self._meters.access_unit(unit, stamp.discontinuity)
        self._publish(
            AccessUnit(
                stamp.pts, stamp.dts, unit.is_key, unit.data, params, unit.arrived_us, stamp.discontinuity
            )
        )

    def _sound(self, sound: feed.Sound) -> None:
        params, clock = self._params, self._sound_clock
        if self._live_since is None or params is None or params.audio is None or clock is None:
            return
        video_timestamp = sound.video_timestamp
        pts = clock.place(
            sound.timestamp,
            sound.duration,
            wanted=None if video_timestamp is None else self._timeline.at(video_timestamp),
            arrived=self._timeline.live(self._loop.time()),
        )
        if pts is None:
            self._meters.dropped(feed.Dropped(sound.attempt, 1, "sound"))
        else:
            self._publish_sound(AudioUnit(pts, sound.duration, sound.data, params.audio))

    def _show(self, state: CameraState, reason: str = "", retry_s: float | None = None) -> None:
        now_us = time.time_ns() // 1000
        before = self._status
        is_new = before is None or before.state is not state
        since_us = now_us if before is None or is_new else before.since_us
        retry_at_us = None if retry_s is None else now_us + round(retry_s * 1_000_000)
        self._status = CameraStatus(state, since_us, reason, retry_at_us)
        self._meters.up.set(state is CameraState.LIVE)
        # A camera that stays away is retried all day: said once, counted every time.
        if is_new or (before is not None and before.reason != reason):
            logger.info("%s %s", state.replace("_", " "), reason, extra={"camera": self._camera.id})
        self._report(self._status)


class _Meters:
    """The metrics of one camera; gone from /metrics when the camera is."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self.up = metrics.camera_up.labels(camera)
        self._received = metrics.camera_received.labels(camera)
        self._discontinuities = metrics.camera_discontinuities.labels(camera)
        self._key_frame_at = time.monotonic()
        metrics.camera_key_frame_age.labels(camera).set_function(
            lambda: time.monotonic() - self._key_frame_at
        )

    def access_unit(self, unit: feed.Unit, discontinuity: bool) -> None:
        self._received.access_units += 1
        self._received.bytes += len(unit.data)
        if unit.is_key:
            self._key_frame_at = time.monotonic()
        if discontinuity:
            self._discontinuities.inc()

    def dropped(self, message: feed.Dropped) -> None:
        metrics.camera_dropped_access_units.labels(self._camera, message.reason).inc(message.units)

    def ended(self, reason: str) -> None:
        metrics.camera_reconnects.labels(self._camera, reason).inc()

    def remove(self) -> None:
        for metric in (
            metrics.camera_up,
            metrics.camera_received,
            metrics.camera_discontinuities,
            metrics.camera_key_frame_age,
            metrics.camera_dropped_access_units,
            metrics.camera_reconnects,
        ):
            metric.remove_by_labels({"camera": self._camera})
