"""Looks for ONVIF devices: probes from every interface, and whatever answers in time.

The sockets are open as long as a search lasts. Nothing that is found is contacted.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from collections.abc import AsyncIterator, Collection
from ipaddress import IPv4Address

import ifaddr

from camrelay.errors import ConfigError
from camrelay.ingest.discovery import MAX_ANSWER_BYTES, MULTICAST, PORT, TYPES, Findings, Found, probe

#: Probes get lost, and devices answer up to half a second late (WS-Discovery §2.4): asked again and again.
REPEAT_S = (0.0, 0.5, 1.5)
#: Answers that wait to be read by whoever searches.
_QUEUE_LIMIT = 1_024
#: A search stays in its segment and one router further, for networks that route multicast.
_TTL = 2


def interface_addresses(name: str = "") -> list[str]:
    """The IPv4 addresses that devices could answer to: of the interface with that name, or of every one."""
    addresses = [
        ip.ip
        for adapter in ifaddr.get_adapters()
        if name in ("", adapter.name)
        for ip in adapter.ips
        if isinstance(ip.ip, str)
    ]
    return [address for address in addresses if name or not IPv4Address(address).is_loopback]


async def search(
    *, seconds: float, interfaces: Collection[str] = (), host: str = "", port: int = PORT
) -> AsyncIterator[Found]:
    """Yields each device once, as it answers, for so many seconds.

    Args:
        interfaces: IPv4 addresses of the interfaces to ask from; none means every one.
        host: the IP address of one device to ask instead of everybody; it may be in another segment.
        port: where devices listen; another one only in tests.

    Raises:
        ConfigError: no interface to ask from, or none that can be used.
    """
    loop = asyncio.get_running_loop()
    probes = {f"urn:uuid:{uuid.uuid4()}": types for types in TYPES}
    messages = [probe(id, types) for id, types in probes.items()]
    findings = Findings(frozenset(probes))
    answers: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue(_QUEUE_LIMIT)
    async with contextlib.AsyncExitStack() as stack:
        ears = _open_unicast(host) if host else _open_multicast(interfaces or interface_addresses())
        transports = []
        for ear in ears:
            transport, _ = await loop.create_datagram_endpoint(lambda: _Ear(answers), sock=ear)
            stack.callback(transport.close)
            transports.append(transport)
        asking = asyncio.create_task(_ask(transports, messages, (host or str(MULTICAST), port)))
        stack.callback(asking.cancel)
        deadline = loop.time() + seconds
        while (left_s := deadline - loop.time()) > 0:
            try:
                data, address = await asyncio.wait_for(answers.get(), left_s)
            except TimeoutError:
                return
            for found in findings.take(data, address):
                yield found


async def _ask(
    transports: list[asyncio.DatagramTransport], messages: list[bytes], to: tuple[str, int]
) -> None:
    waited_s = 0.0
    for at_s in REPEAT_S:
        await asyncio.sleep(at_s - waited_s)
        waited_s = at_s
        for transport in transports:
            for message in messages:
                transport.sendto(message, to)


def _open_multicast(addresses: Collection[str]) -> list[socket.socket]:
    sockets = []
    for address in addresses:
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _TTL)
            ear.bind((address, 0))
        except OSError:
            ear.close()
            continue
        sockets.append(ear)
    if not sockets:
        raise ConfigError(
            "there is no network interface to search from",
            hint="name the camera's address instead: --host 192.168.1.64",
        )
    return sockets


def _open_unicast(host: str) -> list[socket.socket]:
    return [socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)]


class _Ear(asyncio.DatagramProtocol):
    """Queues what arrives; what the queue cannot take is lost, as datagrams are."""

    def __init__(self, answers: asyncio.Queue[tuple[bytes, str]]) -> None:
        self._answers = answers

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if len(data) <= MAX_ANSWER_BYTES and not self._answers.full():
            # A link-local address comes with its interface, as in "fe80::1%eth0".
            self._answers.put_nowait((data, address[0].partition("%")[0]))

    def error_received(self, error: Exception) -> None:
        """An interface without a way out, or a host without a device: nobody answers, and that is all."""
