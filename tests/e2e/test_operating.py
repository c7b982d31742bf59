"""What an operator types, and what comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.child import free_port
from camrelay.cli import main
from processes import CAMRELAY, Relay, camrelay

pytestmark = pytest.mark.e2e

CAMERA = '[[camera]]\nid = "yard"\nurl = "{url}"\n'


async def test_check_config_accepts_the_shipped_file() -> None:
    """The file that operators start from can be used as it is."""
    shipped = Path(__file__).parents[2] / "config" / "camrelay.toml"

    status, output, errors = await camrelay("check-config", str(shipped))

    assert (status, errors) == (0, "")
    assert "fine" in output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server\n", "line 1: not TOML"),
        ("[server]\nlistn = 1\n", "line 2: server.listn is not an option"),
        ("[hls]\npart_ms = 5\n", "line 2: hls.part_ms"),
        (CAMERA.format(url="http://10.0.0.1/"), "line 3: camera yard: a camera URL begins with rtsp"),
        (CAMERA.format(url="rtsp://u:hunter2@10.0.0.1/"), "line 3: camera yard: the camera URL holds a user"),
        (CAMERA.format(url="rtsp://127.0.0.1/"), "line 3: camera yard: loopback"),
        (CAMERA.format(url="rtsp://169.254.169.254/"), "line 3: camera yard: link-local"),
    ],
)
def test_check_config_refuses_with_the_line(tmp_path: Path, text: str, told: str) -> None:
    """Status 1, one error, no traceback, no value repeated; `serve` says the same and starts nothing."""
    file = tmp_path / "camrelay.toml"
    file.write_text(text)

    for arguments in (["check-config", str(file)], ["serve", "--config", str(file)]):
        done = CliRunner().invoke(main, arguments)

        assert (done.exit_code, done.stdout) == (1, "")
        assert told in done.stderr
        assert "Traceback" not in done.stderr
        assert "hunter2" not in done.stderr


async def test_a_wrong_file_ends_the_process_with_one_line(tmp_path: Path) -> None:
    """Status 1, as a service manager sees it."""
    file = tmp_path / "camrelay.toml"
    file.write_text("[hls]\npart_ms = 5\n")

    status, output, errors = await camrelay("serve", "--config", str(file))

    assert (status, output) == (1, "")
    assert "line 2: hls.part_ms" in errors


async def test_probes_and_metrics(relay: Relay) -> None:
    """Alive and ready on the viewers' listener; metrics only on their own."""
    assert await relay.get("/healthz") is not None
    assert await relay.get("/readyz") is not None
    assert await relay.get("/metrics") is None
    assert await relay.metric("camrelay_camera_access_units_total", camera="cam1") > 0
    assert await relay.metric("camrelay_camera_up", camera="cam2") == 1


async def test_the_demo_checks_itself(tmp_path: Path) -> None:
    """`camrelay demo --check` plays two cameras by both protocols and ends with status 0."""
    process = await asyncio.create_subprocess_exec(
        *(*CAMRELAY, "demo", "--check"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 120)
    told = output.decode()

    assert process.returncode == 0, told + errors.decode()
    for camera in ("cam1", "cam2"):
        section = told.split(f"{camera}, ")[1].split("\ncam")[0]
        for words in (
            "access unit",
            "HLS playlist",
            "WebRTC picture",
            "stream.start webrtc",
            "stream.stop hls",
        ):
            assert words in section, told
    assert "eyJ" not in told, "a token where none is needed"


async def test_the_demo_says_which_port_is_taken(tmp_path: Path) -> None:
    """And with which option to choose another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = await asyncio.create_subprocess_exec(
            *(*CAMRELAY, "demo", "--port", port), cwd=tmp_path, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 1
    assert f"port {port} cannot be had" in errors.decode()
    assert "--port" in errors.decode()


async def test_ctrl_c_ends_the_demo_and_all_it_started(tmp_path: Path) -> None:
    """No simulator and no relay stay behind."""
    ports = [f"--{name}={free_port()}" for name in ("port", "rtsp-port", "metrics-port")]
    ports.append(f"--webrtc-port={free_port(socket.SOCK_DGRAM)}")
    process = await asyncio.create_subprocess_exec(
        *(*CAMRELAY, "demo", *ports),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        # Where the tests run in the background, Ctrl-C is ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while b"#token=" not in await process.stdout.readline():
            pass

    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 0
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and folder_of(pid) == str(tmp_path)]


def folder_of(pid: str) -> str:
    """The working directory of a process, "" when it is gone or not ours."""
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""
