"""The ingest workers: starts them, spreads cameras over them, replaces the ones that die.

Rules:

- A worker's death costs its cameras about a second, and nobody else anything.
- Nothing waits for a worker without a limit: one that does not let go of a camera in time is killed.
- Adding and removing a camera touches no other.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from camrelay import config, metrics
from camrelay.errors import BadFeedMessage, WorkerLost
from camrelay.ingest import feed
from camrelay.ingest.backoff import Backoff
from camrelay.ingest.budget import Budget
from camrelay.ingest.demand import Demand
from camrelay.ingest.egress import EgressPolicy
from camrelay.ingest.process import Process
from camrelay.ingest.source import Listener, Publish, PublishSound, Report, Source, Turnstile
from camrelay.model import Rendition, Viewer, stream_name, void

logger = logging.getLogger("camrelay.ingest")

#: From asking a worker to hang up to doing without its answer.
HANG_UP_S = 2.0
#: The same when everything stops.
STOP_S = 1.0
#: The worker notices silence this much earlier than the source, and ends the attempt in order.
SILENCE_SHARE = 0.9
#: Between the deaths of a worker that dies soon after each start.
RESTART_MIN_S = 0.1
RESTART_MAX_S = 10.0


class Fleet:
    """Every camera of this relay, and the workers that read them.

    Args:
        budget: the refusals that accounts have left; shared with whoever else shows them.

    Raises:
        ConfigError: the egress networks cannot be understood.
    """

    def __init__(
        self, options: config.Ingest, egress: config.Egress, *, budget: Budget | None = None
    ) -> None:
        self._options = options
        self._budget = budget or Budget()
        self._egress = EgressPolicy(egress)
        self._turnstile = Turnstile(options.connect_concurrency)
        self._workers: list[_Worker] = []
        self._workers_made = 0
        self._cameras: dict[str, _Camera] = {}
        self._is_started = False

    async def start(self) -> None:
        """Starts reading every camera added so far; those added later start at once."""
        self._is_started = True
        for worker in self._workers:
            worker.start()
        for camera in self._cameras.values():
            camera.start()

    def add(
        self,
        camera: config.Camera,
        *,
        publish: Publish,
        status: Report,
        publish_sound: PublishSound = void,
    ) -> None:
        """Takes a camera in.

        Args:
            publish: gets every access unit, from a key frame on; must be quick.
            status: gets every change of state.
            publish_sound: gets the sound while there are pictures; must be quick too.

        Raises:
            ConfigError: the camera's URL cannot be understood.
        """
        assert camera.id not in self._cameras, f"camera {camera.id} is there already"
        worker = self._worker_with_room()
        source = Source(
            camera,
            options=self._options,
            egress=self._egress,
            line=worker,
            turnstile=self._turnstile,
            budget=self._budget,
            publish=publish,
            report=status,
            publish_sound=publish_sound,
        )
        worker.cameras += 1
        life, demand = source.run, None
        if camera.connect == "on_demand":
            demand = Demand(camera.id, source.run, status, self._options.linger_s)
            life = demand.run
        self._cameras[camera.id] = _Camera(life, demand, worker)
        if self._is_started:
            worker.start()
            self._cameras[camera.id].start()

    def watch(self, viewer: Viewer) -> None:
        """Learns that a viewing runs: all streams of an on-demand camera are read as long as it does."""
        for rendition in Rendition:
            camera = self._cameras.get(stream_name(viewer.camera, rendition))
            if camera is not None and camera.demand is not None:
                camera.demand.watch(viewer)

    async def remove(self, camera_id: str) -> None:
        """Hangs up on a camera and forgets it. Takes HANG_UP_S at most."""
        camera = self._cameras.pop(camera_id)
        await camera.stop()
        camera.worker.cameras -= 1
        if not camera.worker.cameras:
            self._workers.remove(camera.worker)
            await camera.worker.stop()

    async def stop(self) -> None:
        """Hangs up on every camera and ends every worker, within two seconds."""
        self._is_started = False
        cameras, self._cameras = list(self._cameras.values()), {}
        workers, self._workers = self._workers, []
        hanging_up = asyncio.gather(*(camera.stop() for camera in cameras))
        await asyncio.wait((hanging_up,), timeout=STOP_S)
        for worker in workers if not hanging_up.done() else ():
            worker.kill()
        await hanging_up
        await asyncio.gather(*(worker.stop() for worker in workers))

    def _worker_with_room(self) -> _Worker:
        for worker in self._workers:
            if worker.cameras < self._options.cameras_per_worker:
                return worker
        self._workers_made += 1
        self._workers.append(_Worker(str(self._workers_made), self._options))
        return self._workers[-1]


class _Camera:
    """A camera's life and the task that lives it; `demand` is None of a camera that is always read."""

    def __init__(
        self, life: Callable[[], Coroutine[Any, Any, None]], demand: Demand | None, worker: _Worker
    ) -> None:
        self.worker = worker
        self.demand = demand
        self._life = life
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._life())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))


class _Worker:
    """A place for a worker process; `run` keeps one there. The Line of its cameras' sources."""

    def __init__(self, name: str, options: config.Ingest) -> None:
        self.name = name
        self.cameras = 0
        self._arguments = (str(options.open_timeout_s), str(options.stall_timeout_s * SILENCE_SHARE))
        self._task: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._transport: asyncio.Transport | None = None
        self._is_ready = asyncio.Event()
        self._listeners: dict[int, Listener] = {}
        self._hanging_up: dict[int, asyncio.Future[None]] = {}

    # What sources use.

    async def ready(self) -> None:
        await self._is_ready.wait()

    def dial(self, start: feed.Start, listener: Listener) -> None:
        if self._transport is None:
            raise WorkerLost("the worker is being replaced")
        self._listeners[start.attempt] = listener
        self._transport.write(feed.encode(start))

    async def hang_up(self, attempt: int) -> None:
        if attempt not in self._listeners or self._transport is None:
            return
        ended = self._hanging_up[attempt] = asyncio.get_running_loop().create_future()
        self._transport.write(feed.encode(feed.Stop(attempt)))
        await asyncio.wait((ended,), timeout=HANG_UP_S)
        if not ended.done():
            logger.warning("an ingest worker does not let go of a camera", extra={"worker": self.name})
            self.kill()
            await asyncio.wait((ended,))

    # What the fleet uses.

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def kill(self) -> None:
        """Ends the process at once; another one takes its place unless the worker is stopped."""
        if self._process is not None:
            self._process.kill()

    # Its own life.

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff(RESTART_MIN_S, RESTART_MAX_S)
        while True:
            started = loop.time()
            try:
                await self._keep_one()
            except OSError:
                logger.exception("an ingest worker did not start", extra={"worker": self.name})
            metrics.worker_restarts.labels(self.name).inc()
            logger.warning("an ingest worker died, another takes its place", extra={"worker": self.name})
            wait_s = backoff.failed(
                now=loop.time(),
                lived_s=loop.time() - started,
                refused=False,
                random=random.random(),  # noqa: S311 - jitter, not a secret
            )
            await asyncio.sleep(wait_s)

    async def _keep_one(self) -> None:
        """One process, from its start to its end."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = Process(
                "worker",
                str(theirs.fileno()),
                *self._arguments,
                passed=(theirs.fileno(),),
                # A Ctrl-C at the terminal is for the relay, which then ends the workers in order.
                is_apart=True,
            )
            theirs.close()
            try:
                loop = asyncio.get_running_loop()
                self._transport, wire = await loop.create_unix_connection(lambda: _Wire(self), sock=ours)
                self._is_ready.set()
                await wire.lost
            finally:
                self._let_go()
                await self._bury()

    def _let_go(self) -> None:
        self._is_ready.clear()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        for attempt in list(self._listeners):
            self.receive(feed.Ended(attempt, WorkerLost.code))

    async def _bury(self) -> None:
        """Waits until the process is gone. It goes when its feed closes, or it is killed."""
        assert self._process is not None
        try:
            async with asyncio.timeout(0.5):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def receive(self, message: feed.Message) -> None:
        """Passes a message on to the source it is for."""
        listener = self._listeners.get(message.attempt)
        if isinstance(message, feed.Ended):
            self._forget(message.attempt)
        if listener is None:
            return
        try:
            listener(message)
        except Exception:
            # A fault of ours with this camera: it starts over, and the others do not notice.
            logger.exception("a camera's access unit could not be handled", extra={"worker": self.name})
            if self._transport is not None:
                self._transport.write(feed.encode(feed.Stop(message.attempt)))

    def _forget(self, attempt: int) -> None:
        self._listeners.pop(attempt, None)
        ended = self._hanging_up.pop(attempt, None)
        if ended is not None and not ended.done():
            ended.set_result(None)


class _Wire(asyncio.Protocol):
    """The relay's end of one worker process's feed."""

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker
        self._decoder = feed.Decoder()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._decoder.feed(data)
        except BadFeedMessage:
            logger.exception("an ingest worker talks nonsense", extra={"worker": self._worker.name})
            self._worker.kill()
            return
        for message in messages:
            self._worker.receive(message)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
