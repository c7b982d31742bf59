"""Files that outlive a power cut and that nobody else can read. Everything here blocks.

A name is durable only when its directory has been synced, a content only when the file has (fsync(2)).
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from camrelay.errors import ConfigError

_OTHERS_WRITE = 0o022


def make_private_directory(path: Path) -> None:
    """Makes `path` and its missing parents with mode 0700.

    Raises:
        ConfigError: it cannot be made, or others may write into it.
    """
    try:
        for directory in reversed((path, *path.parents)):
            if not directory.exists():
                directory.mkdir(mode=0o700, exist_ok=True)
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="see [store] directory") from None
    if mode & _OTHERS_WRITE:
        raise ConfigError(f"{path} can be written by others", hint=f"chmod 700 {path}")


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_new(path: Path, data: bytes) -> bool:
    """Makes a file of mode 0600, whole or not at all; False when the name is taken."""
    draft = _write_draft(path, data)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    sync_directory(path.parent)
    return True


def replace(path: Path, data: bytes) -> None:
    """Puts a file of mode 0600 in the place of another: readers see the old one or the new one."""
    os.replace(_write_draft(path, data), path)
    sync_directory(path.parent)


def _write_draft(path: Path, data: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    return draft
