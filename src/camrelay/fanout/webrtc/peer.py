"""One WebRTC viewer, from its offer to its BYE.

ICE-lite and the packets are ours; the DTLS handshake is aiortc's, over a pipe that looks like its ICE
transport. Whatever ends the viewing ends the peer in the same tick: nothing of it stays, and it is not sent
another packet.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
)
from OpenSSL import SSL

from camrelay import config, metrics
from camrelay.errors import BadRtpPacket, BadStunMessage
from camrelay.fanout.webrtc import rtcp
from camrelay.fanout.webrtc.answer import Track, Transport, write_answer
from camrelay.fanout.webrtc.caster import Caster
from camrelay.fanout.webrtc.ice import Address, Agent
from camrelay.fanout.webrtc.rtp import PacketFormat
from camrelay.fanout.webrtc.sdp import Format, Offer, SoundFormat
from camrelay.fanout.webrtc.sender import Sender
from camrelay.fanout.webrtc.sound import Broadcast, Listener
from camrelay.fanout.webrtc.srtp import export_bytes, server_session
from camrelay.fanout.webrtc.udp import Port
from camrelay.fanout.webrtc.whep import MAX_PATCHES, PATCH_WINDOW_S
from camrelay.model import CameraId, EndReason, Viewer

logger = logging.getLogger("camrelay.fanout")

#: As DTLS server we choose, and the first that the viewer has as well wins: the fast one.
_PROFILES = [SRTP_AEAD_AES_128_GCM, SRTP_AES128_CM_SHA1_80]

#: A flight of a DTLS handshake has at most about ten datagrams; more than that waiting is a flood.
_DTLS_QUEUE = 32

#: Who says goodbye when nobody can check that any more is gone if nothing else is heard from it for so long:
#: some say something only with their reports, every 7.5 s at the latest (RFC 3550 §6.2).
_GOODBYE_S = 8.0

_ALERT = 21

#: RFC 3550 §6.2: five seconds between reports, give or take half, so that viewers do not report in step.
_REPORT_INTERVAL_S = 5.0

#: Browsers also report along with each NACK; a loss means something over this time and more.
_JUDGE_INTERVAL_S = 2.0
#: More than this share lost in so many intervals in a row, and the link cannot carry the stream.
_BAD_SHARE = 0.25
_BAD_INTERVALS = 3


class Certificate(RTCCertificate):
    """The certificate of the process, with one TLS context for all handshakes."""

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
            # A viewer connects once. A shared context would otherwise remember thousands of sessions, and a
            # connection would keep 32 KiB of buffers that only its handshake needed.
            self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
            self._context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        return self._context

    @property
    def fingerprint(self) -> str:
        """The SHA-256 digest as SDP writes it."""
        return next(f.value for f in self.getFingerprints() if f.algorithm == "sha-256")


class _Pipe:
    """What aiortc's DTLS transport needs of an ICE transport."""

    #: aiortc makes the controlling side the DTLS server (ORTC's rule, where no SDP says who is).
    role = "controlling"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._received: asyncio.Queue[bytes] = asyncio.Queue(_DTLS_QUEUE)
        self._send_now = send

    def keep(self, kept: list[bytes]) -> None:
        """From now on what is sent is put there instead."""
        self._send_now = kept.append

    def put(self, data: bytes) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._received.put_nowait(data)

    async def _recv(self) -> bytes:
        return await self._received.get()

    async def _send(self, data: bytes) -> None:
        self._send_now(data)


class Peer:
    """A viewer that has posted an offer.

    Args:
        viewer: the viewing; its end is the peer's end.
        offer: what it offered, and `form`, what was chosen of it.
        caster: of its camera.
        broadcast: of its camera's sound, and `sound`, what was chosen of the offer for it; None without.
        on_close: called once, when the peer is over.

    Attributes:
        answer: the SDP answer.
        resource: the unguessable name of its WHEP resource.
        etag: of its ICE session, which never changes (RFC 9110 §8.8.3, quotes included).
    """

    def __init__(
        self,
        viewer: Viewer,
        offer: Offer,
        form: Format,
        *,
        caster: Caster,
        broadcast: Broadcast,
        sound: SoundFormat | None,
        port: Port,
        hosts: Sequence[str],
        certificate: Certificate,
        options: config.Webrtc,
        on_close: Callable[[Peer], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._requested_s = self._loop.time()
        self._viewer = viewer
        self._caster = caster
        self._broadcast = broadcast
        self._sound = sound
        self._listener: Listener | None = None
        self._port = port
        self._options = options
        self._on_close = on_close
        self.resource = secrets.token_urlsafe(18)
        self.etag = f'"{secrets.token_hex(8)}"'
        # RFC 8445 §5.3 asks for 24 and 128 bits; the first finds the session among all, so it has 64.
        ufrag, password = secrets.token_hex(8), secrets.token_hex(16)
        self._agent = Agent(ufrag, password, offer.credentials.ufrag, self._requested_s)
        cname = secrets.token_hex(8)
        self.answer = write_answer(
            offer,
            form,
            Transport(ufrag, password, certificate.fingerprint, tuple((host, port.number) for host in hosts)),
            Track(caster.ssrc, caster.rtx_ssrc, cname, broadcast.ssrc, sound),
        )
        self._cname = cname
        extension = offer.abs_send_time_id
        self._form = PacketFormat(caster.ssrc, form.payload_type, extension)
        self._rtx = None if form.rtx is None else PacketFormat(caster.rtx_ssrc, form.rtx, extension)
        self._sender: Sender | None = None
        self._judged_s = self._requested_s
        self._judged: rtcp.Report | None = None
        self._bad_intervals = 0
        self._patched: deque[float] = deque(maxlen=MAX_PATCHES)
        self._timer: asyncio.TimerHandle | None = None
        self._pipe = _Pipe(self._send_dtls)
        self._dtls: RTCDtlsTransport | None = RTCDtlsTransport(self._pipe, [certificate])  # type: ignore[arg-type]  # see _Pipe
        self._dtls._srtp_profiles = _PROFILES
        self._dtls.on("statechange", self._on_dtls_state)
        #: The close_notify for the end, once the association is forgotten.
        self._farewell: list[bytes] = []
        port.register(ufrag, self)
        fingerprints = [RTCDtlsFingerprint(*pair) for pair in offer.credentials.fingerprints]
        self._task = self._loop.create_task(
            self._connect(self._dtls, fingerprints), name=f"connect {viewer.id}"
        )
        viewer.on_end(self._close)

    @property
    def camera(self) -> CameraId:
        """Whose picture it is."""
        return self._viewer.camera

    @property
    def is_joining(self) -> bool:
        """Whether its handshake is still to come."""
        return self._sender is None

    @property
    def remote_ufrag(self) -> str:
        """The viewer's ICE user name fragment."""
        return self._agent.remote_ufrag

    def may_patch(self) -> bool:
        """Counts a PATCH; False for one too many in PATCH_WINDOW_S."""
        now = self._loop.time()
        if len(self._patched) == MAX_PATCHES and now - self._patched[0] < PATCH_WINDOW_S:
            return False
        self._patched.append(now)
        return True

    def leave(self) -> None:
        """Ends the viewing because the viewer asked for it."""
        self._viewer.end(EndReason.CLIENT_CLOSED)

    def end(self, reason: EndReason) -> None:
        """Ends the viewing."""
        self._viewer.end(reason)

    def receive_check(self, data: bytes, address: Address) -> None:
        """Answers a connectivity check; the viewer may have come to a new address with it."""
        try:
            reply = self._agent.receive(data, address, self._loop.time())
        except BadStunMessage:
            metrics.webrtc_datagrams_dropped.labels("unauthentic").inc()
            return
        if reply.is_new:
            self._port.prove(address, self)
        if reply.forgotten is not None:
            self._port.disprove(reply.forgotten, self)
        if self._sender is not None and self._agent.selected is not None:
            self._sender.address = self._agent.selected
        self._port.send(reply.data, address)

    def receive_dtls(self, data: bytes) -> None:
        """Takes a DTLS record; after the handshake that is a goodbye, or nothing."""
        if self._dtls is not None:
            self._pipe.put(data)
        elif data[0] == _ALERT:
            expires_s = self._loop.time() + _GOODBYE_S
            self._agent.consented_s = min(
                self._agent.consented_s, expires_s - self._options.consent_timeout_s
            )

    def receive_rtcp(self, data: bytes) -> None:
        """Takes what the viewer reports and asks for."""
        sender = self._sender
        if sender is None:
            return
        try:
            feedback = sender.feedback(data)
        except BadRtpPacket:
            metrics.webrtc_datagrams_dropped.labels("unauthentic").inc()
            return
        # libnice does not check again once connected, but it reports, and nobody else can.
        self._agent.consented_s = self._loop.time()
        if self._dtls is not None:
            self._forget_handshake(self._dtls)
        for message in feedback:
            match message:
                case rtcp.Nack(ssrc=self._caster.ssrc):
                    self._retransmit(sender, message.sequences)
                case rtcp.KeyFrameRequest(ssrc=self._caster.ssrc):
                    self._caster.replay(sender)
                case rtcp.Report(ssrc=self._caster.ssrc):
                    self._judge(sender, message)
                case rtcp.Bye():
                    self.leave()

    def _retransmit(self, sender: Sender, sequences: Sequence[int]) -> None:
        answered = 0
        for datagram in sender.retransmit(sequences):
            self._port.send(datagram, sender.address)
            answered += 1
        self._caster.retransmitted(sender, answered, len(sequences) - answered)

    def _judge(self, sender: Sender, report: rtcp.Report) -> None:
        """Drops a viewer to the next key frame when its link loses too much for too long."""
        now = self._loop.time()
        if now - self._judged_s < _JUDGE_INTERVAL_S:
            return
        before, self._judged, self._judged_s = self._judged, report, now
        if before is None:
            return
        is_bad = report.lost - before.lost > _BAD_SHARE * (report.highest - before.highest)
        self._bad_intervals = self._bad_intervals + 1 if is_bad else 0
        if self._bad_intervals == _BAD_INTERVALS:
            self._bad_intervals = 0
            self._caster.lag(sender)

    def _forget_handshake(self, dtls: RTCDtlsTransport) -> None:
        """Lets go of 90 kB: a viewer that uses the keys has the last flight, and no other use for DTLS."""
        self._dtls = None
        dtls.remove_all_listeners()
        self._pipe.keep(self._farewell)
        _run_through(dtls.stop())

    async def _connect(self, dtls: RTCDtlsTransport, fingerprints: list[RTCDtlsFingerprint]) -> None:
        """The handshake: until it is done nothing is sent, and it has a deadline."""
        try:
            async with asyncio.timeout(self._options.handshake_timeout_s):
                await dtls.start(RTCDtlsParameters(fingerprints=fingerprints))
        except TimeoutError:
            self.end(EndReason.NEGOTIATION_TIMEOUT)
            return
        # A failed handshake has changed the state, and with it ended the viewing.
        if self._viewer.end_reason is None:
            self._start(dtls)

    def _start(self, dtls: RTCDtlsTransport) -> None:
        tls = dtls._ssl
        address = self._agent.selected
        assert tls is not None
        assert address is not None, "a DTLS record comes from a proven address only"
        profile = tls.get_selected_srtp_profile()
        export = tls.export_keying_material(b"EXTRACTOR-dtls_srtp", export_bytes(profile))
        session = server_session(profile, export, repeats=self._rtx is None)
        self._sender = Sender(
            self._viewer,
            session,
            self._form,
            self._rtx,
            address=address,
            cname=self._cname,
            start=secrets.randbits(15),
            keep_s=self._options.history_s,
            requested_s=self._requested_s,
        )
        self._caster.join(self._sender)
        if self._sound is not None:
            form = PacketFormat(self._broadcast.ssrc, self._sound.payload_type)
            self._listener = Listener(self._sender, session, form, self._sound.codec, self._cname)
            self._broadcast.join(self._listener)
        self._report()
        logger.info(
            "WebRTC viewing starts, payload type %d, %s",
            self._form.payload_type,
            profile.decode(),
            extra={"camera": self._viewer.camera, "session": self._viewer.session},
        )

    def _report(self) -> None:
        """Reports to the viewer, if it still wants to be sent to (RFC 7675 §5.1)."""
        assert self._sender is not None
        now = self._loop.time()
        if now - self._agent.consented_s > self._options.consent_timeout_s:
            self.end(EndReason.CLIENT_GONE)
            return
        report = self._sender.report(time.time_ns() // 1000, self._caster.rtp_time(now))
        self._port.send(report, self._sender.address)
        if self._listener is not None and self._listener.stream.count:
            timestamp = self._broadcast.rtp_time(self._caster.pts(now))
            self._port.send(self._listener.report(time.time_ns() // 1000, timestamp), self._sender.address)
        interval_s = _REPORT_INTERVAL_S * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, hides nothing
        self._timer = self._loop.call_later(interval_s, self._report)

    def _on_dtls_state(self) -> None:
        assert self._dtls is not None
        if self._dtls.state == "failed":
            self.end(EndReason.NEGOTIATION_TIMEOUT)
        elif self._dtls.state == "closed":
            self.leave()

    def _send_dtls(self, data: bytes) -> None:
        if self._agent.selected is not None:
            self._port.send(data, self._agent.selected)

    def _close(self, reason: EndReason) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._broadcast.leave(self._listener)
        if self._sender is not None:
            self._caster.leave(self._sender)
            self._port.send(self._sender.goodbye(), self._sender.address)
        if self._task is not asyncio.current_task():
            self._task.cancel()
        if self._dtls is not None:
            _run_through(self._dtls.stop())
        for datagram in self._farewell:
            self._send_dtls(datagram)
        self._port.unregister(self._agent.ufrag)
        for address in self._agent.addresses:
            self._port.disprove(address, self)
        self._on_close(self)
        logger.info(
            "WebRTC viewing ends: %s",
            reason,
            extra={"camera": self._viewer.camera, "session": self._viewer.session},
        )


def _run_through(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine that never waits, here and now: all that aiortc awaits of a pipe is ready at once."""
    with contextlib.suppress(StopIteration):
        coroutine.send(None)
    coroutine.close()
