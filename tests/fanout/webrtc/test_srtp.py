"""SRTP against the vectors of its RFCs, and the one thing that must never happen."""

from __future__ import annotations

import pylibsrtp
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from camrelay.errors import BadRtpPacket
from camrelay.fanout.webrtc.rtp import PAYLOAD_BYTES, RUN_PACKETS, PacketFormat, Packets, runs
from camrelay.fanout.webrtc.slots import Run, Slots
from camrelay.fanout.webrtc.srtp import (
    AEAD_AES_128_GCM,
    AES128_CM_SHA1_80,
    Session,
    Stream,
    export_bytes,
    server_session,
)

PROFILES = [AEAD_AES_128_GCM, AES128_CM_SHA1_80]

#: RFC 7714 §16.1.
KEY = bytes(range(16))
SALT = bytes.fromhex("517569642070726f2071756f")
PLAIN = b"Gallia est omnis divisa in partes tres"
FORM = PacketFormat(0x5501A0B2, 0x40)


def export(profile: bytes) -> bytes:
    return bytes(range(export_bytes(profile)))


def session(profile: bytes, *, repeats: bool = True) -> Session:
    return server_session(profile, export(profile), repeats=repeats)


def libsrtp(profile: bytes, *, of_client: bool, incoming: bool) -> pylibsrtp.Session:
    """The browser's side: it decrypts with the server's key and encrypts with its own."""
    material = export(profile)
    salt_bytes = 12 if profile == AEAD_AES_128_GCM else 14
    at = 0 if of_client else 1
    key = material[16 * at : 16 * at + 16] + material[32 + salt_bytes * at : 32 + salt_bytes * (at + 1)]
    number = (
        pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM
        if profile == AEAD_AES_128_GCM
        else pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80
    )
    kind = pylibsrtp.Policy.SSRC_ANY_INBOUND if incoming else pylibsrtp.Policy.SSRC_ANY_OUTBOUND
    return pylibsrtp.Session(pylibsrtp.Policy(key, kind, srtp_profile=number))


def packets_of(first: int, *sizes: int, timestamp: int = 0) -> Packets:
    payloads = tuple(bytes([index + 1]) * size for index, size in enumerate(sizes))
    return Packets(first, timestamp, 0, payloads, False)


def lay(stream: Stream, packets: Packets, tag_bytes: int) -> list[Run]:
    slots = Slots(stream.form.header_bytes, tag_bytes)
    return [slots.lay(stream.form, packets, start, stop) for start, stop in runs(packets)]


def send(stream: Stream, packets: Packets, tag_bytes: int = 16) -> list[bytes]:
    """What goes over the wire for an access unit."""
    sent = []
    slots = Slots(stream.form.header_bytes, tag_bytes)
    for start, stop in runs(packets):
        run = slots.lay(stream.form, packets, start, stop)
        stream.protect(run)
        for piece in map(bytes, run.pieces):
            sent += [piece[at : at + run.slot_bytes] for at in range(0, len(piece), run.slot_bytes)]
    return sent


def derive(key: bytes, salt: bytes, label: int, length: int) -> bytes:
    """A session key or salt (RFC 3711 §4.3); a 96-bit salt is padded on the right (RFC 7714 §11)."""
    seed = bytearray(salt.ljust(14, b"\0"))
    seed[7] ^= label
    return Cipher(algorithms.AES(key), modes.CTR(bytes(seed) + b"\0\0")).encryptor().update(bytes(length))


def seal(key: bytes, salt: bytes, header: bytes, payload: bytes, rollover: int) -> bytes:
    """An AES-GCM packet by the letter of RFC 7714 §8, under session key and salt."""
    nonce = int.from_bytes(header[8:12]) << 48 | rollover << 16 | int.from_bytes(header[2:4])
    nonce ^= int.from_bytes(salt)
    return header + AESGCM(key).encrypt(nonce.to_bytes(12), payload, header)


class TestVectors:
    def test_the_model_is_that_of_the_rfcs(self) -> None:
        """RFC 3711 appendix B.3 (keys out of a master key) and RFC 7714 §16.1.1 (a packet)."""
        key = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
        salt = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
        assert derive(key, salt, 0, 16).hex() == "c61e7a93744f39ee10734afe3ff7a087"
        assert derive(key, salt, 2, 14).hex() == "30cbbc08863d8c85d49db34a9ae1"

        header = bytes.fromhex("8040f17b8041f8d35501a0b2")
        assert seal(KEY, SALT, header, PLAIN, 0)[12:].hex() == (
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"
            "899d7f27beb16a9152cf765ee4390cce"
        )

    def test_packets_are_encrypted_as_in_the_model(self) -> None:
        """To the byte, in every place of a run, and beyond a wrap of the sequence number."""
        material = export(AEAD_AES_128_GCM)
        key, salt = material[16:32], material[44:56]
        session_key, session_salt = derive(key, salt, 0, 16), derive(key, salt, 2, 12)
        stream = session(AEAD_AES_128_GCM).stream(FORM)
        packets = packets_of(65_534, PAYLOAD_BYTES, PAYLOAD_BYTES, PAYLOAD_BYTES, 9)

        assert send(stream, packets) == [
            seal(session_key, session_salt, FORM.header(packets, index), payload, index // 2)
            for index, payload in enumerate(packets.payloads)
        ]


class TestStream:
    @pytest.mark.parametrize("profile", PROFILES)
    @pytest.mark.parametrize("extension", [0, 3])
    def test_libsrtp_reads_what_is_sent(self, profile: bytes, extension: int) -> None:
        """A run with short and full packets, with and without a header extension, on both profiles."""
        ours = session(profile)
        stream = ours.stream(PacketFormat(7, 102, extension))
        packets = packets_of(100, 50, PAYLOAD_BYTES, PAYLOAD_BYTES, 9)

        sent = send(stream, packets, ours.tag_bytes)

        browser = libsrtp(profile, of_client=False, incoming=True)
        opened = [browser.unprotect(datagram) for datagram in sent]
        expected = [stream.form.header(packets, i) + packets.payloads[i] for i in range(4)]
        assert opened == expected
        assert (stream.next, stream.count) == (104, 4)

    @pytest.mark.parametrize("ahead", [1, 40_000, 65_536 - 102, -30])
    def test_a_stream_has_numbers_of_its_own_for_a_run(self, ahead: int) -> None:
        """To the byte what it would have been under these numbers, for a NACK as well; wraps included."""
        stream, other = (session(AEAD_AES_128_GCM).stream(FORM) for _ in range(2))
        packets = packets_of(100, 50, PAYLOAD_BYTES, PAYLOAD_BYTES, 9)
        stream.start_at(100 + ahead)
        stream.ahead = ahead

        sent = send(stream, packets)

        assert sent == send(other, packets.renumbered(100 + ahead, 0, 0))
        assert [stream.again(100 + ahead + index & 0xFFFF) for index in range(4)] == sent
        assert stream.next == 104 + ahead

    @pytest.mark.parametrize("profile", PROFILES)
    def test_the_rollover_counter_goes_up_at_each_wrap(self, profile: bytes) -> None:
        """A receiver follows through two wraps, gaps and all; the first packet counts as rollover 0."""
        ours = session(profile)
        stream = ours.stream(PacketFormat(7, 102))
        browser = libsrtp(profile, of_client=False, incoming=True)

        for first in range(5 * 65536 + 60_000, 7 * 65536 + 60_000, 8192):
            for datagram in send(stream, packets_of(first, *[20] * 8, timestamp=first), ours.tag_bytes)[::4]:
                assert len(browser.unprotect(datagram)) == 32

    @pytest.mark.parametrize("profile", PROFILES)
    def test_a_number_is_never_used_twice(self, profile: bytes) -> None:
        """Neither the same run again, nor another plaintext under an old number, nor an older number."""
        ours = session(profile)
        stream = ours.stream(FORM)
        send(stream, packets_of(100, 50, 50), ours.tag_bytes)

        for packets in (packets_of(100, 50, 50), packets_of(101, 60), packets_of(3, 50)):
            with pytest.raises(ValueError, match="used before"):
                send(stream, packets, ours.tag_bytes)
        with pytest.raises(ValueError, match="used before"):
            stream.protect_packet(bytes(12), b"other", 101)
        assert stream.next == 102

    def test_a_gap_that_would_hide_a_rollover_is_refused(self) -> None:
        """The same sixteen bits one wrap later would meet the nonce of the first time."""
        stream = session(AEAD_AES_128_GCM).stream(FORM)
        send(stream, packets_of(5, 50))
        send(stream, packets_of(16_000, 50))

        with pytest.raises(ValueError, match="too far ahead"):
            send(stream, packets_of(65536 + 5, 50))
        assert stream.next == 16_001

    def test_a_stream_starts_once(self) -> None:
        """Its first number can be chosen until a packet is out, then only goes up."""
        stream = session(AEAD_AES_128_GCM).stream(FORM)
        stream.start_at(500)
        stream.start_at(400)
        send(stream, packets_of(400, 5))

        with pytest.raises(ValueError, match="starts once"):
            stream.start_at(0)

    def test_a_closed_stream_refuses_everything(self) -> None:
        """A viewer that is over cannot be sent to by mistake."""
        stream = session(AEAD_AES_128_GCM).stream(FORM)
        stream.close()

        with pytest.raises(ValueError, match="used before"):
            send(stream, packets_of(1 << 40, 5))

    def test_what_libsrtp_refuses_is_our_error(self) -> None:
        """Its own exceptions stay inside, and nothing is taken for encrypted that is not."""
        stream = session(AES128_CM_SHA1_80).stream(FORM)

        with pytest.raises(ValueError, match="libsrtp"):
            stream.protect_packet(b"\x80", b"", 0)
        (run,) = lay(stream, packets_of(1, 50), 10)
        run.plain_lengths = bytes(4)
        with pytest.raises(ValueError, match="libsrtp"):
            stream.protect(run)


class TestAgain:
    @pytest.mark.parametrize("profile", PROFILES)
    def test_a_packet_is_repeated_to_the_byte(self, profile: bytes) -> None:
        """A NACK gets what was sent: the same plaintext under the same nonce gives nothing away."""
        ours = session(profile)
        stream = ours.stream(FORM, 90_000)
        sent = send(stream, packets_of(65530, *[PAYLOAD_BYTES] * 8, 30), ours.tag_bytes)

        assert [stream.again(sequence & 0xFFFF) for sequence in range(65530, 65539)] == sent
        assert stream.next == 65539

    def test_a_viewer_with_rtx_gets_few_repeats(self) -> None:
        """What libsrtp has forgotten is forgotten; a run that found the socket full is not."""
        stream = session(AEAD_AES_128_GCM, repeats=False).stream(FORM, 90_000)
        for first in range(0, 200, 10):
            send(stream, packets_of(first, *[9] * 10))

        assert stream.again(199 - RUN_PACKETS)
        assert stream.again(0) is None

    def test_an_access_unit_of_several_runs_is_kept_once(self) -> None:
        """Its packets are repeated, whichever run they went out in."""
        stream = session(AEAD_AES_128_GCM).stream(FORM, 90_000)
        sent = send(stream, packets_of(100, *[10] * (RUN_PACKETS + 2)))

        assert [stream.again(sequence) for sequence in range(100, 102 + RUN_PACKETS)] == sent

    def test_what_was_never_sent_is_not_repeated(self) -> None:
        """Numbers before the first and after the last packet, and of a part that did not go out."""
        stream = session(AEAD_AES_128_GCM).stream(FORM, 90_000)
        assert stream.again(0) is None
        packets = packets_of(100, *[10] * (RUN_PACKETS + 1))
        run = lay(stream, packets, 16)[0]
        stream.protect(run)

        assert stream.again(99) is None
        assert stream.again(100) is not None
        assert stream.again(100 + RUN_PACKETS) is None

    def test_a_part_that_went_out_under_other_numbers_is_found_there(self) -> None:
        """After an access unit broken off, the numbers belong to what came next."""
        stream = session(AEAD_AES_128_GCM).stream(FORM, 90_000)
        next_run = 100 + RUN_PACKETS
        stream.protect(lay(stream, packets_of(100, *[10] * (RUN_PACKETS + 1), timestamp=1), 16)[0])
        later = packets_of(next_run, 77, timestamp=2)
        send(stream, later)

        assert stream.find(next_run - 1) is not None
        assert stream.find(next_run) == (later, 0)

    def test_old_packets_are_forgotten(self) -> None:
        """What is older than the history is not kept in memory, and not repeated."""
        stream = session(AEAD_AES_128_GCM).stream(FORM, 90_000)
        assert stream.last_timestamp == -1
        for at in range(4):
            send(stream, packets_of(at, 10, timestamp=45_000 * at))

        assert [stream.again(sequence) is None for sequence in range(4)] == [True, False, False, False]
        assert stream.last_timestamp == 135_000


class TestRtcp:
    @pytest.mark.parametrize("profile", PROFILES)
    def test_both_directions_agree_with_libsrtp(self, profile: bytes) -> None:
        """Reports out are read by the browser's library, feedback from it is read here."""
        ours = session(profile)
        report = bytes.fromhex("80c90001000000aa") + bytes(24)

        incoming = libsrtp(profile, of_client=False, incoming=True)
        outgoing = libsrtp(profile, of_client=True, incoming=False)

        for _ in range(3):
            assert incoming.unprotect_rtcp(ours.protect_rtcp(report)) == report
            assert ours.unprotect_rtcp(outgoing.protect_rtcp(report)) == report

    @pytest.mark.parametrize("profile", PROFILES)
    def test_what_is_not_authentic_is_refused(self, profile: bytes) -> None:
        """A flipped bit, a stranger's packet, a cut one, noise."""
        ours = session(profile)
        outgoing = libsrtp(profile, of_client=True, incoming=False)
        good = outgoing.protect_rtcp(bytes.fromhex("80c90001000000aa"))

        for bad in (good[:12] + bytes([good[12] ^ 1]) + good[13:], good[:20], b"", bytes(2000)):
            with pytest.raises(BadRtpPacket):
                ours.unprotect_rtcp(bad)
        assert ours.unprotect_rtcp(good)

    @pytest.mark.parametrize("profile", PROFILES)
    def test_a_repeated_packet_is_refused(self, profile: bytes) -> None:
        """Late ones count, within the window of RFC 3711 §3.3.2, each once."""
        ours = session(profile)
        outgoing = libsrtp(profile, of_client=True, incoming=False)
        sent = [outgoing.protect_rtcp(bytes.fromhex("80c90001000000aa")) for _ in range(300)]

        for index in (2, 1, 299, 260):
            assert ours.unprotect_rtcp(sent[index])
        for index in (299, 260, 2, 3):
            with pytest.raises(BadRtpPacket, match="came twice"):
                ours.unprotect_rtcp(sent[index])

    def test_a_packet_that_is_not_encrypted_is_refused(self) -> None:
        """The E bit is off: browsers never do that, and RFC 7714 would authenticate it differently."""
        with pytest.raises(BadRtpPacket):
            session(AEAD_AES_128_GCM).unprotect_rtcp(bytes(32))

    def test_sources_are_limited(self) -> None:
        """Each costs memory, and the viewer chooses their names."""
        ours = session(AEAD_AES_128_GCM)
        outgoing = libsrtp(AEAD_AES_128_GCM, of_client=True, incoming=False)

        for ssrc in range(8):
            ours.unprotect_rtcp(outgoing.protect_rtcp(bytes.fromhex("80c90001") + ssrc.to_bytes(4)))

        with pytest.raises(BadRtpPacket, match="too many sources"):
            ours.unprotect_rtcp(outgoing.protect_rtcp(bytes.fromhex("80c90001000000aa")))
