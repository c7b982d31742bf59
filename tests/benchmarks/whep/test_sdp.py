"""The offer and what is read from answers."""

from __future__ import annotations

import aiortc.sdp
import pytest

from benchmarks.whep import sdp

ANSWER = """\
v=0
m=video 9 UDP/TLS/RTP/SAVPF 96
a=ice-ufrag:abcd
a=ice-pwd:secret
a=fingerprint:SHA-256 AA:BB
a=setup:passive
a=candidate:1 1 UDP 2130706431 192.0.2.7 5000 typ host
a=candidate:2 1 udp 2130706431 127.0.0.1 8189 typ host
a=candidate:3 1 tcp 2130706431 127.0.0.1 8189 typ host tcptype passive
a=candidate:4 1 udp 2130706431 ::1 8189 typ host
"""


def test_another_parser_reads_the_offer() -> None:
    """One section that only receives H.264, mode 1, with RTX, and everything known at once."""
    text = sdp.offer(ufrag="u", password="p" * 22, fingerprint="AA:BB", address=("127.0.0.1", 4000))
    found = aiortc.sdp.SessionDescription.parse(text)
    (media,) = found.media
    assert (media.kind, media.direction, media.rtcp_mux) == ("video", "recvonly", True)
    codecs, repairs = media.rtp.codecs[::2], media.rtp.codecs[1::2]
    assert [codec.payloadType for codec in codecs] == list(sdp.PAYLOAD_TYPES)
    assert all(codec.parameters["packetization-mode"] == "1" for codec in codecs)
    assert [repair.parameters["apt"] for repair in repairs] == list(sdp.PAYLOAD_TYPES)
    assert [(c.ip, c.port) for c in media.ice_candidates] == [("127.0.0.1", 4000)]
    assert media.ice_candidates_complete


def test_an_answer_gives_what_a_viewer_needs() -> None:
    """Loopback first, UDP over IPv4 only."""
    answer = sdp.parse_answer(ANSWER.replace("\n", "\r\n"))
    assert (answer.ufrag, answer.password, answer.fingerprint) == ("abcd", "secret", "AA:BB")
    assert answer.is_dtls_server
    assert answer.candidates == (("127.0.0.1", 8189), ("192.0.2.7", 5000))


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (ANSWER.replace("m=video 9", "m=video 0"), "rejects"),
        (ANSWER.replace("a=ice-pwd", "a=other"), "ice-pwd"),
        (ANSWER.replace("SHA-256", "sha-1"), "fingerprint"),
        (ANSWER.replace("udp", "tcp").replace("UDP 2", "TCP 2"), "candidate"),
    ],
)
def test_an_answer_without_it_is_refused(broken: str, why: str) -> None:
    """The reason is fit for a table of failures."""
    with pytest.raises(sdp.BadAnswer, match=why):
        sdp.parse_answer(broken)
