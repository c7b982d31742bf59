"""Private files that survive."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from camrelay.durable import make_private_directory, replace, sync_directory, write_new
from camrelay.errors import ConfigError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directories_are_made_for_us_alone(tmp_path: Path) -> None:
    """Every level that is missing, whatever the umask."""
    before = os.umask(0)
    try:
        make_private_directory(tmp_path / "store" / "keys")
    finally:
        os.umask(before)
    assert mode(tmp_path / "store") == mode(tmp_path / "store" / "keys") == 0o700
    make_private_directory(tmp_path / "store" / "keys")


def test_a_directory_that_others_write_into_is_refused(tmp_path: Path) -> None:
    """They could put a key of their own there."""
    tmp_path.chmod(0o770)
    with pytest.raises(ConfigError, match="written by others"):
        make_private_directory(tmp_path)


def test_a_path_that_cannot_be_a_directory_is_the_operators_error(tmp_path: Path) -> None:
    """A file stands in the way."""
    (tmp_path / "store").write_text("")
    with pytest.raises(ConfigError, match="Not a directory"):
        make_private_directory(tmp_path / "store" / "keys")


def test_a_new_file_is_whole_private_and_never_replaces_another(tmp_path: Path) -> None:
    """The second writer is told, and no draft stays behind."""
    path = tmp_path / "key"
    assert write_new(path, b"first")
    assert not write_new(path, b"second")
    assert path.read_bytes() == b"first"
    assert mode(path) == 0o600
    assert os.listdir(tmp_path) == ["key"]


def test_replace_swaps_the_whole_content(tmp_path: Path) -> None:
    """An open reader keeps the old file."""
    path = tmp_path / "list"
    replace(path, b"old")
    with open(path, "rb") as reader:
        replace(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    sync_directory(tmp_path)
