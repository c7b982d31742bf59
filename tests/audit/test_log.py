"""The access log on disks that are good, slow, full and gone."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import msgspec
import pytest

from camrelay import metrics
from camrelay.audit import log as module
from camrelay.audit import sqlite_file, writer
from camrelay.audit.archive import log_files, verify
from camrelay.audit.file import LogFile
from camrelay.audit.log import AccessLog
from camrelay.audit.people import People, opened
from camrelay.audit.people_store import DATABASE
from camrelay.audit.recovery import read
from camrelay.audit.signer import Signer, read_notes
from camrelay.config import Audit
from camrelay.errors import AuditUnavailable, ChainBroken, ConfigError
from camrelay.model import AccessEvent, EndReason, EventType
from processes import until

NOON_US = 1_795_262_400_000_000
DAY_US = 86_400_000_000

START, STOP, DENY = EventType.START, EventType.STOP, EventType.DENY
NODE_START, NODE_STOP = EventType.NODE_START, EventType.NODE_STOP


def start(n: int = 1) -> AccessEvent:
    return AccessEvent(
        type=START,
        ts_us=NOON_US,
        camera="door",
        outcome="allow",
        protocol="hls",
        viewing=f"v{n}",
        session=f"s{n}",
        subject="anna",
        address="203.0.113.77",
        agent="VLC",
    )


def stop(n: int = 1) -> AccessEvent:
    return AccessEvent(
        type=STOP,
        ts_us=NOON_US + 1,
        camera="door",
        outcome="allow",
        protocol="hls",
        viewing=f"v{n}",
        reason="expired",
    )


DENIAL = AccessEvent(type=DENY, ts_us=NOON_US, camera="door", outcome="deny", reason="no_token")


class Disk:
    """Opens files whose syncs can be held, and whose every operation can be made to fail."""

    def __init__(self) -> None:
        self.error: int | None = None
        self.failing = {"open", "write", "sync"}
        self.free = threading.Event()
        self.free.set()
        self.syncing = threading.Event()
        self.failed = threading.Event()
        self.syncs = 0

    def open(self, path: Path) -> LogFile:
        self.check("open")
        return DiskFile(path, self)

    def hold(self) -> None:
        """Lets the next sync begin, and not end before `free` is set."""
        self.free.clear()
        self.syncing.clear()

    def check(self, operation: str) -> None:
        if self.error is not None and operation in self.failing:
            self.failed.set()
            raise OSError(self.error, os.strerror(self.error))


class DiskFile(LogFile):
    def __init__(self, path: Path, disk: Disk) -> None:
        super().__init__(path)
        self.disk = disk

    def write(self, data: bytes) -> None:
        if self.disk.error is not None and "write" in self.disk.failing:
            # A full disk takes some of it first.
            super().write(data[: len(data) // 2])
        self.disk.check("write")
        super().write(data)

    def sync(self) -> None:
        self.disk.syncing.set()
        assert self.disk.free.wait(10)
        self.disk.check("sync")
        self.disk.syncs += 1
        super().sync()


class Fixture:
    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory
        self.disk = Disk()
        self.utc_us = NOON_US
        self.log = AccessLog(
            directory, Audit(**options), open_file=self.disk.open, utc_us=lambda: self.utc_us
        )

    def told(self) -> list[tuple[EventType, str, str]]:
        """Type, viewing and reason of every event on disk."""
        return [(e.type, e.viewing, e.reason) for path in log_files(self.directory) for e in read(path)]

    async def fail(self, error: int, *operations: str) -> None:
        """Breaks the disk and waits until the log has met the failure."""
        self.disk.failing = set(operations)
        self.disk.error = error
        async with asyncio.timeout(30):
            while not self.log._is_failing:
                with pytest.raises(AuditUnavailable):
                    await self.log.append(start(99))
        assert self.disk.failed.is_set()


@pytest.fixture
async def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Fixture]]:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    made: list[Fixture] = []

    def make(**options: Any) -> Fixture:
        made.append(Fixture(tmp_path / "store", **options))
        return made[-1]

    yield make
    for fixture in made:
        fixture.disk.error = None
        fixture.disk.free.set()
        await fixture.log.stop()


def lost(worth: str) -> float:
    return metrics.REGISTRY.get_sample_value("camrelay_audit_lost_total", {"class": worth}) or 0.0


# A good disk.


async def test_a_record_is_durable_before_whoever_waits_goes_on(make: Any) -> None:
    """The await ends after the sync; the file is ours alone and named by the day."""
    fixture = make()
    await fixture.log.start()
    fixture.disk.hold()
    waiting = fixture.log.append(start())
    await asyncio.to_thread(fixture.disk.syncing.wait, 5)
    assert not waiting.done()
    fixture.disk.free.set()
    await waiting
    (path,) = log_files(fixture.directory)
    assert path.name == "access-2026-11-21.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(fixture.directory.stat().st_mode) == 0o700
    assert fixture.told() == [(NODE_START, "", ""), (START, "v1", "")]


async def test_what_waits_during_a_sync_shares_the_next(make: Any) -> None:
    """A thousand records while the disk is busy cost a few syncs, and stay in order."""
    fixture = make()
    await fixture.log.start()
    fixture.disk.hold()
    waiting = [fixture.log.append(start(n)) for n in range(1000)]
    before = fixture.disk.syncs
    fixture.disk.free.set()
    await asyncio.gather(*waiting)
    assert fixture.disk.syncs - before <= 1 + 1 + 1000 // module.BATCH_LIMIT
    assert [viewing for _, viewing, _ in fixture.told()[1:]] == [f"v{n}" for n in range(1000)]


async def test_what_nobody_waits_for_is_written_with_the_next_start(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a viewing is in no hurry; when nobody comes it is written by itself."""
    monkeypatch.setattr(module, "GATHER_S", 60.0)
    fixture = make()
    await fixture.log.start()
    before = fixture.disk.syncs
    ended = fixture.log.append(stop(1))

    async def is_taken() -> bool:
        return fixture.log._queue.empty()

    await until(is_taken, "the writer to take it")
    await asyncio.gather(ended, fixture.log.append(start(2)))
    assert fixture.disk.syncs == before + 1
    monkeypatch.setattr(module, "GATHER_S", 0.01)
    await fixture.log.append(stop(2))
    assert fixture.told()[1:] == [(STOP, "v1", "expired"), (START, "v2", ""), (STOP, "v2", "expired")]


async def test_a_stop_writes_everything_first(make: Any) -> None:
    """What was appended without waiting is on disk, and so is that the log ended in order."""
    fixture = make()
    await fixture.log.start()
    for n in range(2000):
        fixture.log.append(stop(n))
    await fixture.log.stop()
    told = fixture.told()
    assert len(told) == 2002
    assert (told[0][0], told[-1][0]) == (NODE_START, NODE_STOP)
    await fixture.log.stop()


async def test_a_day_has_its_file(make: Any) -> None:
    """Midnight in UTC begins the next one."""
    fixture = make()
    await fixture.log.start()
    await fixture.log.append(start(1))
    fixture.utc_us += DAY_US // 2
    await fixture.log.append(start(2))
    assert [path.name for path in log_files(fixture.directory)] == [
        "access-2026-11-21.jsonl",
        "access-2026-11-22.jsonl",
    ]
    assert [e.viewing for e in read(log_files(fixture.directory)[1])] == ["v2"]


async def test_records_are_counted_by_what_they_are_worth(make: Any) -> None:
    """Durable ones, and how long that took."""

    def value(name: str, **labels: str) -> float:
        return metrics.REGISTRY.get_sample_value(name, labels) or 0.0

    before = value("camrelay_audit_records_total", **{"class": "A"})
    commits = value("camrelay_audit_commit_seconds_count")
    fixture = make()
    await fixture.log.start()
    await fixture.log.append(start())
    assert value("camrelay_audit_records_total", **{"class": "A"}) == before + 1
    assert value("camrelay_audit_commit_seconds_count") == commits + 1


async def test_nothing_is_accepted_before_the_start_and_after_the_stop(make: Any) -> None:
    """No record, no media."""
    fixture = make()
    with pytest.raises(AuditUnavailable):
        await fixture.log.append(start())
    await fixture.log.start()
    await fixture.log.stop()
    with pytest.raises(AuditUnavailable):
        await fixture.log.append(start())


async def test_one_server_writes_to_a_directory(make: Any) -> None:
    """The second is told so; it may begin when the first has stopped."""
    one, two = make(), make()
    await one.log.start()
    with pytest.raises(AuditUnavailable, match="another server"):
        await two.log.start()
    await one.log.stop()
    await two.log.start()


async def test_a_removed_file_is_made_again(make: Any) -> None:
    """Writing on into a file without a name would lose every record."""
    fixture = make()
    await fixture.log.start()
    log_files(fixture.directory)[0].unlink()
    await fixture.log.append(start())
    assert fixture.told() == [(START, "v1", "")]


async def test_a_directory_that_cannot_be_is_the_operators_error(tmp_path: Path) -> None:
    """A file stands in its place."""
    (tmp_path / "store").write_text("")
    with pytest.raises(ConfigError):
        await AccessLog(tmp_path / "store" / "log", Audit()).start()


async def test_a_disk_that_is_broken_at_the_start_is_said(make: Any) -> None:
    """The server does not come up with a log it cannot write; when the disk is back, it does."""
    fixture = make()
    fixture.disk.error = errno.EROFS
    with pytest.raises(AuditUnavailable, match="Read-only file system"):
        await fixture.log.start()
    fixture.disk.failing = {"sync"}
    with pytest.raises(AuditUnavailable):
        await fixture.log.start()
    fixture.disk.error = None
    await fixture.log.start()


# A slow one.


async def test_a_slow_sync_refuses_and_leaves_no_viewing_that_never_was(make: Any) -> None:
    """Case 64: refused after the time allowed; a start that got onto the disk too late is closed."""
    fixture = make(commit_timeout_s=0.5)
    await fixture.log.start()
    fixture.disk.hold()
    late = fixture.log.append(start(1))
    await asyncio.to_thread(fixture.disk.syncing.wait, 5)
    queued, kept = fixture.log.append(start(2)), fixture.log.append(stop(3))
    before = lost("A")
    for future in (late, queued, kept):
        with pytest.raises(AuditUnavailable, match="too slow"):
            await future
    fixture.disk.free.set()
    async with asyncio.timeout(30):
        while (STOP, "v1", "audit_unavailable") not in fixture.told():  # noqa: ASYNC110 - written by a thread
            await asyncio.sleep(0.01)
    await fixture.log.stop()
    told = fixture.told()
    ours = [line for line in told if line[1] == "v1"]
    assert ours == [(START, "v1", ""), (STOP, "v1", "audit_unavailable")]
    assert [line for line in told if line[1] == "v2"] == []
    assert (STOP, "v3", "expired") in told
    assert lost("A") == before + 1


async def test_the_loop_never_waits_for_the_disk(make: Any) -> None:
    """While a sync hangs, appending goes on at its own pace."""
    fixture = make()
    await fixture.log.start()
    fixture.disk.hold()
    first = fixture.log.append(start())
    await asyncio.to_thread(fixture.disk.syncing.wait, 5)
    loop = asyncio.get_running_loop()
    began = loop.time()
    futures = [fixture.log.append(stop(n)) for n in range(1000)]
    assert loop.time() - began < 1.0
    assert not first.done()
    fixture.disk.free.set()
    await asyncio.gather(first, *futures)


async def test_a_full_queue_refuses_and_denials_go_first(make: Any) -> None:
    """A flood of denials leaves half of the queue to viewers; beyond the limit nobody gets in."""
    fixture = make(queue_limit=100)
    await fixture.log.start()
    fixture.disk.hold()
    denials = [fixture.log.append(DENIAL) for _ in range(60)]
    await asyncio.to_thread(fixture.disk.syncing.wait, 5)
    assert [d.done() for d in denials] == [False] * 50 + [True] * 10
    starts = [fixture.log.append(start(n)) for n in range(60)]
    assert [s.done() for s in starts] == [False] * 50 + [True] * 10
    fixture.disk.free.set()
    outcomes = await asyncio.gather(*denials, *starts, return_exceptions=True)
    assert sum(isinstance(outcome, AuditUnavailable) for outcome in outcomes) == 20
    await fixture.log.append(start(200))


async def test_what_got_lost_is_itself_on_record(make: Any) -> None:
    """Ends and denials that found no room, by class and number; a start that was refused did not happen."""
    fixture = make(queue_limit=100)
    await fixture.log.start()
    fixture.disk.hold()
    first = fixture.log.append(start())
    await asyncio.to_thread(fixture.disk.syncing.wait, 5)
    others = [fixture.log.append(stop(n)) for n in range(105)]
    others += [fixture.log.append(DENIAL) for _ in range(3)]
    others += [fixture.log.append(start(200))]
    fixture.disk.free.set()
    await asyncio.gather(first, *others, return_exceptions=True)
    await fixture.log.append(start(3))
    await fixture.log.stop()
    records = [record for path in log_files(fixture.directory) for record in read(path)]
    gaps = [(record.reason, record.count) for record in records if record.type is EventType.GAP]
    assert sorted(gaps) == [("B", 6), ("C", 3)]


async def test_a_disk_that_never_answers_does_not_hold_up_the_stop(
    make: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The process leaves; what is lost is said."""
    monkeypatch.setattr(module, "STOP_LIMIT_S", 0.05)
    fixture = make()
    await fixture.log.start()
    fixture.disk.hold()
    fixture.log.append(stop())
    await fixture.log.stop()
    assert "1 records are lost" in caplog.text


# A broken one.


@pytest.mark.parametrize(
    ("error", "operations"),
    [
        (errno.ENOSPC, ["write"]),
        (errno.EIO, ["sync"]),
        (errno.EROFS, ["open", "write", "sync"]),
        (errno.EDQUOT, ["write", "sync"]),
    ],
)
async def test_a_failing_disk_refuses_viewers_keeps_stops_and_comes_back_by_itself(
    make: Any, error: int, operations: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Case 64: disk full, I/O error, read-only. No torn and no double line stays behind."""
    fixture = make(commit_timeout_s=1.0)
    await fixture.log.start()
    await fixture.log.append(start(1))
    await fixture.fail(error, *operations)
    with pytest.raises(AuditUnavailable, match="cannot be written"):
        await fixture.log.append(start(2))
    kept = [fixture.log.append(stop(n)) for n in (1, 7)]
    await asyncio.gather(*kept, return_exceptions=True)
    fixture.disk.error = None
    async with asyncio.timeout(30):
        while fixture.log._is_failing:  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0.01)
    await fixture.log.append(start(3))
    assert fixture.told() == [
        (NODE_START, "", ""),
        (START, "v1", ""),
        (STOP, "v1", "expired"),
        (STOP, "v7", "expired"),
        (START, "v3", ""),
    ]
    (path,) = log_files(fixture.directory)
    assert len(path.read_bytes().splitlines()) == 1 + 5
    messages = [r.getMessage() for r in caplog.records if r.name == "camrelay.audit"]
    assert len(messages) == 2
    assert os.strerror(error) in messages[0]
    assert messages[1] == "the access log can be written again"


async def test_a_full_disk_with_nothing_to_write_is_asked_again(make: Any) -> None:
    """Without stops to write the log finds out by itself that there is room, and leaves no trace."""
    fixture = make(commit_timeout_s=1.0)
    await fixture.log.start()
    await fixture.fail(errno.ENOSPC, "write")
    fixture.disk.error = None
    async with asyncio.timeout(30):
        while fixture.log._is_failing:  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0.01)
    await fixture.log.append(start(3))
    (path,) = log_files(fixture.directory)
    assert path.read_bytes().count(b"\n") == 1 + 2


async def test_a_stop_with_a_broken_disk_gives_up(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What could not be written is counted, and whoever waits is told."""
    fixture = make()
    await fixture.log.start()
    fixture.disk.error = errno.EIO
    before = lost("B")
    futures = [fixture.log.append(stop(n)) for n in range(3)]
    await fixture.log.stop()
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [AuditUnavailable] * 3
    assert lost("B") == before + 3
    assert "could not be closed" in caplog.text


LIMITED = """
import asyncio, resource, signal, sys
from pathlib import Path
from camrelay.audit.log import AccessLog
from camrelay.config import Audit
from camrelay.errors import AuditUnavailable
from camrelay.model import AccessEvent, EventType

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

def start(n):
    return AccessEvent(type=EventType.START, ts_us=n, camera="door", outcome="allow", viewing=f"v{n}")

async def main():
    log = AccessLog(Path(sys.argv[1]), Audit(commit_timeout_s=1.0))
    await log.start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    n = 0
    try:
        while True:
            await log.append(start(n))
            n += 1
    except AuditUnavailable:
        print(n)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    async with asyncio.timeout(10):
        while True:
            try:
                await log.append(start(n))
                break
            except AuditUnavailable:
                await asyncio.sleep(0.05)
    await log.stop()

asyncio.run(main())
"""


def test_a_file_system_that_really_takes_no_more(tmp_path: Path) -> None:
    """The kernel refuses to let the file grow, in the middle of a line; later it lets it.

    On a slow disk a start may be late for its caller all the same; then the record says that it was undone.
    """
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    acknowledged = int(run.stdout)
    assert acknowledged > 100
    (path,) = log_files(tmp_path)
    events = list(read(path))
    viewings = [event.viewing for event in events if event.type is START]
    for late in [event.viewing for event in events if event.reason == EndReason.AUDIT_UNAVAILABLE]:
        viewings.remove(late)
    assert viewings == [f"v{n}" for n in range(acknowledged + 1)]
    assert path.stat().st_size > 100_000


# A crash.


def test_kill_loses_no_acknowledged_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Case 64: killed 20 times; every record that was acknowledged is there once, and none is torn."""
    caplog.set_level(logging.ERROR)
    acknowledged: list[int] = []
    for round in range(20):
        process = subprocess.Popen(
            [sys.executable, Path(__file__).parent / "crasher.py", tmp_path, str(round * 1_000_000)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(1 + round * 7)]
        process.kill()
        rest, _ = process.communicate()
        acknowledged += [int(line) for line in [*lines, *rest.splitlines()] if line.strip()]
    events = [event for path in log_files(tmp_path) for event in read(path)]
    starts = [int(event.viewing[1:]) for event in events if event.type is START]
    assert len(starts) == len(set(starts))
    assert set(acknowledged) <= set(starts)
    assert len(acknowledged) >= 20
    closed = {event.viewing for event in events if event.reason == EndReason.SERVER_CRASH}
    last_node = max(i for i, event in enumerate(events) if event.type is NODE_START)
    assert closed == {event.viewing for event in events[:last_node] if event.type is START}
    assert caplog.text == ""


# Proof.


async def test_a_stopped_log_is_signed_to_its_last_line(make: Any) -> None:
    """Also after a restart on the same day."""
    fixture = make()
    for _ in range(2):
        await fixture.log.start()
        await fixture.log.append(stop())
        await fixture.log.stop()
        fixture.log = AccessLog(fixture.directory, Audit(), utc_us=lambda: NOON_US)
    signer = Signer.load(fixture.directory)
    found = verify(fixture.directory, signer, signer.read(read_notes(fixture.directory)))
    assert (found.lines, found.unsigned) == (7, 0)


async def test_a_quiet_log_is_signed_when_its_checkpoint_is_due(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anything else to write."""
    fixture = make()
    await fixture.log.start()
    monkeypatch.setattr(writer, "CHECKPOINT_S", 0.05)
    await fixture.log.append(start())
    async with asyncio.timeout(30):
        while len(read_notes(fixture.directory)) < 2:  # noqa: ASYNC110 - written by a thread
            await asyncio.sleep(0.01)


async def test_a_log_that_was_changed_is_not_continued(make: Any) -> None:
    """The server does not come up, and may when the log has been put aside."""
    fixture = make()
    await fixture.log.start()
    await fixture.log.stop()
    (path,) = log_files(fixture.directory)
    path.write_bytes(path.read_bytes().replace(b"node.stop", b"node.stap"))
    log = AccessLog(fixture.directory, Audit(), utc_us=lambda: NOON_US)
    with pytest.raises(ChainBroken, match="line 2 "):
        await log.start()
    path.rename(path.with_name("evidence"))
    (fixture.directory / "checkpoints.txt").unlink()
    await log.start()
    await log.stop()


# People.


async def test_no_line_names_anybody(make: Any) -> None:
    """Who it was lies beside the log, durable before whoever waits goes on."""
    fixture = make()
    await fixture.log.start()
    await fixture.log.append(start())
    (path,) = log_files(fixture.directory)
    content = path.read_bytes()
    assert not any(word in content for word in (b"anna", b"203.0", b"VLC"))
    (record,) = [record for record in read(path) if record.type is START]
    with opened(fixture.directory) as known:
        (identity,) = known.identify([record])
    assert (identity.subject, identity.network, identity.agent) == ("anna", "203.0.113.0/24", "VLC")


async def test_without_people_there_is_no_record(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 64: while their database is locked viewers are refused; afterwards stops are on record."""
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.01)
    fixture = make(commit_timeout_s=1.0)
    await fixture.log.start()
    other = sqlite3.connect(fixture.directory / DATABASE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(AuditUnavailable):
        await fixture.log.append(start(1))
    fixture.log.append(stop(2)).add_done_callback(lambda future: future.exception())
    other.close()
    async with asyncio.timeout(30):
        while fixture.log._is_failing:  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0.01)
    await fixture.log.append(start(3))
    told = [viewing for _, viewing, _ in fixture.told()[1:]]
    assert [viewing for viewing in told if viewing != "v1"] == ["v2", "v3"]
    # The refused start may have been on its way when the database came back: then its end is told as well.
    assert told.count("v1") in (0, 2)


async def test_a_record_that_cannot_be_made_is_not_the_last(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect refuses whom it meets, is said without quoting them, and the next is recorded."""
    fixture = make()
    await fixture.log.start()
    with pytest.raises(AuditUnavailable):
        await fixture.log.append(msgspec.structs.replace(start(1), address="canary"))
    await fixture.log.append(start(2))
    assert [viewing for _, viewing, _ in fixture.told()[1:]] == ["v2"]
    assert "1 records could not be made (ValueError)" in caplog.text
    assert "canary" not in caplog.text


async def test_as_long_as_people_are_locked_refusals_come_at_once(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 64: with nothing left to write, the log asks the database as well whether it is back."""
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.01)
    fixture = make(commit_timeout_s=1.0)
    await fixture.log.start()
    other = sqlite3.connect(fixture.directory / DATABASE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(AuditUnavailable, match="too slow"):
        await fixture.log.append(start(1))
    tries = threading.Semaphore(0)
    separate = People.separate

    def tried(*args: Any) -> Any:
        tries.release()
        return separate(*args)

    monkeypatch.setattr(People, "separate", tried)
    for _ in range(3):
        assert await asyncio.to_thread(tries.acquire, timeout=30)
    with pytest.raises(AuditUnavailable, match="cannot be written"):
        await fixture.log.append(start(2))
    other.close()


# People in a PostgreSQL.

on_postgresql = pytest.mark.parametrize("people_url", ["postgresql"], indirect=True)


@on_postgresql
async def test_a_server_of_people_that_does_not_answer_refuses_viewers(make: Any, people_url: str) -> None:
    """Case 64: in time; afterwards what waited is on record."""
    fixture = make(url=people_url, commit_timeout_s=1.0)
    await fixture.log.start()
    await fixture.log.append(start(1))
    other = await asyncpg.connect(people_url.replace("+asyncpg", ""))
    async with other.transaction():
        await other.execute(f'LOCK TABLE "{Signer.load(fixture.directory).name}".sidecars')
        with pytest.raises(AuditUnavailable, match="too slow"):
            await fixture.log.append(start(2))
        stopping = fixture.log.append(stop(1))
    await other.close()
    async with asyncio.timeout(30):
        await asyncio.wait([stopping])
    stopping.exception()
    await fixture.log.append(start(3))
    told = [(type, viewing) for type, viewing, _ in fixture.told()[1:]]
    assert (START, "v1") in told
    assert (STOP, "v1") in told
    assert told[-1] == (START, "v3")
    # The refused start was on its way: then its end is told as well.
    assert sum(viewing == "v2" for _, viewing in told) in (0, 2)


@on_postgresql
async def test_a_server_of_people_that_is_gone_refuses_viewers_at_once(make: Any, people_url: str) -> None:
    """Case 64: until it is back. A relay does not start without it."""
    own = f"t{uuid.uuid4().hex}"
    other = await asyncpg.connect(people_url.replace("+asyncpg", ""))
    await other.execute(f"CREATE DATABASE {own}")
    url = people_url.replace("/postgres?", f"/{own}?")
    fixture = make(url=url, commit_timeout_s=1.0)
    await fixture.log.start()
    await fixture.log.append(start(1))
    await other.execute(f"ALTER DATABASE {own} ALLOW_CONNECTIONS false")
    await other.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", own)
    with pytest.raises(AuditUnavailable):
        await fixture.log.append(start(2))
    assert fixture.log._is_failing
    with pytest.raises(AuditUnavailable, match="cannot be written"):
        await fixture.log.append(start(3))
    late = AccessLog(fixture.directory.with_name("late"), Audit(url=url))
    with pytest.raises(AuditUnavailable, match="PostgreSQL: "):
        await late.start()
    await other.execute(f"ALTER DATABASE {own} ALLOW_CONNECTIONS true")
    await other.close()
    async with asyncio.timeout(30):
        while fixture.log._is_failing:  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0.01)
    await fixture.log.append(start(4))
    assert fixture.told()[-1][1] == "v4"
