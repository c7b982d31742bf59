"""What each server is told: loopback only, and where its viewers go."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.servers.adapter import Server
from benchmarks.servers.janus import as_answer
from benchmarks.servers.registry import SERVERS
from benchmarks.servers.static import StaticServer
from benchmarks.whep.sdp import offer, parse_answer
from camrelay.config_file import load

CAMERAS = {"cam1": "rtsp://127.0.0.1:8554/cam1", "cam2": "rtsp://127.0.0.1:8554/cam2"}


@pytest.fixture(params=SERVERS, ids=str)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    made = SERVERS[request.param](tmp_path, core=0)
    made.directory.mkdir()
    if isinstance(made, StaticServer):
        made.bodies = {"50kb": 50_000}
    return made


def test_every_address_in_a_configuration_is_loopback(server: Server) -> None:
    """No listener, candidate or camera anywhere else; the comparison's settings are there to be printed."""
    command = server.configure({} if isinstance(server, StaticServer) else CAMERAS)
    files = [path for path in server.directory.iterdir() if path.is_file()]
    text = " ".join([*command, *(path.read_text() for path in files)])
    addresses = re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text)
    assert all(address.startswith("127.") for address in addresses if address != server.viewer_address)
    assert not re.search(r'"(?::\d+|0\.0\.0\.0)', text)
    assert server.settings
    for url in (server.whep("cam1"), server.hls("cam1"), server.metrics_url):
        assert url == "" or url.startswith("http://127.0.0.1:")


def test_camrelay_accepts_what_it_is_told(tmp_path: Path) -> None:
    """Its own reader of the configuration finds nothing wrong."""
    made = SERVERS["camrelay"](tmp_path, core=0)
    made.directory.mkdir()
    made.configure(CAMERAS)
    loaded = load((made.directory / "camrelay.toml").read_text())
    assert [camera.id for camera in loaded.camera] == ["cam1", "cam2"]
    assert all(camera.visibility == "public" for camera in loaded.camera)


def test_a_server_that_is_not_here_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """And our own need nothing."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert SERVERS["mediamtx"].missing() == "no mediamtx on PATH"
    assert SERVERS["nginx"].missing() == "no nginx on PATH"
    assert SERVERS["camrelay"].missing() == SERVERS["aiortc"].missing() == ""


def test_janus_and_a_viewer_each_get_the_others_answer() -> None:
    """Both have made an offer; the viewer is the DTLS client of one answer, Janus the server of the other."""
    janus = (
        "v=0\r\no=- 1 1 IN IP4 198.18.0.1\r\ns=Mountpoint\r\nt=0 0\r\na=group:BUNDLE v\r\na=ice-lite\r\n"
        "a=fingerprint:sha-256 JJ\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 198.18.0.1\r\na=sendonly\r\n"
        "a=mid:v\r\na=ice-ufrag:jjjj\r\na=ice-pwd:janus-password\r\na=setup:actpass\r\n"
        "a=rtpmap:96 H264/90000\r\na=candidate:1 1 udp 1 198.18.0.1 5000 typ host\r\n"
    )
    viewer = offer(ufrag="vvvv", password="viewer-password", fingerprint="VV", address=("198.18.0.1", 6000))
    answer = as_answer(janus, viewer)
    found = parse_answer(answer)
    assert (found.ufrag, found.password, found.fingerprint) == ("vvvv", "viewer-password", "VV")
    assert found.candidates == (("198.18.0.1", 6000),)
    assert not found.is_dtls_server
    assert "a=mid:v" in answer
    assert "a=recvonly" in answer
    assert "jjjj" not in answer
