"""The port: who gets which datagram, and how a run goes out."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aioice import stun

from camrelay.errors import ConfigError
from camrelay.fanout.webrtc.ice import Address
from camrelay.fanout.webrtc.rtp import PAYLOAD_BYTES, PacketFormat, Packets
from camrelay.fanout.webrtc.slots import Run, Slots
from camrelay.fanout.webrtc.udp import READS_PER_TURN, Port

LIMIT_S = 5.0


class RecordingSession:
    """Keeps what the port gives it."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.address: Address = ("", 0)

    def receive_check(self, data: bytes, address: Address) -> None:
        self.address = address
        self.got.put_nowait(("check", data))

    def receive_dtls(self, data: bytes) -> None:
        self.got.put_nowait(("dtls", data))

    def receive_rtcp(self, data: bytes) -> None:
        self.got.put_nowait(("rtcp", data))

    async def next(self) -> tuple[str, bytes]:
        return await asyncio.wait_for(self.got.get(), LIMIT_S)


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    opened = Port("127.0.0.1:0")
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def viewer() -> Any:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(LIMIT_S)
        yield udp


def check(ufrag: str = "ours") -> bytes:
    return bytes(
        stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes={"USERNAME": f"{ufrag}:theirs"})
    )


def make_run(packets: int = 3, *, starts_short: bool = False) -> Run:
    payloads = (bytes(10),) * starts_short + (bytes(PAYLOAD_BYTES),) * (packets - 1) + (bytes(10),)
    return Slots(12, 16).lay(PacketFormat(7, 102), Packets(0, 0, 0, payloads, False), 0, len(payloads))


def send_run(port: Port, run: Run, address: Address) -> None:
    """As the caster does it."""
    try:
        port.sending(run)(address)
    except BlockingIOError:
        raise
    except OSError as error:
        port.forgive(error, run, address)


async def receive(udp: socket.socket) -> bytes:
    return await asyncio.to_thread(udp.recv, 65536)


async def test_checks_find_their_session_by_name(port: Port, viewer: socket.socket) -> None:
    """From any address, because that is what they are there to prove."""
    session = RecordingSession()
    port.register("ours", session)
    data = check()

    viewer.sendto(check("other"), ("127.0.0.1", port.number))
    viewer.sendto(data, ("127.0.0.1", port.number))

    assert await session.next() == ("check", data)
    assert session.address == viewer.getsockname()
    assert session.got.empty()


async def test_everything_else_finds_its_session_by_a_proven_address(
    port: Port, viewer: socket.socket
) -> None:
    """DTLS and RTCP by their first bytes (RFC 7983); noise, RTP and strangers are dropped."""
    session = RecordingSession()
    address = viewer.getsockname()
    dtls, rtcp = b"\x16dtls", b"\x80\xc9rtcp"
    port.prove(address, session)

    for data in (b"", b"\x00", b"\x04", b"\x50", b"\xff\xff", b"\x80", b"\x80\x66rtp", dtls, rtcp):
        viewer.sendto(data, ("127.0.0.1", port.number))

    assert await session.next() == ("dtls", dtls)
    assert await session.next() == ("rtcp", rtcp)


async def test_an_address_that_changed_hands_stays_with_the_new_session(
    port: Port, viewer: socket.socket
) -> None:
    """NATs give ports to somebody else: the session that had it before cannot take it away."""
    old, new = RecordingSession(), RecordingSession()
    address = viewer.getsockname()
    port.prove(address, old)
    port.prove(address, new)
    port.disprove(address, old)

    viewer.sendto(b"\x16", ("127.0.0.1", port.number))
    assert await new.next() == ("dtls", b"\x16")

    port.disprove(address, new)
    port.register("ours", new)
    port.unregister("ours")
    viewer.sendto(check(), ("127.0.0.1", port.number))
    viewer.sendto(b"\x16", ("127.0.0.1", port.number))
    port.register("theirs", new)
    viewer.sendto(last := check("theirs"), ("127.0.0.1", port.number))
    assert await new.next() == ("check", last)


async def test_a_flood_does_not_hold_the_event_loop(port: Port, viewer: socket.socket) -> None:
    """However much is waiting, other callbacks run in between."""
    session = RecordingSession()
    port.prove(viewer.getsockname(), session)
    for _ in range(2 * READS_PER_TURN):
        viewer.sendto(b"\x16", ("127.0.0.1", port.number))
    sizes = []

    while session.got.qsize() < 2 * READS_PER_TURN:
        await asyncio.sleep(0)
        sizes.append(session.got.qsize())

    assert READS_PER_TURN in sizes


@pytest.mark.parametrize("use_gso", [True, False])
async def test_a_run_arrives_as_its_packets(viewer: socket.socket, use_gso: bool) -> None:
    """Cut by the kernel, or one by one where it cannot."""
    port = Port("127.0.0.1:0", use_gso=use_gso)
    port.open()

    for packets in (1, 3):
        run = make_run(packets)
        send_run(port, run, viewer.getsockname())
        arrived = [await receive(viewer) for _ in range(packets)]
        assert b"".join(arrived) == bytes(run.datagrams)
        assert {len(data) for data in arrived[:-1]} <= {run.slot_bytes}
    port.close()


@pytest.mark.parametrize("use_gso", [True, False])
async def test_short_packets_in_a_run_stay_datagrams_of_their_own(
    viewer: socket.socket, use_gso: bool
) -> None:
    """An SEI before a picture does not fill its slot; nothing of the rest of the slot is sent."""
    port = Port("127.0.0.1:0", use_gso=use_gso)
    port.open()

    run = make_run(3, starts_short=True)
    send_run(port, run, viewer.getsockname())

    assert [len(await receive(viewer)) for _ in range(4)] == [38, run.slot_bytes, run.slot_bytes, 38]
    port.close()


class StubbornSocket:
    """A real socket but for its sending, which fails as it is told."""

    def __init__(self, real: socket.socket, **failures: list[OSError | None]) -> None:
        self._real = real
        self._failures = failures

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        failures = self._failures.get(name)
        if failures is None:
            return real

        def call(*args: Any) -> Any:
            error = failures.pop(0) if failures else None
            if error is not None:
                raise error
            return real(*args)

        return call


def spoil(port: Port, **failures: list[OSError | None]) -> None:
    assert port._socket is not None
    port._socket = StubbornSocket(port._socket, **failures)  # type: ignore[assignment]


async def test_a_device_that_cannot_segment_is_noticed_once(port: Port, viewer: socket.socket) -> None:
    """EIO from the first try: this run and all later ones go packet by packet."""
    spoil(port, sendmsg=[OSError(errno.EIO, ""), OSError(errno.ENOMEM, "never asked again")])

    for _ in range(2):
        run = make_run(3)
        send_run(port, run, viewer.getsockname())
        assert b"".join([await receive(viewer) for _ in range(3)]) == bytes(run.datagrams)


async def test_a_full_socket_is_told(port: Port, viewer: socket.socket) -> None:
    """With segmentation and without. The caller sends the run again; who has a packet twice drops one."""
    spoil(port, sendmsg=[BlockingIOError()], sendto=[None, BlockingIOError()])
    with pytest.raises(BlockingIOError):
        send_run(port, make_run(3), viewer.getsockname())

    port._has_gso = False
    with pytest.raises(BlockingIOError):
        send_run(port, run := make_run(3), viewer.getsockname())

    assert await receive(viewer) == bytes(run.datagrams[: run.slot_bytes])


async def test_a_viewer_that_cannot_be_reached_is_a_loss(port: Port, viewer: socket.socket) -> None:
    """No route, a firewall: nobody else is hurt, and consent will end it."""
    unreachable = OSError(errno.EHOSTUNREACH, "")
    spoil(port, sendmsg=[unreachable], sendto=[unreachable, unreachable, unreachable, None, unreachable])

    send_run(port, make_run(3), viewer.getsockname())
    send_run(port, make_run(1), viewer.getsockname())
    port.send(b"lost", viewer.getsockname())
    port._has_gso = False
    send_run(port, run := make_run(3), viewer.getsockname())
    port.send(b"there", viewer.getsockname())

    assert await receive(viewer) == bytes(run.datagrams[run.slot_bytes : 2 * run.slot_bytes])
    assert await receive(viewer) == b"there"


async def test_a_socket_with_room_is_writable_at_once(port: Port) -> None:
    """Several may wait for it; a later wait is a new one."""
    await asyncio.wait_for(asyncio.gather(port.writable(), port.writable()), LIMIT_S)
    await asyncio.wait_for(port.writable(), LIMIT_S)


async def test_an_error_of_an_earlier_datagram_is_read_away(port: Port, viewer: socket.socket) -> None:
    """ICMP says something about the past, not about the next datagram."""
    session = RecordingSession()
    port.prove(viewer.getsockname(), session)
    spoil(port, recvfrom=[OSError(errno.ECONNREFUSED, "")])

    viewer.sendto(b"\x16", ("127.0.0.1", port.number))

    assert await session.next() == ("dtls", b"\x16")


async def test_a_port_closed_by_what_it_read_reads_no_more(port: Port, viewer: socket.socket) -> None:
    """The last viewer may leave with the datagram that is being dispatched."""
    session, closed = RecordingSession(), asyncio.Event()

    def close(_: bytes) -> None:
        port.close()
        closed.set()

    session.receive_dtls = close  # type: ignore[method-assign]
    port.prove(viewer.getsockname(), session)
    number = port.number

    for _ in range(3):
        viewer.sendto(b"\x16", ("127.0.0.1", number))
    await asyncio.wait_for(closed.wait(), LIMIT_S)


async def test_a_kernel_without_segmentation_is_noticed_at_the_start(
    viewer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux before 4.18 does not know the option."""

    class OldSocket(socket.socket):
        def setsockopt(self, level: int, option: int, *value: Any) -> None:
            if level == socket.IPPROTO_UDP:
                raise OSError(errno.ENOPROTOOPT, "")
            super().setsockopt(level, option, *value)

    monkeypatch.setattr("camrelay.fanout.webrtc.udp.socket.socket", OldSocket)
    port = Port("127.0.0.1:0")
    port.open()
    spoil(port, sendmsg=[AssertionError("not to be used")])  # type: ignore[list-item]

    send_run(port, make_run(2), viewer.getsockname())

    assert len(await receive(viewer)) == make_run(2).slot_bytes
    port.close()


async def test_dual_stack() -> None:
    """One socket on [::] takes IPv4 as well."""
    port = Port("[::]:0")
    port.open()
    session = RecordingSession()
    port.register("ours", session)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as viewer:
        viewer.sendto(check(), ("127.0.0.1", port.number))
        await session.next()

    assert session.address[0] == "::ffff:127.0.0.1"
    port.close()
    port.close()


@pytest.mark.parametrize(("listen", "found"), [("127.0.0.1:0", ["127.0.0.1"]), ("[::1]:0", ["::1"])])
def test_a_bound_address_is_the_one_to_try(listen: str, found: list[str]) -> None:
    """Others would not answer."""
    assert Port(listen).hosts() == found


def test_every_interface_but_loopback_is_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback only where there is nothing else."""
    addresses = ["192.0.2.1"]
    monkeypatch.setattr("camrelay.fanout.webrtc.udp.get_host_addresses", lambda **_: addresses)

    assert Port("0.0.0.0:0").hosts() == ["192.0.2.1"]
    addresses.clear()
    assert Port("[::]:0").hosts() == ["127.0.0.1"]


async def test_a_taken_port_is_the_operator_s_error(port: Port) -> None:
    """And says which."""
    with pytest.raises(ConfigError, match=f"UDP 127.0.0.1:{port.number}"):
        Port(f"127.0.0.1:{port.number}").open()
