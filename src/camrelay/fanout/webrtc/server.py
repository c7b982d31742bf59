"""The WebRTC output as the relay sees it: one port, one caster per stream, the peers of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from camrelay import config, metrics
from camrelay.errors import (
    NegotiationFailed,
    NotFound,
    Overloaded,
    SessionEnded,
    StreamNotReady,
    TooManyRequests,
)
from camrelay.fanout.hub import Hub
from camrelay.fanout.webrtc.caster import Caster
from camrelay.fanout.webrtc.peer import Certificate, Peer
from camrelay.fanout.webrtc.rtp import refusal
from camrelay.fanout.webrtc.sdp import (
    Format,
    Offer,
    choose,
    choose_h265,
    choose_sound,
    h264_profile,
    parse_offer,
)
from camrelay.fanout.webrtc.sound import Broadcast
from camrelay.fanout.webrtc.turns import Turns
from camrelay.fanout.webrtc.udp import Port
from camrelay.fanout.webrtc.whep import GuardedRoute, OpenRoute, Whep
from camrelay.model import CameraId, Codec, EndReason, VideoParams, Viewer, void

#: Viewers between their offer and the end of their handshake, which takes browsers a tenth of a second and us
#: 2 ms of the core. Whoever posts offers and leaves it at that cannot take all places for viewers.
MAX_JOINING = 256


class _Stream(NamedTuple):
    """A stream of a camera, and what takes it away from its viewers."""

    hub: Hub
    caster: Caster
    broadcast: Broadcast
    detach: Callable[[], None]


class WebrtcServer:
    """Everything WebRTC of one relay process.

    Raises:
        ConfigError: an ICE server is none.
    """

    def __init__(self, options: config.Webrtc) -> None:
        self._options = options
        self._port = Port(options.listen)
        self._turns = Turns()
        self._certificate = Certificate.generateCertificate()
        self._hosts: tuple[str, ...] = ()
        self._cameras: dict[str, dict[str, _Stream]] = {}
        self._peers: dict[str, Peer] = {}
        self._whep = Whep(self._open, self._find, options.ice_servers)

    async def start(self) -> None:
        """Opens the UDP port.

        Raises:
            ConfigError: the address is taken or not this machine's.
        """
        self._port.open()
        self._hosts = self._options.advertise or tuple(self._port.hosts())

    async def stop(self) -> None:
        """Ends every viewing and closes the port; stopping what never started does no harm."""
        for camera in list(self._cameras):
            self._remove(camera, EndReason.SERVER_STOP)
        self._port.close()

    def attach(self, hub: Hub) -> None:
        """Offers a stream of a camera to viewers."""
        caster = Caster(hub, self._port, self._turns, self._options)
        broadcast = Broadcast(hub, self._port, self._turns)
        detach, unhear = hub.attach(caster), hub.hear(broadcast.hear)

        def part() -> None:
            detach()
            unhear()

        streams = self._cameras.setdefault(hub.camera, {})
        streams[hub.rendition] = _Stream(hub, caster, broadcast, part)

    def detach(self, camera: CameraId) -> None:
        """Takes a camera away from its viewers."""
        self._remove(camera, EndReason.CAMERA_REMOVED)

    def routes(self) -> list[GuardedRoute]:
        """(method, path, handler) of what starts a viewing: behind the gate only."""
        return self._whep.routes()

    def open_routes(self) -> list[OpenRoute]:
        """(method, path, handler) of what starts nothing."""
        return self._whep.open_routes()

    def _remove(self, camera: str, reason: EndReason) -> None:
        streams = self._cameras.pop(camera).values()
        for stream in streams:
            stream.detach()
        for peer in [peer for peer in self._peers.values() if peer.camera == camera]:
            peer.end(reason)
        for stream in streams:
            stream.caster.close()
            stream.broadcast.close()

    async def _open(self, camera: CameraId, rendition: str, offer_text: bytes, viewer: Viewer) -> Peer:
        offer = parse_offer(offer_text)
        if camera not in self._cameras:
            raise StreamNotReady("the camera has no live picture")
        if rendition not in self._cameras[camera]:
            raise NotFound("no such rendition")
        await self._cameras[camera][rendition].hub.live()
        if viewer.end_reason is not None:
            raise SessionEnded(viewer.end_reason)
        hub, caster, broadcast, _ = self._cameras[camera][rendition]
        if hub.params is None:
            raise StreamNotReady("the camera has no live picture")
        if reason := refusal(hub.params):
            raise NegotiationFailed(reason)
        if len(self._peers) >= self._options.max_viewers:
            raise Overloaded("this server has as many viewers as it may have")
        if sum(peer.is_joining for peer in self._peers.values()) >= MAX_JOINING:
            raise TooManyRequests("too many viewers are joining")
        form = _choose(offer, hub.params)
        if form.profile and form.profile != h264_profile(hub.params.profile_level_id.hex()):
            metrics.webrtc_profile_fallbacks.labels(camera).inc()
        peer = Peer(
            viewer,
            offer,
            form,
            caster=caster,
            broadcast=broadcast,
            sound=choose_sound(offer, hub.params.audio.codec) if hub.params.audio else None,
            port=self._port,
            hosts=self._hosts,
            certificate=self._certificate,
            options=self._options,
            on_close=lambda peer: void(self._peers.pop(peer.resource, None)),
        )
        self._peers[peer.resource] = peer
        return peer

    def _find(self, camera: str, resource: str) -> Peer | None:
        peer = self._peers.get(resource)
        return peer if peer is not None and peer.camera == camera else None


def _choose(offer: Offer, params: VideoParams) -> Format:
    if params.codec is Codec.H265:
        return choose_h265(offer, params.config)
    return choose(offer, params.profile_level_id)
