"""The JSON API under /v1, with the way from a grant to a player: what pages, owners and programs ask for.

Handlers read what the application already knows; nothing here touches media. Answers list only cameras the
asker may watch, so that an unknown camera and a forbidden one look the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, Protocol

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from camrelay import config
from camrelay.auth.account import Account, Role, Tier
from camrelay.auth.share import Visibility
from camrelay.errors import AccessDenied, BadRequest, NotFound, PublishUnconfirmed, TokenMissing
from camrelay.fanout.hub import Hub
from camrelay.lineup import Channel, Lineup
from camrelay.model import AudioCodec, CameraState
from camrelay.server import Route, body, json_response


class StreamView(msgspec.Struct, frozen=True):
    """A camera's smaller stream: the state it is in by itself, and its picture."""

    state: CameraState
    reason: str
    bit_rate_bps: int
    codec: str | None
    width: int | None
    height: int | None
    frame_rate: float | None


class CameraView(msgspec.Struct, frozen=True):
    """One camera as the page sees it. Times are UTC microseconds; rates are bits and pictures per second."""

    id: str
    title: str
    description: str
    time_zone: str
    visibility: str
    connect: str
    state: CameraState
    since_us: int
    reason: str
    retry_at_us: int | None
    viewers: int
    bit_rate_bps: int
    codec: str | None
    audio: AudioCodec | None
    width: int | None
    height: int | None
    frame_rate: float | None
    #: None where there is none.
    sub: StreamView | None
    #: Whether the asker may change and share it.
    may_manage: bool


class CameraList(msgspec.Struct, frozen=True):
    """The cameras that the asker may watch, in the order of the configuration."""

    cameras: list[CameraView]


class CameraChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PATCH /v1/cameras/{id}: every field of a camera but its id, each optional."""

    url: str | UnsetType = UNSET
    sub_url: str | UnsetType = UNSET
    title: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=2000)] | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET
    username: str | UnsetType = UNSET
    password: str | UnsetType = UNSET
    transport: Literal["tcp", "udp"] | UnsetType = UNSET
    audio: bool | UnsetType = UNSET
    connect: Literal["always", "on_demand"] | UnsetType = UNSET
    tls_fingerprint: config.Fingerprint | UnsetType = UNSET
    onvif_port: Annotated[int, Meta(ge=1, le=65_535)] | UnsetType = UNSET
    onvif_profile: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET
    visibility: Visibility | UnsetType = UNSET
    #: Has to be true when this makes the camera public.
    confirm_public: bool = False

    def __repr__(self) -> str:
        return "CameraChanges()"


class SessionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/media/sessions."""

    camera: str


class SessionView(msgspec.Struct, frozen=True):
    """A media session. `hls` and `whep` are paths that carry their own right.

    `expires_at` is UTC seconds, None while the camera is public and the right has no end.
    """

    id: str
    hls: str
    whep: str
    expires_at: int | None


class Session(Protocol):
    """What the gate hands out for a media session."""

    @property
    def id(self) -> str: ...

    @property
    def secret(self) -> str: ...

    @property
    def camera(self) -> str: ...

    @property
    def expires_us(self) -> int | None: ...


def camera_view(channel: Channel, viewers: int, *, may_manage: bool) -> CameraView:
    """What is known of a camera right now."""
    camera, status, params = channel.camera, channel.hub.status, channel.hub.params
    stream = _stream_view(channel.hub)
    return CameraView(
        id=camera.id,
        title=camera.title or camera.id,
        description=camera.description,
        time_zone=camera.time_zone,
        visibility=camera.visibility,
        connect=camera.connect,
        state=stream.state,
        since_us=status.since_us if status else 0,
        reason=stream.reason,
        retry_at_us=status.retry_at_us if status else None,
        viewers=viewers,
        bit_rate_bps=stream.bit_rate_bps,
        codec=stream.codec,
        audio=params.audio.codec if params and params.audio else None,
        width=stream.width,
        height=stream.height,
        frame_rate=stream.frame_rate,
        sub=_stream_view(channel.sub) if channel.sub else None,
        may_manage=may_manage,
    )


def _stream_view(hub: Hub) -> StreamView:
    status, params = hub.status, hub.params
    is_live = status is not None and status.state is CameraState.LIVE
    return StreamView(
        state=status.state if status else CameraState.CONNECTING,
        reason=status.reason if status else "",
        bit_rate_bps=hub.ring.bit_rate_bps if is_live else 0,
        codec=params.rfc6381 if params else None,
        width=params.width if params else None,
        height=params.height if params else None,
        frame_rate=params.frame_rate if params else None,
    )


class Api:
    """The handlers.

    Args:
        lineup: every camera there is.
        may_watch: tells for a request which cameras its authority reaches.
        manages: tells for a request which cameras it may change.
        adder: who adds a camera by a request, None for whoever runs the relay; raises when nobody may.
        tier: the limits of an account, None without any.
        open_session: exchanges the request's authority for a media session on one camera.
        viewers: how many viewings of a camera run now.
    """

    def __init__(
        self,
        *,
        lineup: Lineup,
        may_watch: Callable[[web.Request], Callable[[config.Camera], bool]],
        manages: Callable[[web.Request], Callable[[config.Camera], bool]],
        adder: Callable[[web.Request], Account | None],
        tier: Callable[[str], Awaitable[Tier | None]],
        open_session: Callable[[web.Request, str], Awaitable[Session]],
        viewers: Callable[[str], int],
    ) -> None:
        self._lineup = lineup
        self._may_watch = may_watch
        self._manages = manages
        self._adder = adder
        self._tier = tier
        self._open_session = open_session
        self._viewers = viewers

    def routes(self) -> list[Route]:
        """The route table of /v1."""
        return [
            Route("GET", "/v1/cameras", self.list_cameras, gives=CameraList),
            Route("GET", "/v1/cameras/{camera}", self.show_camera, gives=CameraView),
            Route("POST", "/v1/cameras", self.add_camera, config.Camera, CameraView, 201),
            Route("PATCH", "/v1/cameras/{camera}", self.change_camera, CameraChanges, CameraView),
            Route("DELETE", "/v1/cameras/{camera}", self.remove_camera, status=204),
            Route("POST", "/v1/media/sessions", self.create_session, SessionRequest, SessionView, 201),
            Route("GET", "/hls/{camera}/index.m3u8", self.redirect_to_session),
        ]

    async def list_cameras(self, request: web.Request) -> web.Response:
        """Every camera the asker may watch, in the order of the configuration."""
        may_watch, view = self._may_watch(request), self._viewer_of(request)
        return json_response(
            CameraList([view(c) for c in self._lineup.channels.values() if may_watch(c.camera)])
        )

    async def show_camera(self, request: web.Request) -> web.Response:
        """One camera."""
        may_watch = self._may_watch(request)
        channel = self._lineup.channels.get(request.match_info["camera"])
        if channel is None or not may_watch(channel.camera):
            raise NotFound("no such camera")
        return json_response(self._viewer_of(request)(channel))

    async def add_camera(self, request: web.Request) -> web.Response:
        """Registers a camera; it connects at once. Its password is never shown again."""
        account, camera = self._adder(request), await body(request, config.Camera)
        if account is not None:
            camera = await self._as_own(account, camera)
        return json_response(self._view(await self._lineup.add(camera)), status=201)

    async def change_camera(self, request: web.Request) -> web.Response:
        """Changes what the body names, and only that."""
        self._check_manages(request)
        changes = await body(request, CameraChanges)
        fields = {
            name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET
        }
        channel = self._lineup.channels[request.match_info["camera"]]
        if not fields.pop("confirm_public") and changes.visibility is Visibility.PUBLIC:
            _check_public_already(channel.camera)
        return json_response(self._view(await self._lineup.change(channel.camera.id, fields)))

    async def remove_camera(self, request: web.Request) -> web.Response:
        """Ends a camera with everything that hangs on it."""
        self._check_manages(request)
        await self._lineup.remove(request.match_info["camera"])
        return web.Response(status=204)

    async def create_session(self, request: web.Request) -> web.Response:
        """Exchanges an authority for a media session: paths that any player can open."""
        wanted = await body(request, SessionRequest)
        session = await self._open_session(request, wanted.camera)
        root = f"/m/{session.secret}/{session.camera}"
        return json_response(
            SessionView(
                id=session.id,
                hls=f"{root}/index.m3u8",
                whep=f"{root}/whep",
                expires_at=None if session.expires_us is None else session.expires_us // 1_000_000,
            ),
            status=201,
        )

    async def redirect_to_session(self, request: web.Request) -> web.Response:
        """For players that can send a Bearer header, or none at all to a public camera."""
        session = await self._open_session(request, request.match_info["camera"])
        place = f"/m/{session.secret}/{session.camera}/index.m3u8"
        return web.Response(status=307, headers={"Location": place, "Cache-Control": "no-store"})

    def _check_manages(self, request: web.Request) -> None:
        manages = self._manages(request)
        channel = self._lineup.channels.get(request.match_info["camera"])
        if channel is None or not manages(channel.camera):
            if channel is not None and self._may_watch(request)(channel.camera):
                raise AccessDenied("action_not_granted")
            raise NotFound("no such camera")

    async def _as_own(self, account: Account, camera: config.Camera) -> config.Camera:
        """A new camera as this account may add it: the operators' of its tenant, or an owner's own."""
        if account.role is Role.OPERATOR:
            return msgspec.structs.replace(camera, tenant=account.tenant, owner="")
        tier = await self._tier(account.id)
        owned = sum(channel.camera.owner == account.id for channel in self._lineup.channels.values())
        if tier is not None and owned >= tier.max_cameras:
            raise BadRequest(f"your account has room for {tier.max_cameras} cameras")
        return msgspec.structs.replace(camera, tenant=account.tenant, owner=account.id)

    def _viewer_of(self, request: web.Request) -> Callable[[Channel], CameraView]:
        """What shows cameras to whoever sends a request."""
        try:
            manages = self._manages(request)
        except TokenMissing:
            return lambda channel: self._view(channel, may_manage=False)
        return lambda channel: self._view(channel, may_manage=manages(channel.camera))

    def _view(self, channel: Channel, *, may_manage: bool = True) -> CameraView:
        return camera_view(channel, self._viewers(channel.camera.id), may_manage=may_manage)


def _check_public_already(camera: config.Camera) -> None:
    """Passes a camera that is public; PublishUnconfirmed names what would become so."""
    if camera.visibility != "public":
        named = [f"the title “{camera.title or camera.id}”"]
        named += [f"the description “{camera.description}”"] * bool(camera.description)
        raise PublishUnconfirmed(
            f"Everybody could see the live picture, snapshots of it, {', '.join(named)} and the local time "
            f"in {camera.time_zone}. Send confirm_public to publish that."
        )
