"""A WHEP viewer that can be made to misbehave: it checks, shakes hands, decrypts, and asks for anything."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from struct import pack
from typing import Any

import aiohttp
import pylibsrtp
from aioice import stun
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    SRTPProtectionProfile,
)
from aiortc.rtp import AnyRtcpPacket, RtcpByePacket, RtcpPacket, RtpPacket
from aiortc.sdp import SessionDescription
from OpenSSL import SSL

GCM, COUNTER_MODE = SRTP_AEAD_AES_128_GCM, SRTP_AES128_CM_SHA1_80

LIMIT_S = 10.0

CERTIFICATE = RTCCertificate.generateCertificate()


def offer(*, rtx: bool = True, ufrag: str = "theirs", password: str = "q" * 22) -> str:
    """An offer with one H.264 format."""
    fingerprint = next(f.value for f in CERTIFICATE.getFingerprints() if f.algorithm == "sha-256")
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        f"a=ice-ufrag:{ufrag}",
        f"a=ice-pwd:{password}",
        f"a=fingerprint:sha-256 {fingerprint}",
        "a=setup:actpass",
        "m=video 9 UDP/TLS/RTP/SAVPF 102" + (" 103" if rtx else ""),
        "a=mid:0",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtpmap:102 H264/90000",
        "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    ]
    lines += ["a=rtpmap:103 rtx/90000", "a=fmtp:103 apt=102"] if rtx else []
    return "\r\n".join(lines) + "\r\n"


class WhepClient:
    """One viewer.

    Attributes:
        packets: every RTP packet that could be decrypted, in order of arrival.
        reports: every RTCP packet likewise.
        undecryptable: datagrams that could not.
        lose: says which media datagrams never arrive.
        closed: set when the server ended the DTLS association.
    """

    def __init__(self, *, profile: SRTPProtectionProfile = GCM, rtx: bool = True) -> None:
        self.packets: list[RtpPacket] = []
        self.reports: list[AnyRtcpPacket] = []
        self.undecryptable = 0
        self.lose: Callable[[bytes], bool] = lambda data: False
        self.closed = asyncio.Event()
        self.headers: dict[str, str] = {}
        self.resource = ""
        self._profile = profile
        self._rtx = rtx
        self._changed = asyncio.Event()
        self._secured = False
        self._answered: set[bytes] = set()
        self._tls = SSL.Connection(CERTIFICATE._create_ssl_context([profile]))
        self._tls.set_connect_state()
        self._open()

    def _open(self) -> None:
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._udp.bind(("127.0.0.1", 0))
        asyncio.get_running_loop().add_reader(self._udp, self._read)

    async def post(self, http: aiohttp.ClientSession, url: str) -> None:
        """Signals only."""
        headers = {"Content-Type": "application/sdp"}
        async with http.post(url, data=offer(rtx=self._rtx), headers=headers) as response:
            text = await response.text()
            assert response.status == 201, text
            self.headers = dict(response.headers)
            self.resource = self.headers["Location"]
        answer = SessionDescription.parse(text).media[0]
        assert answer.ice is not None
        self._username = f"{answer.ice.usernameFragment}:theirs"
        self._password = str(answer.ice.password).encode()
        self.ssrc = answer.ssrc[0].ssrc
        self._remote = ("127.0.0.1", answer.ice_candidates[0].port)

    async def join(self, http: aiohttp.ClientSession, url: str) -> None:
        """Signals, checks and shakes hands; media may arrive from then on."""
        await self.post(http, url)
        await self.check()
        self._step()
        await self.until(lambda: self._secured)

    async def check(self, *, nominate: bool = True) -> None:
        """One connectivity check and its answer."""
        attributes: dict[str, Any] = {"USERNAME": self._username, "PRIORITY": 1, "ICE-CONTROLLING": 1}
        if nominate:
            attributes["USE-CANDIDATE"] = None
        message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=attributes)
        message.add_message_integrity(self._password)
        self.send(bytes(message))
        await self.until(lambda: message.transaction_id in self._answered)

    async def move(self) -> None:
        """Goes on from another address."""
        asyncio.get_running_loop().remove_reader(self._udp)
        self._udp.close()
        self._open()
        await self.check()

    def send(self, data: bytes) -> None:
        self._udp.sendto(data, self._remote)

    def send_rtcp(self, *packets: bytes) -> None:
        """Encrypted feedback."""
        self.send(self._outgoing.protect_rtcp(b"".join(packets)))

    def nack(self, *sequences: int) -> None:
        entries = b"".join(pack("!HH", sequence, 0) for sequence in sequences)
        self.send_rtcp(pack("!BBHII", 0x81, 205, 2 + len(sequences), 1, self.ssrc) + entries)

    def pli(self) -> None:
        self.send_rtcp(pack("!BBHII", 0x81, 206, 2, 1, self.ssrc))

    def report(self, *, lost: int, highest: int) -> None:
        """A receiver report."""
        self.send_rtcp(pack("!BBHIIIIIII", 0x81, 201, 7, 1, self.ssrc, lost, highest, 0, 0, 0))

    def bye(self) -> None:
        self.send_rtcp(pack("!BBHI", 0x80, 201, 1, 1) + pack("!BBHI", 0x81, 203, 1, 1))

    def end_dtls(self) -> None:
        self._tls.shutdown()
        self._flush()

    async def until(self, condition: Callable[[], Any], limit_s: float = LIMIT_S) -> None:
        """Waits until what has arrived makes the condition true."""
        async with asyncio.timeout(limit_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def more_packets(self, count: int) -> None:
        wanted = len(self.packets) + count
        await self.until(lambda: len(self.packets) >= wanted)

    def media(self) -> list[RtpPacket]:
        """Packets of the media stream, in order of arrival."""
        return [packet for packet in self.packets if packet.ssrc == self.ssrc]

    def said_goodbye(self) -> bool:
        return any(isinstance(report, RtcpByePacket) for report in self.reports)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._udp)
        self._udp.close()

    def _read(self) -> None:
        while True:
            try:
                data = self._udp.recv(2048)
            except BlockingIOError:
                break
            if data[0] < 4:
                self._answered.add(data[8:20])
            elif data[0] < 64:
                self._tls.bio_write(data)
                self._step()
            elif self._secured and not self.lose(data):
                self._take(data)
        self._changed.set()

    def _step(self) -> None:
        """One more step of the handshake, or of its end."""
        try:
            if self._secured:
                self._tls.recv(1500)
            else:
                self._tls.do_handshake()
                self._secure()
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.closed.set()
        self._flush()

    def _flush(self) -> None:
        while True:
            try:
                data = self._tls.bio_read(1500)
            except SSL.WantReadError:
                return
            self.send(data)

    def _secure(self) -> None:
        profile = self._profile
        assert self._tls.get_selected_srtp_profile() == profile.openssl_profile
        size = 2 * (profile.key_length + profile.salt_length)
        material = self._tls.export_keying_material(b"EXTRACTOR-dtls_srtp", size)
        policies = [
            pylibsrtp.Policy(
                profile.get_key_and_salt(material, index), kind, srtp_profile=profile.libsrtp_profile
            )
            for index, kind in (
                (1, pylibsrtp.Policy.SSRC_ANY_INBOUND),
                (0, pylibsrtp.Policy.SSRC_ANY_OUTBOUND),
            )
        ]
        # A packet may come again as it was, and be counted: what asked for it wants to see it.
        policies[0].allow_repeat_tx = True
        self._incoming, self._outgoing = map(pylibsrtp.Session, policies)
        self._secured = True

    def _take(self, data: bytes) -> None:
        try:
            if 192 <= data[1] < 224:
                self.reports += RtcpPacket.parse(self._incoming.unprotect_rtcp(data))
            else:
                self.packets.append(RtpPacket.parse(self._incoming.unprotect(data)))
        except pylibsrtp.Error:
            self.undecryptable += 1
