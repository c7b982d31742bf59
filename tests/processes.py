"""Real processes for end-to-end tests: the relay as its operator starts it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import aiohttp
from click.testing import CliRunner

from benchmarks.child import free_port
from camrelay.cli import main

CAMRELAY = (sys.executable, "-m", "camrelay")

#: Python, the media libraries and the first clip, on a machine that does other things as well.
START_S = 60.0

T = TypeVar("T")


async def until(attempt: Callable[[], Awaitable[T | None]], what: str, limit_s: float = START_S) -> T:
    """The first answer of `attempt` that is neither None nor False."""
    deadline = time.monotonic() + limit_s
    while True:
        answer = await attempt()
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < deadline, f"{what}: not within {limit_s:g} s"
        await asyncio.sleep(0.05)


async def camrelay(*arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a short `camrelay` command."""
    process = await asyncio.create_subprocess_exec(
        *CAMRELAY, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


class Relay:
    """A `camrelay serve` on free ports, with its configuration and its records in one folder.

    Args:
        cameras: id -> RTSP URL; loopback is allowed.
        options: whole lines of TOML by section, such as {"hls": "part_ms = 100"}, before the cameras' tables.
        camera_options: the same for every camera's table.
    """

    def __init__(
        self,
        folder: Path,
        cameras: Mapping[str, str],
        options: Mapping[str, str] | None = None,
        camera_options: str = "",
    ) -> None:
        self.folder = folder
        self.tokens: list[str] = []
        self.port = free_port()
        self.metrics_port = free_port()
        self.log = folder / "relay.log"
        self.config = folder / "camrelay.toml"
        self.config.write_text(self._toml(cameras, options or {}, camera_options))
        self._process: asyncio.subprocess.Process | None = None

    def _toml(self, cameras: Mapping[str, str], options: Mapping[str, str], camera_options: str) -> str:
        sections = {
            "server": f'listen = "127.0.0.1:{self.port}"',
            "metrics": f'listen = "127.0.0.1:{self.metrics_port}"',
            "webrtc": f'listen = "0.0.0.0:{free_port(socket.SOCK_DGRAM)}"',
            "egress": 'allow = ["127.0.0.0/8"]',
            "store": f"directory = {json.dumps(str(self.folder / 'store'))}",
        }
        for name, lines in options.items():
            sections[name] = f"{sections.get(name, '')}\n{lines}"
        tables = [f"[{name}]\n{lines}" for name, lines in sections.items()]
        tables += [
            f'[[camera]]\nid = "{camera}"\nurl = "{url}"\n{camera_options}' for camera, url in cameras.items()
        ]
        return "\n\n".join(tables) + "\n"

    @property
    def pid(self) -> int:
        """The relay process."""
        assert self._process is not None
        return self._process.pid

    def url(self, path: str = "/") -> str:
        """Where a path is."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def start(self) -> None:
        """Starts it, and waits until it says that it is ready."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *CAMRELAY, "serve", "--config", str(self.config), stdout=log, stderr=log
            )

        async def ready() -> bool:
            assert self._process is not None
            assert self._process.returncode is None, (
                f"the relay did not start: {self.log.read_text()[-2000:]}"
            )
            return (await self.get("/readyz")) is not None

        await until(ready, "the relay is ready")

    async def stop(self) -> float:
        """Sends SIGTERM; the seconds until it had ended."""
        assert self._process is not None
        began = time.monotonic()
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), 15)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise AssertionError(f"it did not stop: {self.log.read_text()[-6000:]}") from None
        return time.monotonic() - began

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.returncode if self._process else None

    async def get(self, path: str, *, port: int | None = None) -> str | None:
        """The body of a 200, None for any other answer or none."""
        timeout = aiohttp.ClientTimeout(total=5)
        url = f"http://127.0.0.1:{port or self.port}{path}"
        try:
            async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as answer:
                return await answer.text() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def token(self, camera: str = "*", ttl: str = "1h", *more: str) -> str:
        """A grant token, made by the command of operators; in this process, because many tests want one."""
        where = ["--config", str(self.config), "--camera", camera, "--action", "watch", "--ttl", ttl]
        done = CliRunner().invoke(main, ["token", "create", *where, *more])
        assert done.exit_code == 0, done.stderr
        self.tokens.append(done.stdout.strip())
        return self.tokens[-1]

    async def metric(self, name: str, **labels: str) -> float:
        """One sample of /metrics; 0 while there is none."""
        text = await self.get("/metrics", port=self.metrics_port) or ""
        for sample in re.finditer(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE):
            found = dict(re.findall(r'(\w+)="([^"]*)"', sample[1] or ""))
            if labels.items() <= found.items():
                return float(sample[2])
        return 0.0

    async def live(self, camera: str, limit_s: float = START_S) -> None:
        """Waits until a camera delivers pictures."""

        async def is_up() -> bool:
            return await self.metric("camrelay_camera_up", camera=camera) == 1

        await until(is_up, f"{camera} is live", limit_s)

    def records(self, **fields: str) -> list[dict[str, Any]]:
        """The access records with these values, oldest first."""
        files = sorted((self.folder / "store").glob("access-*.jsonl"))
        records = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return [record for record in records if fields.items() <= record.items()]

    def workers(self) -> list[int]:
        """The processes that read cameras."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == self.pid and b"worker" in command:
                found.append(int(process.name))
        return found

    def kill_worker(self) -> None:
        """SIGKILL to one of them, as the system does when memory runs out."""
        os.kill(self.workers()[0], signal.SIGKILL)


class StartRelay(Protocol):
    """The fixture `start_relay`: a running Relay, which is stopped after the test."""

    async def __call__(
        self, cameras: Mapping[str, str], options: Mapping[str, str] | None = None, camera_options: str = ""
    ) -> Relay: ...
