"""WS-Discovery: what is asked of a network to find ONVIF devices, and what its answers say (ONVIF Core §7.3).

Anybody on the network may answer, with anything. So an answer is a hint and no more: it must answer a probe
of ours, it is bounded in every direction, and the address that counts is the one it came from.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from camrelay.errors import BadAnswer
from camrelay.ingest.device import bracketed, printable
from camrelay.ingest.soap import parse

MULTICAST = IPv4Address("239.255.255.250")
PORT = 3702

#: A device with every scope there is answers in 4 KB.
MAX_ANSWER_BYTES = 16 * 1024
#: More than one network segment holds; a list beyond it is for nobody to read.
MAX_FOUND = 256
#: Recorders answer once for each channel; what answers more often forges.
MAX_FOUND_PER_ADDRESS = 16
#: Answers looked at in one search: each probe asks thrice, and both types.
MAX_ANSWERS = 4_096

#: Many devices answer only one of the two (§7.3.2.1); some answer neither when both stand in one message.
TYPES = ("", "dn:NetworkVideoTransmitter")

_PROBE = """<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" \
xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" \
xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" \
xmlns:dn="http://www.onvif.org/ver10/network/wsdl">\
<s:Header><a:Action s:mustUnderstand="1">http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>\
<a:MessageID>{id}</a:MessageID>\
<a:ReplyTo><a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo>\
<a:To s:mustUnderstand="1">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To></s:Header>\
<s:Body><d:Probe>{types}</d:Probe></s:Body></s:Envelope>"""

#: RFC 3986 §3.3.
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]{0,255}")
_SCOPE = re.compile(r"onvif://www\.onvif\.org/(name|hardware|location)/(.*)", re.IGNORECASE)


class Found(msgspec.Struct, frozen=True):
    """A device that answered. `host` is where the answer came from, an IP address.

    `xaddr` is the URL of its device service, always at `host`. `name`, `hardware` and `location` are its own
    words, cut and printable, "" when it does not say. `is_onvif` is False when it does not claim to be a
    camera: printers answer too.
    """

    host: str
    port: int
    xaddr: str
    name: str = ""
    hardware: str = ""
    location: str = ""
    is_onvif: bool = True


class Match(NamedTuple):
    """One ProbeMatch as it was sent."""

    types: str
    scopes: str
    xaddrs: str


class Answer(NamedTuple):
    """A ProbeMatches message: the probe it answers, and its matches."""

    relates_to: str
    matches: tuple[Match, ...]


def probe(id: str, types: str) -> bytes:
    """A Probe message.

    Args:
        id: its MessageID, "urn:uuid:" and a random UUID.
        types: one of TYPES.
    """
    return _PROBE.format(id=id, types=f"<d:Types>{types}</d:Types>" if types else "").encode()


def parse_answer(data: bytes) -> Answer | None:
    """Reads a datagram, None when it is no ProbeMatches message or breaks a limit."""
    if len(data) > MAX_ANSWER_BYTES:
        return None
    try:
        envelope = parse(data)
    except BadAnswer:
        return None
    matches = envelope.find("Body", "ProbeMatches")
    if matches is None:
        return None
    return Answer(
        envelope.at("Header", "RelatesTo"),
        tuple(
            Match(match.at("Types"), match.at("Scopes"), match.at("XAddrs"))
            for match in matches.all("ProbeMatch")
        ),
    )


class Findings:
    """Everything found by one search, each device once.

    Args:
        ids: the MessageIDs of its probes; answers to others do not count.
    """

    def __init__(self, ids: frozenset[str]) -> None:
        self._ids = ids
        self._found: dict[tuple[str, str], Found] = {}
        self._answers = 0

    def take(self, data: bytes, address: str) -> list[Found]:
        """Reads one datagram from `address` and returns the devices that are new."""
        self._answers += 1
        held = sum(host == address for host, _ in self._found)
        if self._answers > MAX_ANSWERS or held >= MAX_FOUND_PER_ADDRESS:
            return []
        answer = parse_answer(data)
        if answer is None or answer.relates_to not in self._ids:
            return []
        new = []
        for match in answer.matches[: MAX_FOUND_PER_ADDRESS - held]:
            found = _found(match, address)
            if found is None or (address, found.xaddr) in self._found or len(self._found) >= MAX_FOUND:
                continue
            self._found[address, found.xaddr] = found
            new.append(found)
        return new


def _found(match: Match, address: str) -> Found | None:
    """What a match says, None when it names no service that can be reached."""
    candidates = [place for place in map(_service, match.xaddrs.split()[:16]) if place is not None]
    if not candidates:
        return None
    # The one it has on the side it answered from; else the first, which is then a port and a path at `host`.
    scheme, _, port, path = next((c for c in candidates if c[1] == address), candidates[0])
    scopes: dict[str, str] = {}
    for scope in match.scopes.split()[:64]:
        if matched := _SCOPE.fullmatch(scope):
            scopes.setdefault(matched[1].lower(), printable(unquote(matched[2])))
    return Found(
        host=address,
        port=port,
        xaddr=f"{scheme}://{bracketed(address)}:{port}{path}",
        is_onvif="NetworkVideoTransmitter" in match.types or bool(scopes),
        **scopes,
    )


def _service(xaddr: str) -> tuple[str, str, int, str] | None:
    """Scheme, host, port and path of an XAddr."""
    try:
        parts = urlsplit(xaddr)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    path = parts.path or "/"
    return (parts.scheme, parts.hostname or "", port, path) if _PATH.fullmatch(path) else None
