"""The offer every simulated viewer makes, and what it needs from the answer."""

from __future__ import annotations

import re
from typing import NamedTuple

#: H.264 packetization-mode 1 in the profiles browsers offer, plus High as Safari does (RFC 6184 §8.1).
PAYLOAD_TYPES = {96: "42e01f", 97: "42001f", 98: "4d001f", 99: "640c1f"}

#: From a payload type to that of its retransmissions (RFC 4588), which every browser offers.
_RTX_OFFSET = 10


class BadAnswer(Exception):
    """An answer without what a viewer needs."""


class Answer(NamedTuple):
    """The server's side: ICE credentials, DTLS role and fingerprint, candidates as (address, port)."""

    ufrag: str
    password: str
    fingerprint: str
    is_dtls_server: bool
    candidates: tuple[tuple[str, int], ...]


def offer(*, ufrag: str, password: str, fingerprint: str, address: tuple[str, int]) -> str:
    """A WHEP offer: one video section, receive only, one host candidate, all of it known (no trickling)."""
    kinds = " ".join(f"{kind} {kind + _RTX_OFFSET}" for kind in PAYLOAD_TYPES)
    lines = [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        f"m=video {address[1]} UDP/TLS/RTP/SAVPF {kinds}",
        f"c=IN IP4 {address[0]}",
        "a=rtcp:9 IN IP4 0.0.0.0",
        f"a=candidate:1 1 udp 2130706431 {address[0]} {address[1]} typ host",
        "a=end-of-candidates",
        f"a=ice-ufrag:{ufrag}",
        f"a=ice-pwd:{password}",
        f"a=fingerprint:sha-256 {fingerprint}",
        "a=setup:actpass",
        "a=mid:0",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtcp-rsize",
    ]
    for kind, profile in PAYLOAD_TYPES.items():
        lines += [
            f"a=rtpmap:{kind} H264/90000",
            f"a=rtcp-fb:{kind} ccm fir",
            f"a=rtcp-fb:{kind} nack",
            f"a=rtcp-fb:{kind} nack pli",
            f"a=fmtp:{kind} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}",
            f"a=rtpmap:{kind + _RTX_OFFSET} rtx/90000",
            f"a=fmtp:{kind + _RTX_OFFSET} apt={kind}",
        ]
    return "\r\n".join(lines) + "\r\n"


def parse_answer(text: str) -> Answer:
    """Reads an answer.

    Raises:
        BadAnswer: something is missing, or the section was rejected.
    """

    def value(name: str) -> str:
        found = re.search(rf"^a={name}:(\S+)", text, re.MULTILINE)
        if not found:
            raise BadAnswer(f"the answer has no {name}")
        return found[1]

    if re.search(r"^m=video 0 ", text, re.MULTILINE):
        raise BadAnswer("the answer rejects the video section")
    fingerprint = re.search(r"^a=fingerprint:sha-256 (\S+)", text, re.MULTILINE | re.IGNORECASE)
    if not fingerprint:
        raise BadAnswer("the answer has no SHA-256 fingerprint")
    found = re.findall(r"^a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host", text, re.M | re.I)
    # Loopback first: benchmarks never leave the machine when they need not.
    candidates = sorted(((ip, int(port)) for ip, port in found), key=lambda c: not c[0].startswith("127."))
    if not candidates:
        raise BadAnswer("the answer has no IPv4 UDP host candidate")
    return Answer(
        ufrag=value("ice-ufrag"),
        password=value("ice-pwd"),
        fingerprint=fingerprint[1],
        is_dtls_server=value("setup") == "passive",
        candidates=tuple(candidates),
    )
