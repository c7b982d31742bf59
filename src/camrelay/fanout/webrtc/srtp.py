"""SRTP and SRTCP for what the relay sends to one viewer, and SRTCP for what it gets back.

The encryption is libsrtp's, on both profiles: AEAD_AES_128_GCM (RFC 7714), and AES128_CM_HMAC_SHA1_80 (RFC
3711) for browsers that have nothing better. Rules of this file:

* No two plaintexts under one (SSRC, rollover, sequence): under GCM that gives the authentication key away.
  A stream refuses an index that is not above all before it, or so far above that libsrtp would miscount the
  rollovers, and repeats only packets it remembers itself.
* What does not depend on the viewer was done before, once per run of packets (slots.py).
"""

from __future__ import annotations

from collections import deque
from typing import Final

import pylibsrtp

# The package's own way copies each packet three times, and takes four times as long.
from pylibsrtp._binding import lib  # type: ignore[import-not-found]

from camrelay.errors import BadRtpPacket
from camrelay.fanout.webrtc.rtp import PacketFormat, Packets
from camrelay.fanout.webrtc.slots import Run

#: OpenSSL's names of the protection profiles.
AEAD_AES_128_GCM: Final = b"SRTP_AEAD_AES_128_GCM"
AES128_CM_SHA1_80: Final = b"SRTP_AES128_CM_SHA1_80"

#: Of each profile: libsrtp's number, and the bytes of its salt and of its tag.
_PROFILES = {
    AEAD_AES_128_GCM: (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 12, 16),
    AES128_CM_SHA1_80: (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 14, 10),
}
_KEY_BYTES = 16

#: libsrtp takes a number further ahead for one that is behind (RFC 3711 §3.3.1).
_MAX_GAP = 1 << 14

#: Above every extended sequence number.
_NEVER = 1 << 62

#: How many packets back one may be repeated. libsrtp has a bit for each and moves them all with every packet,
#: so viewers that need no repeats, because they have RTX, get few: a run that found the socket full. For the
#: others it is 4 s at 2 Mb/s, and a fifth of the time that the larger windows of libsrtp would take.
_WINDOW, _WINDOW_OF_REPEATS = 128, 1024

#: A viewer reports from one SSRC; a few more for those that send one per media section.
_RTCP_SOURCES = 8

_protect = lib.srtp_protect


class Stream:
    """One SSRC towards one viewer.

    Args:
        session: with the viewer's keys.
        form: of its headers.
        keep_ticks: how long, in ticks of 90 kHz, packets are remembered for `again`.
    """

    def __init__(self, session: pylibsrtp.Session, form: PacketFormat, keep_ticks: int) -> None:
        self.form = form
        #: The lowest extended sequence number that may still be used, the next one once started.
        self.next = 0
        #: By how much its numbers are above those of the runs that it is given.
        self.ahead = 0
        #: Packets protected so far.
        self.count = 0
        self._session = session
        self._handle = session._srtp[0]
        self._keep_ticks = keep_ticks
        self._sent: deque[Packets] = deque()

    @property
    def last_timestamp(self) -> int:
        """Of the newest packet, -1 before the first."""
        return self._sent[-1].timestamp if self._sent else -1

    def protect(self, run: Run) -> None:
        """Encrypts a run into its datagrams, under this stream's own numbers.

        Raises:
            ValueError: a sequence number would be used twice, or libsrtp refuses.
        """
        first = run.first + self.ahead
        if first != self.next:
            self._skip_to(first)
        self.next = first + run.count
        self.count += run.count
        if run.starts:
            sent = self._sent
            packets = run.packets
            oldest = packets.timestamp - self._keep_ticks
            if self.ahead:
                packets = packets.renumbered(first, packets.timestamp, packets.send_time)
            sent.append(packets)
            while sent[0].timestamp < oldest:
                sent.popleft()
        run.datagrams[:] = run.plain
        run.lengths[:] = run.plain_lengths
        if self.ahead:
            run.number(first)
        handle = self._handle
        for datagram, length in run.places:
            if _protect(handle, datagram, length):
                raise ValueError("libsrtp refuses a packet")

    def protect_packet(self, header: bytes, payload: bytes, index: int) -> bytes:
        """Encrypts one packet that `again` need not know.

        Raises:
            ValueError: the sequence number would be used twice, or libsrtp refuses.
        """
        self._skip_to(index)
        self.next = index + 1
        self.count += 1
        return self._seal(header, payload)

    def find(self, sequence: int) -> tuple[Packets, int] | None:
        """The packet sent under these 16 bits: its access unit and its place there; None when forgotten."""
        index = self.next - 1 - (self.next - 1 - sequence & 0xFFFF)
        for packets in reversed(self._sent):
            if packets.first <= index:
                return (packets, index - packets.first) if index < packets.end else None
        return None

    def again(self, sequence: int) -> bytes | None:
        """A packet as it was sent before, to the byte; None when it is forgotten, by us or by libsrtp."""
        found = self.find(sequence)
        if found is None:
            return None
        packets, place = found
        try:
            return self._seal(self.form.header(packets, place), packets.payloads[place])
        except ValueError:
            return None

    def start_at(self, first: int) -> None:
        """Chooses the first extended sequence number.

        Raises:
            ValueError: packets were sent already.
        """
        if self.count:
            raise ValueError("a stream starts once")
        self.next = first

    def close(self) -> None:
        """Refuses everything from now on."""
        self.next = _NEVER

    def _skip_to(self, index: int) -> None:
        if index < self.next:
            raise ValueError(f"sequence number {index} was used before")
        if self.count and index - self.next > _MAX_GAP:
            raise ValueError(f"sequence number {index} is too far ahead")

    def _seal(self, header: bytes, payload: bytes) -> bytes:
        try:
            return self._session.protect(header + payload)
        except pylibsrtp.Error as error:
            raise ValueError("libsrtp refuses a packet") from error


class Session:
    """The keys of one viewer.

    Args:
        profile: AEAD_AES_128_GCM or AES128_CM_SHA1_80.
        send_key, receive_key: master key and master salt in a row.
        repeats: whether lost packets are sent again as they were, as they are to viewers without RTX.

    Attributes:
        tag_bytes: by which a packet grows.
    """

    def __init__(self, profile: bytes, send_key: bytes, receive_key: bytes, *, repeats: bool) -> None:
        number, _, self.tag_bytes = _PROFILES[profile]
        outgoing = pylibsrtp.Policy(send_key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND, srtp_profile=number)
        # `Stream` sees to it that what is sent again is the same to the byte.
        outgoing.allow_repeat_tx = True
        outgoing.window_size = _WINDOW_OF_REPEATS if repeats else _WINDOW
        self._out = pylibsrtp.Session(outgoing)
        incoming = pylibsrtp.Policy(receive_key, pylibsrtp.Policy.SSRC_ANY_INBOUND, srtp_profile=number)
        self._in = pylibsrtp.Session(incoming)
        self._sources: set[bytes] = set()

    def stream(self, form: PacketFormat, keep_ticks: int = 0) -> Stream:
        """A stream of an SSRC that this session has not had yet."""
        return Stream(self._out, form, keep_ticks)

    def protect_rtcp(self, data: bytes) -> bytes:
        """Encrypts a compound packet."""
        return self._out.protect_rtcp(data)

    def unprotect_rtcp(self, data: bytes) -> bytes:
        """Decrypts what the viewer sent.

        Raises:
            BadRtpPacket: not from this viewer, damaged, or seen before.
        """
        source = data[4:8]
        if source not in self._sources and len(self._sources) >= _RTCP_SOURCES:
            raise BadRtpPacket("a viewer reports from too many sources")
        try:
            plain = self._in.unprotect_rtcp(data)
        except (pylibsrtp.Error, ValueError):
            raise BadRtpPacket("an SRTCP packet is not authentic, or came twice") from None
        self._sources.add(source)
        return plain


def server_session(profile: bytes, export: bytes, *, repeats: bool = True) -> Session:
    """The session of a DTLS server out of its exported keying material (RFC 5764 §4.2).

    Args:
        profile: AEAD_AES_128_GCM or AES128_CM_SHA1_80.
        export: client key, server key, client salt, server salt.
        repeats: see `Session`.
    """
    _, salt_bytes, _ = _PROFILES[profile]
    keys, salts = export[: 2 * _KEY_BYTES], export[2 * _KEY_BYTES :]
    client = keys[:_KEY_BYTES] + salts[:salt_bytes]
    server = keys[_KEY_BYTES:] + salts[salt_bytes:]
    return Session(profile, server, client, repeats=repeats)


def export_bytes(profile: bytes) -> int:
    """How much keying material the profile needs."""
    _, salt_bytes, _ = _PROFILES[profile]
    return 2 * (_KEY_BYTES + salt_bytes)
