"""Lines on disk and in the tree, checkpoints, and a log that does not match them."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from camrelay.audit import signer, writer
from camrelay.audit.archive import Leaves, Lines, header, leaves_path, log_files, verify
from camrelay.audit.chain import Tree, leaf_hash
from camrelay.audit.checkpoint import Checkpoint
from camrelay.audit.file import LogFile
from camrelay.audit.record import Record, serialize
from camrelay.audit.signer import CHECKPOINTS, KEY, Signer
from camrelay.audit.writer import ChainWriter
from camrelay.errors import ChainBroken
from camrelay.model import EventType

NOON_US = 1_795_262_400_000_000
DAY_US = 86_400_000_000


def line(n: int) -> bytes:
    return serialize(
        Record(type=EventType.STOP, ts_us=NOON_US, camera="door", outcome="allow", viewing=f"v{n}")
    )


class House:
    """A directory whose writer comes and goes, with clocks of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.utc_us = NOON_US
        self.now = 100.0
        self.open()

    def open(self) -> None:
        self.writer = ChainWriter(
            self.directory, open_file=LogFile, utc_us=lambda: self.utc_us, now=lambda: self.now
        )
        try:
            self.writer.open()
        except BaseException:
            self.writer.close()
            raise

    def reopen(self) -> None:
        self.writer.close()
        self.open()

    def checkpoints(self) -> list[Checkpoint]:
        return Signer.load(self.directory).read(signer.read_notes(self.directory))

    def days(self) -> list[list[bytes]]:
        return [list(Lines(path)) for path in log_files(self.directory)]

    def verify(self) -> int:
        return verify(self.directory, Signer.load(self.directory), self.checkpoints()).unsigned


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "store")


def test_a_day_begins_with_a_header_and_the_days_are_a_chain(house: House) -> None:
    """The header names the last root of the day before, which is signed; days without events have no file."""
    house.writer.commit([line(1), line(2)])
    house.utc_us += 3 * DAY_US
    house.writer.commit([line(3)])
    first, second = house.days()
    assert first[1:] == [line(1), line(2)]
    assert second[1:] == [line(3)]
    tree = Tree(map(leaf_hash, first))
    head = header(log_files(house.directory)[1])
    assert (head.day, head.previous_size, head.previous_root) == ("2026-11-24", 3, tree.root().hex())
    assert [(c.origin[-10:], c.size, c.root) for c in house.checkpoints()] == [("2026-11-21", 3, tree.root())]
    house.writer.sign()
    assert house.verify() == 0


def test_leaves_lie_beside_the_lines(house: House) -> None:
    """Of those that are signed."""
    house.writer.commit([line(1), line(2)])
    house.writer.commit([line(3)])
    house.writer.sign()
    (path,) = log_files(house.directory)
    assert list(Leaves(path)) == [leaf_hash(each) for each in Lines(path)]


def test_a_clock_that_is_set_back_does_not_reopen_a_day(house: House) -> None:
    """Its last root is in the next one's header."""
    house.writer.commit([line(1)])
    house.utc_us += DAY_US
    house.writer.commit([line(2)])
    house.utc_us -= DAY_US
    house.writer.commit([line(3)])
    house.reopen()
    house.writer.commit([line(4)])
    assert [len(day) for day in house.days()] == [2, 4]
    house.verify()


def test_a_checkpoint_is_due_a_minute_after_the_last(house: House) -> None:
    """Only while there is something unsigned."""
    house.now += 1
    assert house.writer.sign_in_s() is None
    house.writer.commit([line(1)])
    assert house.writer.sign_in_s() == 59
    house.now += 60
    assert house.writer.sign_in_s() == 0
    house.writer.sign()
    house.writer.sign()
    assert house.writer.sign_in_s() is None
    assert [c.size for c in house.checkpoints()] == [2]


def test_a_checkpoint_is_signed_every_1024_lines(house: House) -> None:
    """However quickly they come."""
    for n in range(10):
        house.writer.commit([line(n * 512 + i) for i in range(512)])
    assert [c.size for c in house.checkpoints()] == [1025, 2049, 3073, 4097, 5121]


def test_checkpoints_are_told_to_the_operators_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Where collectors carry them off this machine; what stands there can be checked later."""
    caplog.set_level(logging.INFO)
    house.writer.commit([line(1)])
    house.writer.sign()
    assert signer.saved_notes(caplog.text) == signer.read_notes(house.directory)


def test_a_restart_goes_on_with_the_tree(house: House) -> None:
    """One tree a day, however often the server came and went."""
    for n in range(5):
        house.writer.commit([line(n)])
        if n % 2:
            house.writer.sign()
        house.reopen()
    house.writer.sign()
    assert len(house.days()[0]) == 6
    assert house.verify() == 0


def test_a_restart_after_midnight_goes_on_with_the_chain(house: House) -> None:
    """Whether or not the last day had its last checkpoint, and whether or not the new day has one."""
    for n in range(4):
        house.writer.commit([line(n)])
        house.utc_us += DAY_US
        house.reopen()
    house.writer.commit([line(9)])
    house.reopen()
    assert [len(day) for day in house.days()] == [2] * 5
    house.verify()


def test_a_day_whose_first_write_was_torn_begins_again(house: House) -> None:
    """A crash at any byte of it."""
    house.writer.commit([line(1)])
    house.utc_us += DAY_US
    house.writer.commit([line(2)])
    today = log_files(house.directory)[1]
    content = today.read_bytes()
    for cut in (0, 1, 60, content.index(b"\n"), content.index(b"\n") + 1, len(content) - 1):
        today.write_bytes(content[:cut])
        house.reopen()
        house.writer.commit([line(2)])
        assert today.read_bytes() == content
        house.verify()


def test_lost_leaves_and_torn_notes_are_no_damage(house: House) -> None:
    """Leaves follow from the lines; a note that a crash cut is one checkpoint less."""
    house.writer.commit([line(1)])
    house.writer.sign()
    house.writer.commit([line(2)])
    house.writer.sign()
    (path,) = log_files(house.directory)
    leaves = leaves_path(path).read_bytes()
    leaves_path(path).write_bytes(leaves[:40])
    notes = house.directory / CHECKPOINTS
    notes.write_bytes(notes.read_bytes()[:-5])
    house.reopen()
    assert leaves_path(path).read_bytes() == leaves
    house.writer.commit([line(3)])
    house.writer.sign()
    assert [c.size for c in house.checkpoints()] == [2, 4]


def test_a_log_without_any_checkpoint_is_said(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """A crash in its first moment, or somebody removed them: nothing can tell."""
    house.writer.commit([line(1)])
    house.reopen()
    assert "no checkpoint" in caplog.text


def edit(directory: Path) -> None:
    (path,) = log_files(directory)
    path.write_bytes(path.read_bytes().replace(b"v2", b"v7"))


def remove_a_line(directory: Path) -> None:
    (path,) = log_files(directory)
    path.write_bytes(path.read_bytes().replace(line(2), b""))


def truncate(directory: Path) -> None:
    (path,) = log_files(directory)
    path.write_bytes(path.read_bytes()[: -len(line(3))])


def remove_the_file(directory: Path) -> None:
    log_files(directory)[0].unlink()


def exchange_the_key(directory: Path) -> None:
    (directory / KEY).unlink()


def forge_a_checkpoint(directory: Path) -> None:
    path = directory / CHECKPOINTS
    path.write_text(path.read_text().replace("\n4\n", "\n3\n"))


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (edit, "access-2026-11-21.jsonl: line 2 "),
        (remove_a_line, "access-2026-11-21.jsonl: line 2 "),
        (truncate, "access-2026-11-21.jsonl: line 3 "),
        (remove_the_file, "access-2026-11-21.jsonl is missing"),
        (exchange_the_key, "no known key"),
        (forge_a_checkpoint, "signature"),
    ],
)
def test_a_log_that_is_not_as_it_was_signed_is_not_continued(
    house: House, tamper: Callable[[Path], None], named: str
) -> None:
    """The error names the place and says what to do, and nothing is written."""
    house.writer.commit([line(1), line(2), line(3)])
    house.writer.sign()
    house.writer.close()
    tamper(house.directory)
    before = {path: path.read_bytes() for path in house.directory.iterdir() if path.name != KEY}
    with pytest.raises(ChainBroken, match=r"move access-\*, checkpoints.txt and audit.key") as raised:
        house.open()
    assert named in str(raised.value)
    assert {path: path.read_bytes() for path in house.directory.iterdir() if path.name != KEY} == before
    evidence = house.directory.parent / "evidence"
    evidence.mkdir()
    for path in before.keys() | {house.directory / KEY}:
        shutil.move(path, evidence)
    house.open()
    house.writer.commit([line(5)])
    house.verify()


def test_a_file_that_disappears_makes_no_second_history(house: House) -> None:
    """Later checkpoints go on with the tree of what was signed; verify says what is missing."""
    lines = [line(n) for n in range(4)]
    house.writer.commit(lines[:2])
    house.writer.sign()
    (path,) = log_files(house.directory)
    head = next(iter(Lines(path)))
    path.unlink()
    house.writer.commit(lines[2:])
    house.writer.sign()
    assert house.checkpoints()[-1].root == Tree(map(leaf_hash, [head, *lines])).root()
    with pytest.raises(ChainBroken, match="line 0 "):
        house.verify()


def test_a_checkpoint_that_cannot_be_written_stops_nothing(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said; so it is for leaves."""
    (house.directory / CHECKPOINTS).mkdir()
    monkeypatch.setattr(writer.archive, "leaves_path", lambda path: house.directory)
    house.writer.commit([line(1)])
    house.writer.sign()
    house.writer.commit([line(2)])
    assert [len(day) for day in house.days()] == [3]
    assert "a checkpoint could not be written" in caplog.text
    assert "leaf hashes could not be written" in caplog.text
