"""The access log: one JSON line per event, on disk before whoever waits for it goes on.

A thread of its own writes; the event loop only appends to a queue and hears of the outcome. Whatever waits
while one sync runs is written with the next (group commit), and what has had its effect already waits for
company: a start is written at once, and takes along the stops of the moments before.

When the disk fails, starts are refused and running media goes on: stops stay in the queue, are tried again
twice a second, and get into the log when the disk is back. A start whose viewer was refused meanwhile is left
out; when it was too late for that, a stop with reason audit_unavailable follows it. How many stops and
denials got lost for want of room is itself put on record.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from camrelay import metrics
from camrelay.audit.file import LogFile
from camrelay.audit.identity import IpMode
from camrelay.audit.people import People
from camrelay.audit.record import Durability, Record, durability, serialize
from camrelay.audit.writer import ChainWriter
from camrelay.config import Audit
from camrelay.errors import AuditUnavailable
from camrelay.model import AccessEvent, EndReason, EventType

#: Lines written by one write and one fsync: about 600 kB, some milliseconds of a slow disk.
BATCH_LIMIT = 2048
#: How long that waits, at most: half of what a crash may cost of it.
GATHER_S = 0.1
#: Entries settled in one turn of the event loop: under a millisecond, as media waits for it.
_SETTLE_LIMIT = 256
#: How often a failing disk is tried again.
RETRY_S = 0.5
#: How long a stop waits for the last lines; a supervisor kills after five seconds.
STOP_LIMIT_S = 3.0

logger = logging.getLogger("camrelay.audit")


class _Entry:
    """An event on its way to the disk. Whoever waits for `done` is told by `due` at the latest."""

    __slots__ = ("appended", "done", "due", "event", "is_withdrawn", "is_written", "line", "worth")

    def __init__(
        self,
        event: AccessEvent,
        worth: Durability,
        done: asyncio.Future[None],
        now: float,
        timeout_s: float,
    ) -> None:
        self.event = event
        #: Made by the writer.
        self.line = b""
        self.worth = worth
        self.done = done
        self.appended = now
        self.due = now + timeout_s
        #: Set by the loop, read by the writer: need not be written any more.
        self.is_withdrawn = False
        #: Set by the writer, read by the loop afterwards.
        self.is_written = False


class AccessLog:
    """Appends access events to the files in a directory.

    Args:
        directory: made with mode 0700; one running AccessLog at a time.
        open_file: how the file of a day is opened.
        utc_us: the clock that names the files and dates the log's own events, microseconds of UTC.
    """

    def __init__(
        self,
        directory: Path,
        options: Audit,
        *,
        open_file: Callable[[Path], LogFile] = LogFile,
        utc_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._directory = directory
        self._options = options
        self._utc_us = utc_us
        self._writer = ChainWriter(directory, open_file=open_file, utc_us=utc_us)
        self._people = People(directory, IpMode(options.ip_mode), options.url)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._queued = 0
        self._waiting: deque[_Entry] = deque()
        #: Events that had an effect and are not on record, nor is it that they are not.
        self._gaps: Counter[Durability] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._is_failing = False
        self._is_stopping = threading.Event()

    async def start(self) -> None:
        """Repairs what a crash left behind, closes the viewings it cut off, and begins to write.

        Raises:
            AuditUnavailable: the directory cannot be written, or another server writes there.
            ChainBroken: the log there is not the one that was signed.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._open)
        except BaseException as error:
            await asyncio.to_thread(self._close)
            if isinstance(error, BlockingIOError):
                raise AuditUnavailable(f"another server writes its access log to {self._directory}") from None
            if isinstance(error, OSError):
                raise AuditUnavailable(f"no access log in {self._directory}: {error.strerror}") from None
            raise
        self._thread = threading.Thread(target=self._write_all, name="camrelay-audit", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Writes what is queued, then closes; gives up after STOP_LIMIT_S."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._is_stopping.set()
        self._queue.put(None)
        await asyncio.to_thread(thread.join, STOP_LIMIT_S)
        if thread.is_alive():
            logger.error("the disk of the access log does not answer; %d records are lost", self._queued)
        if self._timer is not None:
            self._timer.cancel()

    def durable(self) -> tuple[str, int]:
        """The newest day of the log, and up to which byte of it lines are durable."""
        return self._writer.durable

    def append(self, event: AccessEvent) -> asyncio.Future[None]:
        """Queues an event; never blocks.

        Returns:
            A future, done when the event is durable. It fails with AuditUnavailable when that cannot be, or
            takes longer than `commit_timeout_s`; a start is then withdrawn.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        worth = durability(event.type)
        room = self._options.queue_limit
        if worth is Durability.DROPPABLE:
            # A flood of denials leaves half of the queue to viewers.
            room //= 2
        is_hopeless = self._is_failing and worth is Durability.BEFORE_EFFECT
        if self._thread is None or self._queued >= room or is_hopeless:
            self._count_lost(worth, 1)
            done.set_exception(AuditUnavailable("the access log cannot be written"))
            return done
        entry = _Entry(event, worth, done, loop.time(), self._options.commit_timeout_s)
        self._queued += 1
        self._waiting.append(entry)
        if self._timer is None:
            self._timer = loop.call_at(entry.due, self._give_up_waiting)
        self._queue.put(entry)
        return done

    def _give_up_waiting(self) -> None:
        """Tells whoever has waited long enough, and comes back for the next."""
        loop, waiting = asyncio.get_running_loop(), self._waiting
        while waiting and (waiting[0].done.done() or waiting[0].due <= loop.time()):
            entry = waiting.popleft()
            if not entry.done.done():
                entry.is_withdrawn = entry.worth is Durability.BEFORE_EFFECT
                entry.done.set_exception(AuditUnavailable("the access log is too slow"))
        self._timer = loop.call_at(waiting[0].due, self._give_up_waiting) if waiting else None

    def _settle(self, entries: Sequence[_Entry]) -> None:
        """On the loop, when the writer is through with entries."""
        entries, rest = entries[:_SETTLE_LIMIT], entries[_SETTLE_LIMIT:]
        if rest:
            asyncio.get_running_loop().call_soon(self._settle, rest)
        self._queued -= len(entries)
        written = [entry for entry in entries if entry.is_written]
        for worth, count in Counter(entry.worth for entry in written).items():
            metrics.audit_records.labels(worth).inc(count)
        for worth, count in Counter(entry.worth for entry in entries if not entry.is_written).items():
            self._count_lost(worth, count)
        if written:
            if self._queued <= self._options.queue_limit // 2:
                self._record_gaps()
            metrics.audit_commit.observe(asyncio.get_running_loop().time() - written[0].appended)
        for entry in entries:
            if entry.is_written and not entry.done.done():
                entry.done.set_result(None)
            elif entry.is_written and entry.is_withdrawn:
                self.append(_withdrawal(entry.event, self._utc_us())).add_done_callback(_consume)
            elif not entry.done.done():
                entry.done.set_exception(AuditUnavailable("the access log was closed"))
        while self._waiting and self._waiting[0].done.done():
            self._waiting.popleft()

    def _count_lost(self, worth: Durability, count: int) -> None:
        metrics.audit_lost.labels(worth).inc(count)
        # What was refused for it did not happen.
        if worth is not Durability.BEFORE_EFFECT:
            self._gaps[worth] += count

    def _record_gaps(self) -> None:
        """Puts on record what could not be, now that there is room again."""
        gaps, self._gaps = self._gaps, Counter()
        for worth, count in gaps.items():
            gap = AccessEvent(
                type=EventType.GAP,
                ts_us=self._utc_us(),
                camera="",
                outcome="error",
                reason=worth,
                count=count,
            )
            self.append(gap).add_done_callback(_consume)

    # From here on, the writer's thread.

    def _open(self) -> None:
        closing = self._writer.open()
        self._people.open()
        opening = [*closing, _node_record(EventType.NODE_START, self._utc_us())]
        self._writer.commit(list(map(serialize, opening)))
        self._writer.sign()

    def _close(self) -> None:
        self._people.close()
        self._writer.close()

    def _write_all(self) -> None:
        while (entries := self._next_entries()) is not None:
            if entries:
                try:
                    self._write(entries)
                except Exception as error:
                    # A thread that ended would put nothing on record any more. The text may quote somebody.
                    logger.error("%d records could not be made (%s)", len(entries), type(error).__name__)
                    self._tell(entries)
            if self._writer.sign_in_s() == 0:
                self._writer.sign()
        try:
            self._writer.commit([serialize(_node_record(EventType.NODE_STOP, self._utc_us()))])
        except OSError:
            logger.error("the access log could not be closed")
        self._writer.sign()
        self._close()

    def _next_entries(self) -> list[_Entry] | None:
        """What waits, at most BATCH_LIMIT entries; none when a checkpoint is due before the first comes.

        None when the log was stopped and all is written.
        """
        entries: list[_Entry] = []
        wait_s, until = self._writer.sign_in_s(), math.inf
        try:
            while (entry := self._queue.get(timeout=wait_s)) is not None:
                entries.append(entry)
                if len(entries) == BATCH_LIMIT:
                    return entries
                now = time.monotonic()
                is_awaited = entry.worth is Durability.BEFORE_EFFECT
                until = now if is_awaited else min(until, now + GATHER_S)
                wait_s = max(0.0, until - now)
        except queue.Empty:
            return entries
        if entries:
            # The stop comes again after these.
            self._queue.put(None)
        return entries or None

    def _write(self, entries: list[_Entry]) -> None:
        """Writes entries, however long it takes; only a stop gives up."""
        while True:
            kept = [entry for entry in entries if not entry.is_withdrawn]
            try:
                if kept:
                    self._spell([entry for entry in kept if not entry.line])
                    self._writer.commit([entry.line for entry in kept])
                elif self._is_failing:
                    self._people.separate([], self._utc_us())
                    self._writer.probe()
            except OSError as error:
                self._fail(error)
            else:
                for entry in kept:
                    entry.is_written = True
                self._recover_from_failure()
                break
            if self._is_stopping.wait(RETRY_S):
                break
        self._tell(entries)

    def _spell(self, entries: list[_Entry]) -> None:
        """Makes the lines of entries, and the people in them durable beside the log."""
        if not entries:
            return
        records = self._people.separate([entry.event for entry in entries], self._utc_us())
        for entry, record in zip(entries, records, strict=True):
            entry.line = serialize(record)

    def _fail(self, error: OSError) -> None:
        if not self._is_failing:
            logger.error("the access log cannot be written (%s); new viewings are refused", error.strerror)
        self._is_failing = True
        self._writer.forget_file()

    def _recover_from_failure(self) -> None:
        if self._is_failing:
            logger.warning("the access log can be written again")
        self._is_failing = False

    def _tell(self, entries: list[_Entry]) -> None:
        assert self._loop is not None
        # When the loop was closed without a stop, nobody is left to be told.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, entries)


def _node_record(type: EventType, ts_us: int) -> Record:
    return Record(type=type, ts_us=ts_us, camera="", outcome="info")


def _withdrawal(start: AccessEvent, ts_us: int) -> AccessEvent:
    return msgspec.structs.replace(
        start,
        type=EventType.STOP,
        ts_us=ts_us,
        reason=EndReason.AUDIT_UNAVAILABLE,
        address="",
        agent="",
    )


def _consume(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()
