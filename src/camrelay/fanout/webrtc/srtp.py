"""SRTP and SRTCP for what the relay sends to one viewer, and SRTCP for what it gets back.

Two profiles: AEAD_AES_128_GCM (RFC 7714) with reused buffers, and AES128_CM_HMAC_SHA1_80 (RFC 3711) through
libsrtp for browsers that have nothing better. Rules of this file:

* No two plaintexts under one (SSRC, rollover, sequence): under GCM that gives the authentication key away.
  A stream refuses an index that is not above all before it, and repeats only packets it remembers itself.
* What does not depend on the viewer was done before, once per run of packets (slots.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from struct import pack
from typing import Final, Protocol

import pylibsrtp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from camrelay.errors import BadRtpPacket
from camrelay.fanout.webrtc.rtp import PacketFormat, Packets
from camrelay.fanout.webrtc.slots import Run

#: OpenSSL's names of the protection profiles.
AEAD_AES_128_GCM: Final = b"SRTP_AEAD_AES_128_GCM"
AES128_CM_SHA1_80: Final = b"SRTP_AES128_CM_SHA1_80"

_GCM_TAG_BYTES = 16
_SHA1_80_TAG_BYTES = 10

#: Key derivation labels (RFC 3711 §4.3.2).
_RTP_KEY, _RTP_SALT, _RTCP_KEY, _RTCP_SALT = 0, 2, 3, 5

#: Above every extended sequence number.
_NEVER = 1 << 62

#: The last two bytes of every nonce: looking them up costs a third of packing them.
_TAILS = [value.to_bytes(2) for value in range(65536)]

_RTCP_ENCRYPTED = 0x8000_0000
_RTCP_INDEX_END = 0x8000_0000
#: RTCP packets may overtake one another by this much (RFC 3711 §3.3.2 asks for at least 64).
_RTCP_WINDOW = 64
#: A viewer reports from one SSRC; a few more for those that send one per media section.
_RTCP_SOURCES = 8


class Stream(ABC):
    """One SSRC towards one viewer.

    Args:
        form: of its headers.
        keep_ticks: how long, in ticks of 90 kHz, packets are remembered for `again`.
    """

    def __init__(self, form: PacketFormat, keep_ticks: int) -> None:
        self.form = form
        #: The lowest extended sequence number that may still be used, the next one once started.
        self.next = 0
        #: Packets protected so far.
        self.count = 0
        self._keep_ticks = keep_ticks
        self._sent: deque[Packets] = deque()

    @property
    def last_timestamp(self) -> int:
        """Of the newest packet, -1 before the first."""
        return self._sent[-1].timestamp if self._sent else -1

    def protect(self, run: Run) -> None:
        """Encrypts a run in place.

        Raises:
            ValueError: a sequence number would be used twice.
        """
        if run.first < self.next:
            raise ValueError(f"sequence number {run.first} was used before")
        self.next = run.end
        self.count += run.count
        if run.starts:
            sent = self._sent
            sent.append(run.packets)
            oldest = run.packets.timestamp - self._keep_ticks
            while sent[0].timestamp < oldest:
                sent.popleft()
        self._seal_run(run)

    def protect_packet(self, header: bytes, payload: bytes, index: int) -> bytes:
        """Encrypts one packet that `again` need not know.

        Raises:
            ValueError: the sequence number would be used twice.
        """
        if index < self.next:
            raise ValueError(f"sequence number {index} was used before")
        self.next = index + 1
        self.count += 1
        return self._seal(index, header, payload)

    def find(self, sequence: int) -> tuple[Packets, int] | None:
        """The packet sent under these 16 bits: its access unit and its place there; None when forgotten."""
        index = self.next - 1 - (self.next - 1 - sequence & 0xFFFF)
        for packets in reversed(self._sent):
            if packets.first <= index:
                return (packets, index - packets.first) if index < packets.end else None
        return None

    def again(self, sequence: int) -> bytes | None:
        """A packet as it was sent before, to the byte; None when it is forgotten."""
        found = self.find(sequence)
        if found is None:
            return None
        packets, place = found
        return self._seal(packets.first + place, self.form.header(packets, place), packets.payloads[place])

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

    @abstractmethod
    def _seal_run(self, run: Run) -> None: ...

    @abstractmethod
    def _seal(self, index: int, header: bytes, payload: bytes) -> bytes: ...


class GcmStream(Stream):
    """RFC 7714 §8. The receiver's rollover counter starts at 0 with the first packet, so ours does."""

    def __init__(self, cipher: AESGCM, salt: bytes, form: PacketFormat, keep_ticks: int) -> None:
        super().__init__(form, keep_ticks)
        self._encrypt = cipher.encrypt
        self._encrypt_into = cipher.encrypt_into
        self._salt = int.from_bytes(salt[:10])
        self._tail = int.from_bytes(salt[10:])
        self._rollover = -1
        self._prefix = b""
        self._first_rollover: int | None = None

    def _seal_run(self, run: Run) -> None:
        if run.rollover != self._rollover:
            self._rollover = run.rollover
            self._prefix = self._nonce_prefix(run.rollover)
        prefix, tail, tails, encrypt_into = self._prefix, self._tail, _TAILS, self._encrypt_into
        for sequence, payload, header, out in run.rows:
            encrypt_into(prefix + tails[sequence ^ tail], payload, header, out)

    def _seal(self, index: int, header: bytes, payload: bytes) -> bytes:
        nonce = self._nonce_prefix(index >> 16) + _TAILS[index & 0xFFFF ^ self._tail]
        return header + self._encrypt(nonce, payload, header)

    def _nonce_prefix(self, rollover: int) -> bytes:
        """Two zeros, SSRC and rollover counter, XOR the salt (RFC 7714 §8.1)."""
        if self._first_rollover is None:
            self._first_rollover = rollover
        return ((self.form.ssrc << 32 | rollover - self._first_rollover) ^ self._salt).to_bytes(10)


class CounterModeStream(Stream):
    """RFC 3711 with HMAC-SHA1-80, by libsrtp, which counts the rollovers itself."""

    def __init__(self, session: pylibsrtp.Session, form: PacketFormat, keep_ticks: int) -> None:
        super().__init__(form, keep_ticks)
        self._session = session

    def _seal_run(self, run: Run) -> None:
        for _, payload, header, out in run.rows:
            out[:] = self._seal(0, header, payload)[len(header) :]

    def _seal(self, index: int, header: bytes, payload: bytes) -> bytes:
        try:
            return bytes(self._session.protect(header + payload))
        except pylibsrtp.Error as error:
            raise ValueError("libsrtp refuses a packet") from error


class Session(Protocol):
    """The keys of one viewer."""

    tag_bytes: int

    def stream(self, form: PacketFormat, keep_ticks: int = 0) -> Stream:
        """A stream of an SSRC that this session has not had yet."""
        ...

    def protect_rtcp(self, data: bytes) -> bytes:
        """Encrypts a compound packet."""
        ...

    def unprotect_rtcp(self, data: bytes) -> bytes:
        """Decrypts what the viewer sent.

        Raises:
            BadRtpPacket: not from this viewer, damaged, or seen before.
        """
        ...


class GcmSession:
    """AEAD_AES_128_GCM (RFC 7714): 16 bytes of key and 12 of salt for each direction."""

    tag_bytes = _GCM_TAG_BYTES

    def __init__(self, send_key: bytes, send_salt: bytes, receive_key: bytes, receive_salt: bytes) -> None:
        self._rtp = AESGCM(derive(send_key, send_salt, _RTP_KEY, 16))
        self._rtp_salt = derive(send_key, send_salt, _RTP_SALT, 12)
        self._rtcp_out = AESGCM(derive(send_key, send_salt, _RTCP_KEY, 16))
        self._rtcp_out_salt = derive(send_key, send_salt, _RTCP_SALT, 12)
        self._rtcp_in = AESGCM(derive(receive_key, receive_salt, _RTCP_KEY, 16))
        self._rtcp_in_salt = derive(receive_key, receive_salt, _RTCP_SALT, 12)
        self._rtcp_index = 0
        self._seen: dict[bytes, tuple[int, int]] = {}

    def stream(self, form: PacketFormat, keep_ticks: int = 0) -> Stream:
        return GcmStream(self._rtp, self._rtp_salt, form, keep_ticks)

    def protect_rtcp(self, data: bytes) -> bytes:
        self._rtcp_index += 1
        if self._rtcp_index >= _RTCP_INDEX_END:
            raise ValueError("the SRTCP index is used up")
        trailer = pack("!I", self._rtcp_index | _RTCP_ENCRYPTED)
        nonce = _rtcp_nonce(data[4:8], self._rtcp_index, self._rtcp_out_salt)
        return data[:8] + self._rtcp_out.encrypt(nonce, data[8:], data[:8] + trailer) + trailer

    def unprotect_rtcp(self, data: bytes) -> bytes:
        if len(data) < 8 + _GCM_TAG_BYTES + 4:
            raise BadRtpPacket("an SRTCP packet is too short")
        header, trailer = data[:8], data[-4:]
        word = int.from_bytes(trailer)
        index = word & ~_RTCP_ENCRYPTED
        if not word & _RTCP_ENCRYPTED:
            raise BadRtpPacket("an SRTCP packet is not encrypted")
        seen = self._seen.get(header[4:], (-1, 0))
        if index <= seen[0] and (seen[0] - index >= _RTCP_WINDOW or seen[1] >> (seen[0] - index) & 1):
            raise BadRtpPacket("an SRTCP packet came twice or far too late")
        try:
            nonce = _rtcp_nonce(header[4:], index, self._rtcp_in_salt)
            plain = self._rtcp_in.decrypt(nonce, data[8:-4], header + trailer)
        except InvalidTag:
            raise BadRtpPacket("an SRTCP packet is not authentic") from None
        if header[4:] not in self._seen and len(self._seen) >= _RTCP_SOURCES:
            raise BadRtpPacket("a viewer reports from too many sources")
        self._seen[header[4:]] = _mark(seen, index)
        return header + plain


class CounterModeSession:
    """AES128_CM_HMAC_SHA1_80 (RFC 3711): 16 bytes of key and 14 of salt for each direction."""

    tag_bytes = _SHA1_80_TAG_BYTES

    def __init__(self, send_key: bytes, send_salt: bytes, receive_key: bytes, receive_salt: bytes) -> None:
        policy = pylibsrtp.Policy(send_key + send_salt, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        # A NACK is answered with the packet as it was; `Stream` sees to it that it is the same one.
        policy.allow_repeat_tx = True
        # The largest libsrtp has: 10 s of history at 30 Mb/s.
        policy.window_size = 32767
        self._out = pylibsrtp.Session(policy)
        self._in = pylibsrtp.Session(
            pylibsrtp.Policy(receive_key + receive_salt, pylibsrtp.Policy.SSRC_ANY_INBOUND)
        )

    def stream(self, form: PacketFormat, keep_ticks: int = 0) -> Stream:
        return CounterModeStream(self._out, form, keep_ticks)

    def protect_rtcp(self, data: bytes) -> bytes:
        return bytes(self._out.protect_rtcp(data))

    def unprotect_rtcp(self, data: bytes) -> bytes:
        try:
            return bytes(self._in.unprotect_rtcp(data))
        except (pylibsrtp.Error, ValueError):
            raise BadRtpPacket("an SRTCP packet is not authentic") from None


def server_session(profile: bytes, export: bytes) -> Session:
    """The session of a DTLS server out of its exported keying material (RFC 5764 §4.2).

    Args:
        profile: AEAD_AES_128_GCM or AES128_CM_SHA1_80.
        export: client key, server key, client salt, server salt.
    """
    salt_bytes = 12 if profile == AEAD_AES_128_GCM else 14
    client_key, server_key = export[:16], export[16:32]
    client_salt, server_salt = export[32 : 32 + salt_bytes], export[32 + salt_bytes : 32 + 2 * salt_bytes]
    make = GcmSession if profile == AEAD_AES_128_GCM else CounterModeSession
    return make(server_key, server_salt, client_key, client_salt)


def export_bytes(profile: bytes) -> int:
    """How much keying material the profile needs."""
    return 2 * (16 + (12 if profile == AEAD_AES_128_GCM else 14))


def derive(master_key: bytes, master_salt: bytes, label: int, length: int) -> bytes:
    """A session key or salt (RFC 3711 §4.3); a 96-bit salt is padded on the right (RFC 7714 §11)."""
    seed = bytearray(master_salt.ljust(14, b"\0"))
    seed[7] ^= label
    stream = Cipher(algorithms.AES(master_key), modes.CTR(bytes(seed) + b"\0\0")).encryptor()
    return stream.update(bytes(length))


def _rtcp_nonce(ssrc: bytes, index: int, salt: bytes) -> bytes:
    """RFC 7714 §9.1."""
    nonce = int.from_bytes(ssrc) << 48 | index
    return (nonce ^ int.from_bytes(salt)).to_bytes(12)


def _mark(seen: tuple[int, int], index: int) -> tuple[int, int]:
    """The window (highest index, bit mask of the last ones) with one more index in it."""
    highest, mask = seen
    if index <= highest:
        return highest, mask | 1 << (highest - index)
    return index, (mask << min(index - highest, _RTCP_WINDOW) | 1) & (1 << _RTCP_WINDOW) - 1
