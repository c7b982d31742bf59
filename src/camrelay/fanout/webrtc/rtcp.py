"""RTCP compound packets: what viewers report is parsed, what the relay reports is built.

RFC 3550 §6, with the feedback messages of RFC 4585 (NACK, PLI) and RFC 5104 (FIR). Everything a viewer may
send and the relay has no use for is skipped, however long; only broken framing is an error.
"""

from __future__ import annotations

from struct import pack, unpack_from

import msgspec

from camrelay.errors import BadRtpPacket

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206
_NACK = 1
_PLI, _FIR = 1, 4
_CNAME = 1

#: Seconds from the NTP epoch (1900) to the Unix epoch.
_NTP_UNIX_S = 2_208_988_800

#: More than the packets of a 1 MB key frame; whoever misses that much needs a key frame, not packets.
MAX_NACKED = 1024


class Report(msgspec.Struct, frozen=True):
    """A reception report block on one of our streams (RFC 3550 §6.4.1); `fraction_lost` is in 1/256."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest: int


class Nack(msgspec.Struct, frozen=True):
    """Sequence numbers (16 bit) the viewer misses (RFC 4585 §6.2.1)."""

    ssrc: int
    sequences: tuple[int, ...]


class KeyFrameRequest(msgspec.Struct, frozen=True):
    """PLI or FIR: the viewer's decoder has lost its way (RFC 4585 §6.3.1, RFC 5104 §4.3.1)."""

    ssrc: int


class Bye(msgspec.Struct, frozen=True):
    """The viewer leaves (RFC 3550 §6.6)."""


Feedback = Report | Nack | KeyFrameRequest | Bye


def parse(data: bytes) -> list[Feedback]:
    """What a viewer says in a compound or reduced-size packet (RFC 5506).

    Raises:
        BadRtpPacket: a length or the version is wrong; nothing of the datagram is to be believed then.
    """
    found: list[Feedback] = []
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            raise BadRtpPacket("an RTCP header is cut off")
        first, kind, words = unpack_from("!BBH", data, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise BadRtpPacket("an RTCP header has a wrong version or length")
        body = data[at + 4 : end]
        if first & 0x20:
            if not body or not 0 < body[-1] <= len(body):
                raise BadRtpPacket("RTCP padding is longer than its packet")
            body = body[: -body[-1]]
        found += _feedback(kind, first & 0x1F, body)
        at = end
    return found


def _feedback(kind: int, count: int, body: bytes) -> list[Feedback]:
    if kind == RR:
        return _reports(body[4:], count)
    if kind == SR:
        return _reports(body[24:], count)
    if kind == BYE:
        return [Bye()]
    if kind == RTPFB and count == _NACK and len(body) >= 8:
        return [Nack(int.from_bytes(body[4:8]), _nacked(body[8:]))]
    if kind == PSFB and count == _PLI and len(body) >= 8:
        return [KeyFrameRequest(int.from_bytes(body[4:8]))]
    if kind == PSFB and count == _FIR:
        # A FIR names its streams in its entries, not in the header (RFC 5104 §4.3.1.1).
        return [KeyFrameRequest(int.from_bytes(body[at : at + 4])) for at in range(8, len(body) - 7, 8)]
    return []


def _reports(blocks: bytes, count: int) -> list[Feedback]:
    if len(blocks) < 24 * count:
        raise BadRtpPacket("an RTCP report has fewer blocks than it says")
    found: list[Feedback] = []
    for at in range(0, 24 * count, 24):
        ssrc, loss, highest = unpack_from("!III", blocks, at)
        # The cumulative loss is a signed 24-bit number: duplicates make it negative.
        lost = (loss & 0xFFFFFF ^ 0x800000) - 0x800000
        found.append(Report(ssrc, loss >> 24, lost, highest))
    return found


def _nacked(entries: bytes) -> tuple[int, ...]:
    """Each entry is a sequence number with a bit mask of the sixteen after it."""
    sequences: list[int] = []
    for at in range(0, len(entries) - 3, 4):
        first, mask = unpack_from("!HH", entries, at)
        sequences.append(first)
        sequences += [first + 1 + bit & 0xFFFF for bit in range(16) if mask >> bit & 1]
        if len(sequences) > MAX_NACKED:
            raise BadRtpPacket("a NACK names too many packets")
    return tuple(sequences)


def sender_report(
    ssrc: int, cname: bytes, *, now_us: int, timestamp: int, packets: int, octets: int
) -> bytes:
    """SR and SDES in one compound packet (RFC 3550 §6.4.1, §6.5).

    Args:
        now_us: UTC microseconds.
        timestamp: what the RTP clock shows at that moment.
        packets: sent on this SSRC, retransmissions included.
        octets: of their payloads.
    """
    seconds, rest_us = divmod(now_us, 1_000_000)
    report = pack(
        "!BBHIIIIII",
        0x80,
        SR,
        6,
        ssrc,
        seconds + _NTP_UNIX_S & 0xFFFFFFFF,
        (rest_us << 32) // 1_000_000,
        timestamp & 0xFFFFFFFF,
        packets & 0xFFFFFFFF,
        octets & 0xFFFFFFFF,
    )
    return report + _description(ssrc, cname)


def goodbye(ssrc: int, cname: bytes) -> bytes:
    """An empty RR, SDES and BYE: a BYE may not stand alone (RFC 3550 §6.1)."""
    return pack("!BBHI", 0x80, RR, 1, ssrc) + _description(ssrc, cname) + pack("!BBHI", 0x81, BYE, 1, ssrc)


def _description(ssrc: int, cname: bytes) -> bytes:
    items = bytes((_CNAME, len(cname))) + cname
    # At least one zero ends the list of items, and it ends on a word (RFC 3550 §6.5).
    chunk = ssrc.to_bytes(4) + items + bytes(4 - len(items) % 4)
    return pack("!BBH", 0x81, SDES, len(chunk) // 4) + chunk
