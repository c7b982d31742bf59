"""Simulated cameras on real sockets, read by ffprobe, by libav and by hand."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import av
import pytest

from cameras.probe import ffprobe
from camrelay.errors import ConfigError
from camrelay.simulate import camera, clock, server
from camrelay.simulate.options import Auth, Options, Picture
from camrelay.simulate.server import Simulator, run

SMALL = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)

#: Longer than anything here takes on a busy machine.
PATIENCE_S = 20.0


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the session's pictures are kept."""
    return str(tmp_path_factory.mktemp("clips"))


@pytest.fixture
async def simulator(cache: str) -> AsyncIterator[Simulator]:
    """Three cameras without a password."""
    async with Simulator(Options(cameras=3, picture=SMALL, cache_dir=cache)) as running:
        yield running


class Client:
    """Speaks RTSP by hand over one connection, TCP-interleaved."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._number = 0

    async def ask(self, method: str, url: str, **headers: str) -> tuple[int, dict[str, str]]:
        """Status and headers of the response; packets in front of it are passed over."""
        self._number += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._number}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join((*lines, "", "")).encode())
        while (first := await self._read(1)) == b"$":
            await self._packet()
        head = first + await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        status, *rest = head.decode().split("\r\n")
        found = dict(line.split(": ", 1) for line in rest if line)
        await self._read(int(found.get("Content-Length", "0")))
        return int(status.split()[1]), found

    async def play(self, url: str, transport: str = "RTP/AVP/TCP;interleaved=0-1") -> dict[str, str]:
        """SETUP and PLAY; the headers of the latter."""
        status, headers = await self.ask("SETUP", f"{url}/trackID=1", Transport=transport)
        assert status == 200
        self.session, self.transport = headers["Session"].split(";")[0], headers["Transport"]
        status, headers = await self.ask("PLAY", url, Session=self.session)
        assert status == 200
        return headers

    async def packet(self) -> tuple[int, bytes]:
        """Channel and content of the next packet."""
        assert await self._read(1) == b"$"
        return await self._packet()

    async def is_cut(self) -> bool:
        """Whether the server has closed, after whatever it still sent."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while await self.reader.read(65536):
                    pass
        return True

    async def _packet(self) -> tuple[int, bytes]:
        channel, size = struct.unpack(">BH", await self._read(3))
        return channel, await self._read(size)

    async def _read(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), PATIENCE_S)


Dial = Callable[[Simulator], Awaitable[Client]]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Connects clients, and hangs up in the end."""
    clients: list[Client] = []

    async def connect(simulator: Simulator) -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", simulator.port)))
        return clients[-1]

    yield connect
    for client in clients:
        client.writer.close()
        with contextlib.suppress(ConnectionError):
            await client.writer.wait_closed()


def demux(url: str, count: int) -> list[tuple[int | None, int]]:
    """(pts, microseconds from sending to here) of `count` access units, by libav; its first pts is None."""
    found = []
    with av.open(url, options={"rtsp_transport": "tcp"}, timeout=PATIENCE_S) as container:
        for packet in container.demux(video=0):
            sent_us = clock.sent_us(bytes(packet))
            assert sent_us is not None
            found.append((packet.pts, time.time_ns() // 1000 - sent_us))
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_ffprobe_reads_a_camera(simulator: Simulator, transport: str) -> None:
    """Codec, size and rate, over both transports; the first packet is a key frame."""
    seen = await ffprobe(simulator.url(2), transport=transport)

    (stream,) = seen["streams"]
    assert (stream["codec_name"], stream["profile"], stream["width"]) == ("h264", "Main", 320)
    assert stream["r_frame_rate"] == "25/1"
    assert "K" in seen["packets"][0]["flags"]


async def test_access_units_tell_when_they_were_sent(simulator: Simulator) -> None:
    """Libav keeps the SEI; the delay over loopback is small and never negative."""
    delays = [delay for _, delay in await asyncio.to_thread(demux, simulator.url(), 50)]

    # The first ones wait inside libav while it looks at the stream.
    assert all(0 <= delay < 1_000_000 for delay in delays[25:])


async def test_clocks_go_on_over_both_wraps(cache: str) -> None:
    """Sequence numbers and timestamps that wrap within the first second are nothing to a client."""
    wrapping = Options(picture=SMALL, cache_dir=cache, first_sequence=65_520, first_timestamp=2**32 - 20_000)
    async with Simulator(wrapping) as simulator:
        access_units = await asyncio.to_thread(demux, simulator.url(), 40)

    times = [pts for pts, _ in access_units if pts is not None]
    assert len(times) >= 39
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {3600}


@pytest.mark.parametrize("auth", ["any", "basic", "digest"])
async def test_ffprobe_proves_the_password(cache: str, auth: Auth) -> None:
    """Whatever of Basic and Digest is offered; a wrong password is refused."""
    asking = Options(picture=SMALL, cache_dir=cache, user="viewer", password="p:w/", auth=auth)
    async with Simulator(asking) as simulator:
        place = simulator.url().removeprefix("rtsp://")

        assert (await ffprobe(f"rtsp://viewer:p%3Aw%2F@{place}", packets=3))["packets"]
        with pytest.raises(AssertionError, match="401"):
            await ffprobe(f"rtsp://viewer:wrong@{place}")


async def test_packets_are_those_announced(dial: Dial, simulator: Simulator) -> None:
    """RTP-Info names the first sequence number and timestamp, Transport the SSRC; the report agrees."""
    client = await dial(simulator)
    headers = await client.play(simulator.url(), "RTP/AVP/TCP;interleaved=4-5")

    channel, first = await client.packet()
    _, _, sequence, timestamp, ssrc = struct.unpack_from(">BBHII", first)
    while (other := await client.packet())[0] == 4:
        pass

    assert channel == 4
    assert headers["RTP-Info"].endswith(f";seq={sequence};rtptime={timestamp}")
    assert client.transport.endswith(f";ssrc={ssrc:08X}")
    assert other[0] == 5
    assert struct.unpack_from(">BBHI", other[1]) == (0x80, 200, 6, ssrc)


async def test_a_pause_stops_the_packets_and_play_goes_on(dial: Dial, simulator: Simulator) -> None:
    """After PAUSE the wire is silent; keep-alives are answered; PLAY starts at a key frame."""
    client = await dial(simulator)
    await client.play(simulator.url())
    await client.packet()

    assert (await client.ask("PAUSE", simulator.url(), Session=client.session))[0] == 200
    for _ in range(3):
        assert (await client.ask("GET_PARAMETER", simulator.url(), Session=client.session))[0] == 200
    assert (await client.ask("PLAY", simulator.url(), Session=client.session))[0] == 200

    _, packet = await client.packet()
    assert packet[12] & 31 == 7
    assert (await client.ask("TEARDOWN", simulator.url(), Session=client.session))[0] == 200


async def test_clients_share_a_camera(dial: Dial, simulator: Simulator) -> None:
    """Two clients see the same numbers of the same key frame."""
    one, two = await dial(simulator), await dial(simulator)
    await one.play(simulator.url())
    await one.packet()
    headers = await two.play(simulator.url())

    _, first = await two.packet()

    while (await one.packet())[1] != first:
        pass
    assert f"seq={int.from_bytes(first[2:4], 'big')};" in headers["RTP-Info"]


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that fill within a second, and little patience."""
    monkeypatch.setattr(server, "KERNEL_BUFFER_BYTES", 4096)
    monkeypatch.setattr(server, "MAX_WAITING_BYTES", 20_000)
    monkeypatch.setattr(camera, "MAX_WAITING_BYTES", 20_000)
    monkeypatch.setattr(camera, "MAX_LAG_S", 0.5)


async def never_reading(simulator: Simulator) -> socket.socket:
    """A connected socket that holds next to nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", simulator.port))
    return sock


async def is_cut(sock: socket.socket) -> bool:
    """Whether the server has closed it, after whatever was on the way."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_S):
            while await loop.sock_recv(sock, 65536):
                pass
    sock.close()
    return True


@pytest.mark.usefixtures("tight")
async def test_a_client_that_never_reads_disturbs_nobody(dial: Dial, simulator: Simulator) -> None:
    """It is cut in the end; meanwhile another one of the same camera gets every packet."""
    loop = asyncio.get_running_loop()
    sock = await never_reading(simulator)
    setup = f"SETUP {simulator.url()} RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP\r\n\r\n"
    await loop.sock_sendall(sock, setup.encode())
    session = (await loop.sock_recv(sock, 1000)).partition(b"Session: ")[2].partition(b";")[0].decode()
    play = f"PLAY {simulator.url()} RTSP/1.0\r\nCSeq: 2\r\nSession: {session}\r\n\r\n"
    await loop.sock_sendall(sock, play.encode())
    client = await dial(simulator)
    await client.play(simulator.url())

    numbers, seen = [], set()
    while len(seen) < 100:
        channel, packet = await client.packet()
        if channel == 0:
            numbers.append(int.from_bytes(packet[2:4], "big"))
            seen.add(packet[4:8])

    assert {1} == {later - earlier & 0xFFFF for earlier, later in itertools.pairwise(numbers)}
    assert await is_cut(sock)


@pytest.mark.usefixtures("tight")
async def test_a_client_that_asks_without_reading_is_cut(simulator: Simulator) -> None:
    """Responses do not pile up without end."""
    sock = await never_reading(simulator)
    requests = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n" * 100

    async def ask_for_ever() -> None:
        while True:
            await asyncio.get_running_loop().sock_sendall(sock, requests)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(ask_for_ever(), PATIENCE_S)
    sock.close()


async def test_silence_ends_connections(
    dial: Dial, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a session, and with one over UDP; receiver reports and viewing over TCP are no silence."""
    monkeypatch.setattr(server, "SESSION_TIMEOUT_S", 1.0)
    loop = asyncio.get_running_loop()
    idle, quiet, reporting, watching = [await dial(simulator) for _ in range(4)]
    rtcp, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
    port = rtcp.get_extra_info("sockname")[1]
    await watching.play(simulator.url())
    await quiet.play(simulator.url(), "RTP/AVP;unicast;client_port=9-10")
    await reporting.play(simulator.url(), f"RTP/AVP;unicast;client_port={port - 1}-{port}")
    *_, server_rtcp = reporting.transport.partition("server_port=")[2].partition(";")[0].split("-")

    cut = [asyncio.create_task(client.is_cut()) for client in (idle, quiet)]
    while not all(task.done() for task in cut):
        rtcp.sendto(b"\x80\xc9\0\1\0\0\0\0", ("127.0.0.1", int(server_rtcp)))
        await asyncio.wait(cut, timeout=0.2)

    assert all([await task for task in cut])
    assert (await watching.ask("OPTIONS", "*"))[0] == 200
    assert (await reporting.ask("OPTIONS", "*"))[0] == 200
    rtcp.close()


async def test_a_simulator_that_was_held_up_does_not_send_a_burst(dial: Dial, simulator: Simulator) -> None:
    """After a second without the event loop the timestamps have gone on, and no packet is missing."""
    client = await dial(simulator)
    await client.play(simulator.url())
    await client.packet()

    time.sleep(1.2)  # noqa: ASYNC251  the event loop is what is to be held up

    packets = [packet for channel, packet in [await client.packet() for _ in range(60)] if channel == 0]
    numbers = [int.from_bytes(packet[2:4], "big") for packet in packets]
    times = [int.from_bytes(packet[4:8], "big") for packet in packets]
    assert {1} == {later - earlier & 0xFFFF for earlier, later in itertools.pairwise(numbers)}
    assert max(later - earlier & 0xFFFFFFFF for earlier, later in itertools.pairwise(times)) > 45_000


async def test_a_rebooting_camera_drops_and_refuses_its_clients(dial: Dial, simulator: Simulator) -> None:
    """Clients of the others go on; once it is back, its numbers are new."""
    client, other = await dial(simulator), await dial(simulator)
    await client.play(simulator.url(1))
    await other.play(simulator.url(2))
    ssrc = client.transport.rpartition("=")[2]

    simulator.reboot(1, down_s=3600)

    assert await client.is_cut()
    again = await dial(simulator)
    again.writer.write(f"DESCRIBE {simulator.url(1)} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
    assert await again.is_cut()
    assert (await other.ask("OPTIONS", simulator.url(2)))[0] == 200

    simulator.reboot(1, down_s=0)

    client = await dial(simulator)
    await client.play(simulator.url(1))
    assert client.transport.rpartition("=")[2] != ssrc


async def test_stop_and_start_on_the_same_port(dial: Dial, simulator: Simulator) -> None:
    """Everybody is cut, nobody is let in, then all is as before."""
    client = await dial(simulator)
    await client.play(simulator.url())
    url, port = simulator.url(), simulator.port

    await simulator.stop()

    assert await client.is_cut()
    with pytest.raises(ConnectionRefusedError):
        await dial(simulator)
    await simulator.start()
    assert (simulator.url(), simulator.port) == (url, port)
    assert (await ffprobe(url, packets=3))["packets"]


async def test_a_taken_port_is_an_error(simulator: Simulator, cache: str) -> None:
    """Nothing is left behind."""
    second = Simulator(Options(port=simulator.port, picture=SMALL, cache_dir=cache))

    with pytest.raises(OSError, match="in use"):
        await second.start()


@pytest.mark.parametrize("wire", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" * 20_000])
async def test_what_is_no_rtsp_is_answered_and_closed(dial: Dial, simulator: Simulator, wire: bytes) -> None:
    """400, then the end."""
    client = await dial(simulator)
    client.writer.write(wire)

    head = await asyncio.wait_for(client.reader.readuntil(b"\r\n"), PATIENCE_S)

    assert head == b"RTSP/1.0 400 Bad Request\r\n"
    assert await client.is_cut()


async def test_connections_have_a_limit(
    dial: Dial, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One too many is closed at once, the others stay."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 1)
    client = await dial(simulator)
    assert (await client.ask("OPTIONS", "*"))[0] == 200

    assert await (await dial(simulator)).is_cut()

    assert (await client.ask("OPTIONS", "*"))[0] == 200


async def test_many_cameras_share_a_picture(dial: Dial, cache: str) -> None:
    """Past the named ones; each still has its own description and numbers."""
    options = Options(cameras=40, picture=SMALL, cache_dir=cache)
    async with Simulator(options) as simulator:
        clients = [await dial(simulator) for _ in (5, 40)]
        for client, number in zip(clients, (5, 40), strict=True):
            assert (await client.ask("DESCRIBE", simulator.url(number)))[0] == 200
            await client.play(simulator.url(number))
        packets = [(await client.packet())[1] for client in clients]
        assert (await clients[0].ask("DESCRIBE", simulator.url(41)))[0] == 404

    assert packets[0][12:] == packets[1][12:]
    assert packets[0][8:12] != packets[1][8:12]


async def test_running_until_told_to_stop(cache: str) -> None:
    """Announces the cameras, serves, and ends at a signal; of many cameras only the ends are named."""
    said: list[str] = []
    announced = asyncio.Event()

    def announce(line: str) -> None:
        said.append(line)
        if line.endswith("/cam9"):
            announced.set()

    task = asyncio.create_task(run(Options(cameras=9, picture=SMALL, cache_dir=cache), announce))
    await asyncio.wait_for(announced.wait(), PATIENCE_S)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, PATIENCE_S)

    assert [line.rpartition("/")[2] for line in said] == ["cam1", "...", "cam9"]


async def test_running_on_a_taken_port_says_so(simulator: Simulator, cache: str) -> None:
    """In one sentence for the operator."""
    with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {simulator.port}: "):
        await run(Options(port=simulator.port, picture=SMALL, cache_dir=cache))


def test_urls_of_ipv6_have_brackets() -> None:
    """RFC 3986 §3.2.2."""
    assert Simulator(Options(host="::1", port=554)).url(3) == "rtsp://[::1]:554/cam3"


async def test_it_serves_on_uvloop(cache: str) -> None:
    """As the command does, in a process of its own; SIGTERM ends it with status 0."""
    code = f"""
import uvloop
from camrelay.simulate.options import Options, Picture
from camrelay.simulate.server import run
picture = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)
uvloop.run(run(Options(cameras=1, picture=picture, cache_dir={cache!r}), lambda url: print(url, flush=True)))
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    url = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode().strip()

    for transport in ("tcp", "udp"):
        assert (await ffprobe(url, transport=transport, packets=3))["packets"]
    process.terminate()

    await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 0
