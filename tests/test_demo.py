"""The demo tells what went wrong, and believes only what it saw."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.child import free_port
from camrelay import demo
from camrelay.check import check_cameras
from camrelay.config_file import load

SEEN: dict[str, float] = {
    "hls_playlist_s": 0.1,
    "hls_picture_s": 0.2,
    "hls_pictures": 25,
    "webrtc_picture_s": 0.3,
    "webrtc_pictures": 25,
}
RECORDS = [
    {"type": type, "camera": "cam1", "protocol": protocol, "outcome": "allowed"}
    for type in ("stream.start", "stream.stop")
    for protocol in ("hls", "webrtc")
]


def ports() -> demo.Ports:
    return demo.Ports(free_port(), free_port(), free_port(socket.SOCK_DGRAM), free_port())


def test_its_configuration_can_be_used(tmp_path: Path) -> None:
    """Two cameras on loopback, which only their port is opened for."""
    text = demo._config(["cam1", "cam2"], demo.Ports(), tmp_path / 'a "folder"')

    options = load(text)
    check_cameras(options, text)

    assert [camera.id for camera in options.camera] == ["cam1", "cam2"]
    assert options.store.directory == str(tmp_path / 'a "folder"' / "store")
    assert options.egress.allow == ("127.0.0.1/32:8554",)


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("port", socket.SOCK_STREAM),
        ("rtsp_port", socket.SOCK_STREAM),
        ("webrtc_port", socket.SOCK_DGRAM),
        ("metrics_port", socket.SOCK_STREAM),
    ],
)
def test_a_taken_port_is_told_with_its_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, kind: socket.SocketKind
) -> None:
    """Before anything is started."""
    free = ports()
    with socket.socket(type=kind) as taken:
        taken.bind(("127.0.0.1", getattr(free, option)))
        if kind is socket.SOCK_STREAM:
            taken.listen()

        assert demo.run(ports=free, folder=tmp_path / "data") == 1

    assert f"choose another with --{option.replace('_', '-')}" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_process_that_ends_at_once_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its log stays in the folder."""
    monkeypatch.setattr(demo, "COMMAND", (sys.executable, "-c", "import sys; sys.exit('no camera here')"))

    assert demo.run(ports=ports(), folder=tmp_path) == 1

    told = capsys.readouterr().err
    assert "`camrelay simulate` ended with status 1" in told
    assert "no camera here" in told
    assert (tmp_path / "simulate.log").read_text() == "no camera here\n"


def test_a_process_that_is_never_ready_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And ended, even when it does not want to."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    monkeypatch.setattr(demo, "COMMAND", (sys.executable, "-c", deaf))
    monkeypatch.setattr(demo, "READY_LIMIT_S", 0.5)
    monkeypatch.setattr(demo, "STOP_LIMIT_S", 0.2)

    assert demo.run(ports=ports(), folder=tmp_path) == 1

    assert (
        f"the cameras took over 0 s; what happened is in {tmp_path}/simulate.log" in capsys.readouterr().err
    )


def test_a_check_begins_with_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of an earlier check are not taken for this one's."""
    monkeypatch.setattr(demo, "COMMAND", (sys.executable, "-c", ""))
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "access-1.jsonl").write_text("{}\n")

    demo.run(check=True, folder=tmp_path)

    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("played", "records", "status"),
    [
        ({"cam1": SEEN}, RECORDS, 0),
        ({}, RECORDS, 1),
        ({"cam1": SEEN}, RECORDS[:3], 1),
        ({"cam1": SEEN}, [{**record, "camera": "cam2"} for record in RECORDS], 1),
    ],
    ids=["all", "not played", "a stop is missing", "records of another camera"],
)
def test_the_report(
    capsys: pytest.CaptureFixture[str], played: dict[str, Any], records: list[Any], status: int
) -> None:
    """Complete is: every camera played by both protocols, with a start and a stop on record for each."""
    assert demo._report(["cam1"], {"cam1": 1.5}, played, records) == status

    told = capsys.readouterr()
    assert "access unit       1.50" in told.out
    assert ("cam1" in told.err) == (status == 1)


def test_records_are_read_in_order(tmp_path: Path) -> None:
    """File after file, line after line."""
    for number in (2, 1):
        lines = [json.dumps({"n": number * 10 + line}) for line in range(2)]
        (tmp_path / f"access-{number}.jsonl").write_text("\n".join(lines) + "\n")

    assert [record["n"] for record in demo._records(tmp_path)] == [10, 11, 20, 21]
