"""What a benchmark needs from a server, whoever made it."""

from __future__ import annotations

import abc
import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import ClassVar

import aiohttp

from benchmarks.child import Child
from benchmarks.exposition import Page, fetch

#: From the program's start to pictures of every camera: so much, and so much more for each.
_START_TIMEOUT_S, _START_TIMEOUT_PER_CAMERA_S = 60.0, 0.2


class Server(abc.ABC):
    """One server: started with a generated configuration, waited for, stopped.

    `cameras` maps names to RTSP URLs. Everything listens on 127.0.0.1 at free ports. `settings` is what a
    reader must know to judge the comparison; it is printed and kept with the result.
    """

    name: ClassVar[str]
    #: What must be on PATH; "" when it comes with Python.
    binary: ClassVar[str] = ""
    #: Asks the binary for its version.
    version_option: ClassVar[str] = "--version"

    def __init__(self, directory: Path, core: int) -> None:
        self.directory = directory / self.name
        self.core = core
        self.settings: dict[str, str] = {}
        #: Prometheus page, "" without one.
        self.metrics_url = ""
        #: Where WHEP viewers must come from.
        self.viewer_address = "127.0.0.1"
        self._child: Child | None = None

    @classmethod
    def missing(cls) -> str:
        """Why it cannot be measured here, "" when it can."""
        return f"no {cls.binary} on PATH" if cls.binary and not shutil.which(cls.binary) else ""

    @abc.abstractmethod
    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        """Writes its configuration into `directory`; returns the command that runs it."""

    @abc.abstractmethod
    async def is_ready(self, http: aiohttp.ClientSession, cameras: Collection[str]) -> bool:
        """Whether it runs, and all these cameras can be watched."""

    def whep(self, camera: str) -> str:
        """Where WHEP viewers POST; "" when it has no WHEP."""
        return ""

    def hls(self, camera: str) -> str:
        """The multivariant playlist; "" when it has no HLS."""
        return ""

    def received_bytes(self, page: Page) -> float:
        """What all cameras sent it so far, read from its metrics page; 0 when it does not tell."""
        return 0.0

    async def metrics(self) -> Page:
        """Its Prometheus page, empty without one, or when it is too busy to answer."""
        try:
            return await fetch(self.metrics_url) if self.metrics_url else {}
        except (aiohttp.ClientError, TimeoutError):
            return {}

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._child is not None, "started"
        return self._child.pid

    async def start(self, cameras: Mapping[str, str]) -> None:
        """Runs it until every camera is live.

        Raises:
            ChildFailed: it ended, or took too long.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        command = self.configure(cameras)
        self.settings.setdefault("version", self._version())
        self._child = Child(command, self.core, self.directory / "log", cwd=self.directory)
        try:
            await self.until_live(cameras)
        except BaseException:
            await self.stop()
            raise

    async def until_live(self, cameras: Collection[str]) -> None:
        """Waits until all these cameras can be watched.

        Raises:
            ChildFailed: it ended, or took too long.
        """
        assert self._child is not None, "started"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:

            async def ready() -> bool:
                try:
                    return await self.is_ready(http, cameras)
                except (aiohttp.ClientError, TimeoutError):
                    return False

            limit_s = _START_TIMEOUT_S + _START_TIMEOUT_PER_CAMERA_S * len(cameras)
            await self._child.until(ready, limit_s)

    async def stop(self) -> None:
        """Ends it; harmless when it does not run."""
        if self._child is not None:
            await self._child.stop()
            self._child = None

    def _version(self) -> str:
        if not self.binary:
            return ""
        done = subprocess.run([self.binary, self.version_option], capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).strip().splitlines()
        return lines[0] if lines else ""
