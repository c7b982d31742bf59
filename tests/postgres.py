"""A PostgreSQL of the tests' own: Debian's server on a socket in a folder that goes away with it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = Path("/usr/lib/postgresql/15/bin")

#: Making and starting a cluster, on a machine that does other things as well.
START_S = 60.0

#: Nothing here has to survive a crash.
CARELESS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB")


@contextmanager
def running_postgres() -> Iterator[Path]:
    """The folder with the socket of a server that lets everybody on this machine in, as `postgres`."""
    folder = Path(tempfile.mkdtemp(prefix="camrelay-pg-"))
    log = folder / "log"
    settings = [part for setting in CARELESS for part in ("-c", setting)]
    try:
        as_user = _unprivileged(folder)
        initdb = [
            PROGRAMS / "initdb",
            "-D",
            folder / "data",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "-N",
        ]
        subprocess.run([*as_user, *initdb], check=True, capture_output=True, timeout=START_S)
        # Tests that are killed take their server along.
        command = [
            *as_user,
            "setpriv",
            "--pdeathsig=INT",
            PROGRAMS / "postgres",
            "-D",
            folder / "data",
            "-k",
            folder,
            "-h",
            "",
            *settings,
        ]
        with log.open("wb") as output:
            server = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
        try:
            _wait(server, folder, log)
            yield folder
        finally:
            server.send_signal(signal.SIGINT)  # its fast shutdown
            server.wait(START_S)
    finally:
        shutil.rmtree(folder)


def _unprivileged(folder: Path) -> list[str]:
    """What a command has to begin with: the server refuses to run as root."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _wait(server: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    deadline = time.monotonic() + START_S
    ready = [PROGRAMS / "pg_isready", "-q", "-h", folder, "-U", "postgres"]
    while subprocess.run(ready, timeout=START_S).returncode != 0:
        assert server.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.05)
