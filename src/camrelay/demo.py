"""`camrelay demo`: simulated cameras and a relay, each in a process of its own, all of it in one folder.

With `check`, a third process plays every camera by both protocols; what it saw is printed, and what the
access log says of it. Every wait has a limit, and no process outlives the demo.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

import aiohttp
import msgspec

from camrelay.errors import CamrelayError

#: Starting up encodes the cameras' pictures once, a second or two for each on a slow machine.
READY_LIMIT_S = 60.0

#: For each camera: joining, two seconds of HLS segments, and the pictures.
PLAY_LIMIT_S = 30.0

#: A graceful stop is 5 s at most; what lasts longer is killed.
STOP_LIMIT_S = 6.0

#: How long a sign-in link works; a working day.
TOKEN_LIFE = "12h"  # noqa: S105 - a duration, not a secret

#: Who signs in to the demo.
OPERATOR = "operator@demo.example"

PICTURES = 25

#: What the playing process reports, and how it is called here.
SEEN = {
    "hls_playlist_s": "HLS playlist",
    "hls_picture_s": "HLS picture",
    "webrtc_picture_s": "WebRTC picture",
}

#: What every camera must have on record after a check.
RECORDED = [(type, protocol) for type in ("stream.start", "stream.stop") for protocol in ("hls", "webrtc")]

COMMAND = (sys.executable, "-m", "camrelay")
LOOPBACK = "127.0.0.1"

T = TypeVar("T")


class DemoFailed(CamrelayError):
    """The demo cannot go on; the text says what to do."""

    code = "demo_failed"


class Ports(msgspec.Struct, frozen=True):
    """The ports of a demo; the fields are named like the command's options."""

    port: int = 8080
    rtsp_port: int = 8554
    webrtc_port: int = 8189
    metrics_port: int = 9464


def run(
    *, check: bool = False, cameras: int = 2, ports: Ports | None = None, folder: Path | None = None
) -> int:
    """Runs the demo until Ctrl-C, or until the check is done.

    Args:
        cameras: how many cameras to simulate, 1 to 16.
        ports: None means the usual ports, or any free ones for a check.
        folder: where everything is kept; a check begins with an empty one.

    Returns:
        The exit status: 0, or 1 when something failed, after telling what on stderr.
    """
    if ports is None:
        ports = _free_ports() if check else Ports()
    if folder is None:
        folder = Path("demo-data", "check") if check else Path("demo-data")
    ids = [f"cam{number}" for number in range(1, cameras + 1)]
    try:
        _refuse_taken(ports)
        if check:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "camrelay.toml").write_text(_config(ids, ports, folder))
        return asyncio.run(_run(ids, ports, folder, check))
    except DemoFailed as e:
        print(f"camrelay demo: {e}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0


async def _run(cameras: Sequence[str], ports: Ports, folder: Path, check: bool) -> int:
    task = asyncio.current_task()
    assert task is not None
    # A demo that is told to end ends what it started.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    simulate = ("simulate", "--cameras", str(len(cameras)), "--port", str(ports.rtsp_port))
    config = ("--config", str(folder / "camrelay.toml"))
    async with _Child.start(folder, *simulate) as simulator:
        await simulator.until("the cameras", lambda: _accepts(ports.rtsp_port))
        async with _Child.start(folder, "serve", *config) as relay:
            seconds, _ = await asyncio.gather(
                _first_access_units(relay, cameras, ports),
                relay.until("the relay", lambda: _get(ports.port, "/readyz")),
            )
            token = await _output("token", "create", *config, "--camera", "*", "--ttl", TOKEN_LIFE)
            if not check:
                password = await _operator_password(config)
                print(_welcome(cameras, ports, folder, token, password), flush=True)
                await _first_end(simulator, relay)
            played = await _play(cameras, ports, token)
    # Leaving the block stopped the relay, and that ended every viewing: the access log is complete.
    return _report(cameras, seconds, played, _records(folder / "store"))


async def _first_end(*children: _Child) -> None:
    """Waits for the first process to end.

    Raises:
        DemoFailed: it has.
    """
    ends = [asyncio.create_task(child.ended()) for child in children]
    try:
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
    for end in done:
        end.result()


class _Child:
    """A `camrelay` process of ours, and where its output goes."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, log: Path) -> None:
        self.began = time.monotonic()
        self._process = process
        self._name = name
        self._log = log

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, folder: Path, *arguments: str) -> AsyncIterator[_Child]:
        """Runs `camrelay` with these arguments for as long as the block lasts."""
        log = folder / f"{arguments[0]}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *COMMAND, *arguments, stdout=output, stderr=output, start_new_session=True
            )
        try:
            yield cls(process, arguments[0], log)
        finally:
            if process.returncode is None:
                process.terminate()
            try:
                async with asyncio.timeout(STOP_LIMIT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def until(self, what: str, attempt: Callable[[], Awaitable[T | None]]) -> T:
        """The first answer of `attempt` that is not None, asked for while the process lives.

        Raises:
            DemoFailed: the process ended, or READY_LIMIT_S passed.
        """
        while time.monotonic() - self.began < READY_LIMIT_S:
            answer = await attempt()
            if answer is not None:
                return answer
            if self._process.returncode is not None:
                await self.ended()
            await asyncio.sleep(0.05)
        raise DemoFailed(f"{what} took over {READY_LIMIT_S:.0f} s; what happened is in {self._log}")

    async def ended(self) -> NoReturn:
        """Waits for the end of the process, which is always too early."""
        status = await self._process.wait()
        tail = self._log.read_text(errors="replace").splitlines()[-3:]
        raise DemoFailed("\n  ".join([f"`camrelay {self._name}` ended with status {status}:", *tail]))


async def _output(*arguments: str) -> str:
    """What a short `camrelay` command prints."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), READY_LIMIT_S)
    if process.returncode != 0:
        raise DemoFailed(
            f"`camrelay {arguments[0]}` failed: {errors.decode(errors='replace').strip()[-500:]}"
        )
    return output.decode().strip()


def _refuse_taken(ports: Ports) -> None:
    """Says which option to use before three processes fail each in its own words."""
    for field, port in msgspec.structs.asdict(ports).items():
        kind = socket.SOCK_DGRAM if field == "webrtc_port" else socket.SOCK_STREAM
        with socket.socket(type=kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as e:
                option = "--" + field.replace("_", "-")
                raise DemoFailed(
                    f"port {port} cannot be had ({e.strerror}); choose another with {option}"
                ) from None


def _free_ports() -> Ports:
    with contextlib.ExitStack() as stack:
        kinds = (socket.SOCK_STREAM, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM)
        probes = [stack.enter_context(socket.socket(type=kind)) for kind in kinds]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return Ports(*(probe.getsockname()[1] for probe in probes))


def _config(cameras: Sequence[str], ports: Ports, folder: Path) -> str:
    store = json.dumps(str((folder / "store").absolute()))
    tables = "".join(
        f"""
[[camera]]
id = "{camera}"
title = "Simulated camera {camera.removeprefix("cam")}"
url = "rtsp://{LOOPBACK}:{ports.rtsp_port}/{camera}"
"""
        for camera in cameras
    )
    return f"""\
# Written by `camrelay demo`; the next one writes it again.
[server]
listen = "{LOOPBACK}:{ports.port}"
[metrics]
listen = "{LOOPBACK}:{ports.metrics_port}"
[webrtc]
listen = "0.0.0.0:{ports.webrtc_port}"
[egress]
allow = ["{LOOPBACK}/32:{ports.rtsp_port}"]
[store]
directory = {store}
{tables}"""


async def _accepts(port: int) -> bool | None:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return None
    writer.close()
    return True


async def _get(port: int, path: str) -> str | None:
    """The body of a 200, None for any other answer or none."""
    timeout = aiohttp.ClientTimeout(total=2)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(f"http://{LOOPBACK}:{port}{path}") as answer,
        ):
            return await answer.text() if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError):
        return None


async def _first_access_units(relay: _Child, cameras: Sequence[str], ports: Ports) -> dict[str, float]:
    """Seconds from the relay's start until /metrics counts an access unit, for each camera."""
    seconds: dict[str, float] = {}

    async def all_seen() -> bool | None:
        text = await _get(ports.metrics_port, "/metrics") or ""
        for camera in re.findall(r'^camrelay_camera_access_units_total\{camera="(\w+)"\} [1-9]', text, re.M):
            seconds.setdefault(camera, time.monotonic() - relay.began)
        return True if seconds.keys() >= set(cameras) else None

    await relay.until("the first access units", all_seen)
    return seconds


async def _play(cameras: Sequence[str], ports: Ports, token: str) -> dict[str, dict[str, float]]:
    """What a viewer in another process saw, by camera; without those that could not be played."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "camrelay.tools.play", f"http://{LOOPBACK}:{ports.port}", *cameras),
        *("--json", "--pictures", str(PICTURES), "--limit", str(PLAY_LIMIT_S)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "CAMRELAY_TOKEN": token},
    )
    output, _ = await asyncio.wait_for(process.communicate(), PLAY_LIMIT_S * len(cameras) + STOP_LIMIT_S)
    return {played["camera"]: played for played in map(json.loads, output.splitlines())}


def _records(store: Path) -> list[dict[str, str]]:
    """The access log, oldest first."""
    files = sorted(store.glob("access-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def _report(
    cameras: Sequence[str],
    first_units: Mapping[str, float],
    played: Mapping[str, Mapping[str, float]],
    records: Sequence[Mapping[str, str]],
) -> int:
    """Prints what was seen, returns 0 when nothing is missing."""
    incomplete = []
    for camera in cameras:
        own = [record for record in records if record.get("camera") == camera]
        seen = played.get(camera, {})
        print(f"{camera}, seconds to the first")
        print(f"  access unit     {first_units[camera]:6.2f}  from the start of the relay process")
        for key, what in SEEN.items():
            print(
                f"  {what:<15} {seen[key]:6.2f}  from the viewer's request"
                if key in seen
                else f"  {what} missing"
            )
        print(f"  access records caused: {len(own)}")
        for record in own:
            words = (record.get(key, "") for key in ("type", "protocol", "outcome", "reason"))
            print("    " + " ".join(word for word in words if word))
        viewings = {(record["type"], record.get("protocol")) for record in own}
        if not seen or not viewings.issuperset(RECORDED):
            incomplete.append(camera)
    if incomplete:
        print(f"camrelay demo: not complete: {', '.join(incomplete)}", file=sys.stderr)
        return 1
    print("Every camera was played by HLS and WebRTC, and every viewing is on record.")
    return 0


async def _operator_password(config: Sequence[str]) -> str:
    """A password of the demo's operator, whose account is there since the first demo in this folder."""
    accounts = json.loads(await _output("user", "list", *config, "--json"))
    if any(account["email"] == OPERATOR for account in accounts):
        return await _output("user", "password", *config, OPERATOR)
    return await _output("user", "add", *config, OPERATOR, "--role", "operator")


def _welcome(cameras: Sequence[str], ports: Ports, folder: Path, token: str, password: str) -> str:
    return f"""
{len(cameras)} simulated cameras are playing. Open:

  http://localhost:{ports.port}/#token={token}

The link shows every camera for {TOKEN_LIFE}; do not pass it on. To manage cameras and people, sign in:

  http://localhost:{ports.port}/sign-in
  {OPERATOR}
  {password}

  cameras         rtsp://{LOOPBACK}:{ports.rtsp_port}/{cameras[0]} and on
  metrics         http://{LOOPBACK}:{ports.metrics_port}/metrics
  access log      {folder}/store/access-*.jsonl
  configuration   {folder}/camrelay.toml: add your camera to a copy of it, then
                  camrelay serve --config COPY
Ctrl-C stops everything.
"""
