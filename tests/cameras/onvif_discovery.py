"""A device that answers WS-Discovery, as honestly as a test wants."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator

from camrelay.ingest.search import interface_addresses

MULTICAST = "239.255.255.250"

ANSWER = """<?xml version="1.0" encoding="UTF-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope"
 xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" xmlns:dn="http://www.onvif.org/ver10/network/wsdl">
<SOAP-ENV:Header><wsa:RelatesTo>{relates_to}</wsa:RelatesTo></SOAP-ENV:Header>
<SOAP-ENV:Body><d:ProbeMatches><d:ProbeMatch>
<wsa:EndpointReference><wsa:Address>urn:uuid:{number}</wsa:Address></wsa:EndpointReference>
<d:Types>{types}</d:Types><d:Scopes>{scopes}</d:Scopes><d:XAddrs>{xaddrs}</d:XAddrs>
</d:ProbeMatch></d:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>"""

SCOPES = (
    "onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/Front%20Door "
    "onvif://www.onvif.org/hardware/CAM-2 onvif://www.onvif.org/location/Gate"
)


def answer(
    relates_to: str,
    *,
    xaddrs: str = "http://127.0.0.1/onvif/device_service",
    scopes: str = SCOPES,
    types: str = "dn:NetworkVideoTransmitter",
    number: int = 1,
) -> bytes:
    """A ProbeMatches message."""
    return ANSWER.format(
        relates_to=relates_to, xaddrs=xaddrs, scopes=scopes, types=types, number=number
    ).encode()


class Discoverable(asyncio.DatagramProtocol):
    """Listens for probes on a port of its own, by multicast and directly; use as a context manager.

    Args:
        xaddrs: what it says of itself.
        only_for: it answers only probes for this type, None for any.
        deaf_to: how many probes it misses first.
        forged: how many made-up devices it names beside itself, each in an answer of its own.
        port: where to listen; 0 takes a free one.
        interface: the address of the one it is reached by, "" for every one that devices are searched from.

    Attributes:
        port: where it listens.
        probes: what it heard.
    """

    def __init__(
        self,
        xaddrs: str,
        *,
        only_for: str | None = None,
        deaf_to: int = 0,
        forged: int = 0,
        port: int = 0,
        interface: str = "127.0.0.1",
    ) -> None:
        self.port = port
        self.probes: list[str] = []
        self._xaddrs = xaddrs
        self._only_for = only_for
        self._deaf_to = deaf_to
        self._forged = forged
        self._interfaces = [interface] if interface else interface_addresses()

    async def __aenter__(self) -> Discoverable:
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(("0.0.0.0", self.port))
        for address in self._interfaces:
            membership = socket.inet_aton(MULTICAST) + socket.inet_aton(address)
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        self.port = ear.getsockname()[1]
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=ear)
        # Whichever way a probe came, the device is on loopback, and that is where its answer comes from.
        self._mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._mouth.bind(("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()
        self._mouth.close()

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        text = data.decode()
        self.probes.append(text)
        types = re.search(r"<d:Types>(.*?)</d:Types>", text)
        if len(self.probes) <= self._deaf_to:
            return
        if self._only_for is None or self._only_for == (types[1] if types else ""):
            for message in self._answers(text):
                self._mouth.sendto(message, address)

    def _answers(self, probe: str) -> Iterator[bytes]:
        found = re.search(r"MessageID>(urn:uuid:[0-9a-f-]{36})<", probe)
        assert found, "a probe has an id"
        yield answer(found[1], xaddrs=self._xaddrs)
        for number in range(self._forged):
            yield answer(found[1], xaddrs=f"http://127.0.0.1/{number}", number=number)
