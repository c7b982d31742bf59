"""Revocations that outlive a restart."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from camrelay.auth.lease import Handle, HandleKind, disguised
from camrelay.auth.revocation import Revocation, RevocationFile


def token(n: int, at_us: int = 1) -> Revocation:
    return Revocation(HandleKind.TOKEN, f"t{n}", at_us)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "revocations.jsonl"


def test_one_process_reads_what_another_appends(path: Path) -> None:
    """Each revocation once, in order; nothing when nothing is new, nor before the file is there."""
    reader, writer = RevocationFile(path), RevocationFile(path)
    assert reader.read_new() == []
    writer.append(token(1))
    writer.append(Revocation(HandleKind.ACCOUNT, "anna", 2))
    hidden = disguised(Handle(HandleKind.ACCOUNT, "anna")).id
    assert reader.read_new() == [token(1), Revocation(HandleKind.ACCOUNT, hidden, 2)]
    assert reader.read_new() == []
    writer.append(token(3))
    assert [r.handle for r in reader.read_new()] == [Handle(HandleKind.TOKEN, "t3")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"anna" not in path.read_bytes()


def test_a_restart_reads_everything(path: Path) -> None:
    """What was withdrawn stays withdrawn."""
    RevocationFile(path).append(token(1))
    assert RevocationFile(path).read_new() == [token(1)]


def test_half_a_line_is_waited_for(path: Path) -> None:
    """A reader that comes while a line is being written takes it when it is whole."""
    RevocationFile(path).append(token(1))
    line = path.read_bytes()
    path.write_bytes(line + line[:10])
    reader = RevocationFile(path)
    assert reader.read_new() == [token(1)]
    path.write_bytes(line + line)
    assert reader.read_new() == [token(1)]


def test_a_torn_line_does_not_swallow_the_next(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A writer that died half-way costs its own line, and that is said."""
    writer = RevocationFile(path)
    writer.append(token(1))
    with open(path, "ab") as file:
        file.write(b'{"kind":"token","id":"t2"')
    writer.append(token(3))
    assert RevocationFile(path).read_new() == [token(1), token(3)]
    assert "cannot be read" in caplog.text
    assert "t2" not in caplog.text


@pytest.mark.parametrize("line", [b"[]", b"{}", b'{"kind":"moon","id":"x","at_us":1}', b"\xff", b"0" * 9000])
def test_lines_that_say_nothing_are_passed_over(path: Path, line: bytes) -> None:
    """The others count."""
    RevocationFile(path).append(token(1))
    with open(path, "ab") as file:
        file.write(line + b"\n")
    assert RevocationFile(path).read_new() == [token(1)]


def test_compaction_keeps_what_can_matter(path: Path) -> None:
    """Old tokens have expired since; old keys are withdrawn for good. Readers start anew."""
    file, reader = RevocationFile(path), RevocationFile(path)
    key = Revocation(HandleKind.KEY, "k1", 1)
    for revocation in (token(1, 1), key, token(2, 100)):
        file.append(revocation)
    assert len(reader.read_new()) == 3
    file.compact(horizon_us=100)
    assert reader.read_new() == [key, token(2, 100)]
    file.append(token(3, 101))
    assert reader.read_new() == [token(3, 101)]


def test_a_file_that_was_cut_is_read_again(path: Path) -> None:
    """Somebody emptied it in place: later lines must not be missed."""
    file = RevocationFile(path)
    for n in range(3):
        file.append(token(n))
    file.read_new()
    path.write_bytes(b"")
    file.append(token(9))
    assert file.read_new() == [token(9)]


WRITER = """
import sys
from pathlib import Path
from camrelay.auth.lease import HandleKind
from camrelay.auth.revocation import Revocation, RevocationFile
file = RevocationFile(Path(sys.argv[1]))
for n in range(100):
    file.append(Revocation(HandleKind.TOKEN, f"{sys.argv[2]}-{n}", 1))
"""


def test_writers_and_compaction_do_not_lose_each_others_lines(path: Path) -> None:
    """Three processes append a hundred each while this one compacts over and over."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abc"]
    file = RevocationFile(path)
    while any(writer.poll() is None for writer in writers):
        file.compact(horizon_us=0)
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    ids = [revocation.id for revocation in RevocationFile(path).read_new()]
    assert sorted(ids) == sorted(f"{name}-{n}" for name in "abc" for n in range(100))
