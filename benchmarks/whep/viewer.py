"""One simulated WHEP viewer: POST, ICE, DTLS, then its account of what arrives.

Joining is slow and asynchronous; from then on the viewer is only called by the crowd's receive loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
import time
from typing import Literal
from urllib.parse import urljoin

import aiohttp

from benchmarks.whep import dtls, mmsg, sdp, srtp, stun
from benchmarks.whep.sample import Sample
from benchmarks.whep.sequence import Sequence

#: First check to last, and start to end of the handshake. A server that needs longer has failed the viewer.
JOIN_TIMEOUT_S = 10.0

#: RFC 8445 §14.2 paces checks at 50 ms; RFC 6347 §4.2.4 begins retransmission at one second.
_CHECK_INTERVAL_S, _FLIGHT_INTERVAL_S = 0.05, 1.0

#: A 1 s burst of 2 Mb/s counts about 600 kB of kernel memory; twice that, so that this is never the limit.
_RECEIVE_BUFFER_BYTES = 4_194_304

#: RFC 3550 §6.4.2, one report block.
_REPORT = struct.Struct("!BBHIIIIIII")


Sampling = Literal["count", "open", "decode"]


class JoinFailed(Exception):
    """A viewer that did not get to its first packet; the text is fit for a table of reasons."""


class Viewer:
    """A viewer of one stream.

    `sampling` "count" only counts, "open" decrypts too, "decode" decodes pictures as well. Times are
    `time.monotonic()` seconds. `bytes` are UDP payload bytes of SRTP and SRTCP.
    """

    def __init__(self, datagrams: mmsg.Datagrams, sampling: Sampling, address: str) -> None:
        self._datagrams = datagrams
        self._sampling = sampling
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        datagrams.prepare(self.udp, stamps=sampling != "count")
        self.udp.bind((address, 0))
        self.fd = self.udp.fileno()
        self._checks: stun.Checks | None = None
        self._handshake: dtls.Handshake | None = None
        self._protect: srtp.Protect | None = None
        self._event = asyncio.Event()
        self._transactions = secrets.randbits(32) << 64
        self._remote_ssrc = 0
        self.keys: dtls.SrtpKeys | None = None
        self.sample: Sample | None = None
        self.sequence = Sequence()
        self.bytes = self.rtcp_packets = 0
        self.resource = ""
        self.posted_ns = 0
        self.posted_at = self.answered_at = self.connected_at = self.secured_at = 0.0
        self.first_packet_at = self.last_media_at = self.consent_at = 0.0

    async def join(
        self, http: aiohttp.ClientSession, url: str, headers: dict[str, str], certificate: dtls.Certificate
    ) -> None:
        """Goes through signalling, ICE and DTLS; the socket must already be read by the crowd.

        Raises:
            JoinFailed: the server refused, answered nonsense, or took longer than JOIN_TIMEOUT_S.
        """
        self.posted_at, self.posted_ns = time.monotonic(), time.time_ns()
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                answer = await self._signal(http, url, headers, certificate)
                self.answered_at = time.monotonic()
                self.udp.connect(answer.candidates[0])
                await self._connect()
                self.connected_at = self.consent_at = time.monotonic()
                await self._secure(certificate, answer)
                self.secured_at = time.monotonic()
        except TimeoutError:
            raise JoinFailed(f"timeout {self._phase()}") from None
        except (sdp.BadAnswer, dtls.HandshakeFailed) as error:
            raise JoinFailed(str(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise JoinFailed(type(error).__name__) from None

    def _phase(self) -> str:
        if not self.answered_at:
            return "in signalling"
        return "in DTLS" if self.connected_at else "in ICE"

    async def _signal(
        self, http: aiohttp.ClientSession, url: str, headers: dict[str, str], certificate: dtls.Certificate
    ) -> sdp.Answer:
        ufrag, password = secrets.token_hex(4), secrets.token_hex(12)
        body = sdp.offer(
            ufrag=ufrag,
            password=password,
            fingerprint=certificate.fingerprint,
            address=self.udp.getsockname(),
        )
        headers = {"Content-Type": "application/sdp", **headers}
        async with http.post(url, data=body, headers=headers) as response:
            text = await response.text()
            if response.status not in (200, 201):
                raise JoinFailed(f"POST answered {response.status}")
            self.resource = urljoin(url, response.headers.get("Location", ""))
        answer = sdp.parse_answer(text)
        self._checks = stun.Checks((ufrag, password), (answer.ufrag, answer.password), secrets.randbits(64))
        return answer

    async def _connect(self) -> None:
        while not self.consent_at:
            self.check()
            await self._wait(_CHECK_INTERVAL_S)

    async def _secure(self, certificate: dtls.Certificate, answer: sdp.Answer) -> None:
        self._handshake = dtls.Handshake(
            certificate, client=answer.is_dtls_server, remote_fingerprint=answer.fingerprint
        )
        flight = self._handshake.step() if answer.is_dtls_server else []
        while self.keys is None:
            for datagram in flight:
                self._send(datagram)
            await self._wait(_FLIGHT_INTERVAL_S)
            flight = self._handshake.step()

    async def _wait(self, seconds: float) -> None:
        """Until something arrived that joining waits for, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()

    def adopt(self, address: tuple[str, int]) -> None:
        """Says hello to a synthetic sender, and takes its media without any signalling."""
        self.udp.connect(address)
        self._send(b"hello")

    def slow(self, now: float) -> None:
        """Looks at each datagram of a receive that was not plainly the next run of RTP packets."""
        for datagram, stamp in self._datagrams.datagrams():
            first = datagram[0]
            if 128 <= first <= 191 and len(datagram) >= 12:
                if 192 <= datagram[1] <= 223:  # RFC 5761 §4
                    self.rtcp_packets += 1
                    continue
                if not self.first_packet_at:
                    self.first_packet_at = now
                    self._remote_ssrc = int.from_bytes(datagram[8:12])
                self.last_media_at = now
                self.sequence.packet(int.from_bytes(datagram[:2]), int.from_bytes(datagram[2:4]))
                if self.sample is not None:
                    self.sample.packet(datagram, stamp)
            elif first < 4:
                self._stun(datagram, now)
            elif 20 <= first <= 63 and self._handshake is not None:
                self._dtls(datagram)

    def _stun(self, datagram: bytes, now: float) -> None:
        message = stun.parse(datagram)
        if message is None or self._checks is None:
            return
        kind, transaction = message
        if kind == stun.BINDING_REQUEST:
            self._send(self._checks.response(transaction, self.udp.getpeername()))
        elif kind == stun.BINDING_RESPONSE:
            self.consent_at = now
            self._event.set()

    def _dtls(self, datagram: bytes) -> None:
        assert self._handshake is not None
        try:
            for answer in self._handshake.step(datagram):
                self._send(answer)
        except dtls.HandshakeFailed:
            return  # The join runs into its time limit, and counts as failed in DTLS.
        if self._handshake.keys is not None and self.keys is None:
            # Now, not when the task gets its turn: media may stand in the same batch.
            self.keys = self._handshake.keys
            self._protect = srtp.protect(self.keys)
            if self._sampling != "count":
                self.sample = Sample(srtp.unprotect(self.keys), decode=self._sampling == "decode")
            self._event.set()

    def check(self) -> None:
        """Sends a connectivity check, which is a consent check once connected (RFC 7675 §5.1)."""
        if self._checks is not None:
            self._transactions += 1
            self._send(self._checks.request(self._transactions.to_bytes(12)))

    def report(self) -> None:
        """Sends a receiver report (RFC 3550 §6.4.2): nothing lost, and the highest sequence number."""
        if self._protect is None or not self._remote_ssrc:
            return
        block = (self._remote_ssrc, 0, self.sequence.highest, 0, 0, 0)
        self._send(self._protect.rtcp(_REPORT.pack(0x81, 201, 7, 1, *block)))

    def _send(self, datagram: bytes) -> None:
        # An error means that the server has gone: what is missing from then on says so.
        with contextlib.suppress(OSError):
            self.udp.send(datagram)

    async def leave(self, http: aiohttp.ClientSession) -> None:
        """DELETEs the WHEP resource and closes the socket."""
        self.udp.close()
        if self.resource:
            # An error means that the server is gone, and the session with it.
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with http.delete(self.resource):
                    pass
