"""Starts and stops the GStreamer camera of gst_server.py."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

#: GStreamer loads its plugins from disk; on a busy machine that takes seconds.
_START_S = 30.0


class GstCamera:
    """A camera served by GStreamer in a process of its own.

    Args:
        options: words of gst_server.py's command line, such as "--width", "1280".

    Attributes:
        port: where it listens; kept over stop and start.
    """

    def __init__(self, *options: str) -> None:
        self.port = 0
        self._options = options

    @property
    def url(self) -> str:
        """Where the camera is, without user and password."""
        return f"rtsp://127.0.0.1:{self.port}/cam"

    async def start(self) -> None:
        """Starts it, and waits until it listens."""
        # The system's Python: GStreamer's bindings are a Debian package.
        self._process = await asyncio.create_subprocess_exec(
            "/usr/bin/python3",
            str(Path(__file__).with_name("gst_server.py")),
            f"--port={self.port}",
            *self._options,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), _START_S)
        assert line.startswith(b"port "), f"the GStreamer camera did not start: {line!r}"
        self.port = int(line.split()[1])

    async def stop(self) -> None:
        """Kills it, as a power cut would."""
        if self._process.returncode is None:
            self._process.kill()
        # Reads to the end, so that the pipe is closed with the process.
        await self._process.communicate()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stops the process where it is: a camera that hangs, its connections open and silent."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    async def __aenter__(self) -> GstCamera:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
