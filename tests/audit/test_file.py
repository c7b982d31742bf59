"""A file of the access log."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from camrelay.audit.file import LogFile


def test_it_appends_and_knows_its_size(tmp_path: Path) -> None:
    """Also to what was there before; mode 0600 when it is new."""
    path = tmp_path / "access.jsonl"
    file = LogFile(path)
    file.write(b"one\n")
    file.sync()
    file.close()
    again = LogFile(path)
    assert again.size == 4
    again.write(b"two\n")
    assert again.size == 8
    again.truncate(4)
    assert again.size == 4
    again.write(b"3\n")
    again.close()
    assert path.read_bytes() == b"one\n3\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may take less than it was given."""
    file = LogFile(tmp_path / "access.jsonl")
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    file.write(b"0123456789")
    file.close()
    assert (tmp_path / "access.jsonl").read_bytes() == b"0123456789"


def test_it_knows_when_its_name_is_gone(tmp_path: Path) -> None:
    """Unlinked, not merely renamed."""
    file = LogFile(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert not file.is_unlinked()
    (tmp_path / "b").unlink()
    assert file.is_unlinked()
    file.close()
    file.close()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Nobody directs the log elsewhere."""
    (tmp_path / "a").symlink_to(tmp_path / "b")
    with pytest.raises(OSError, match="Too many levels"):
        LogFile(tmp_path / "a")
