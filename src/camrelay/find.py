"""Finding cameras over the API: search the network, ask a device for its streams, look at a stream.

What a search finds is shown and never used by itself: a person chooses, and then an address is checked like
any other that somebody types. All of it is for those who may change cameras.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from camrelay import config
from camrelay.config_file import check_camera
from camrelay.errors import (
    BadRequest,
    ConfigError,
    CredentialsOnHold,
    NotFound,
    Overloaded,
    SourceError,
    WorkerLost,
)
from camrelay.fanout.hub import Hub
from camrelay.ingest.decoder import Decoder
from camrelay.ingest.device import Device, Profile
from camrelay.ingest.report import Report, Seen, Video, judge, profile_name
from camrelay.ingest.scout import Access, Scout
from camrelay.ingest.search import interface_addresses, search
from camrelay.lineup import Channel, Lineup
from camrelay.model import CLOCK_RATE, AccessUnit, CameraState, CameraStatus
from camrelay.server import Route, body, json_response

#: Searches at once; each asks the whole network.
MAX_SEARCHES = 2

#: As long as a probe listens to a camera that is not live.
KEY_FRAME_S = 12.0

_Name = Annotated[str, Meta(max_length=253)]


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/discover. `host` asks one device instead of everybody."""

    seconds: Annotated[float, Meta(ge=0.5, le=15)] = 4.0
    host: _Name = ""


class ProbeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/probe: an RTSP `url`, or an ONVIF `host`; with `profile`, that stream of the host."""

    url: str = ""
    host: _Name = ""
    port: Annotated[int, Meta(ge=1, le=65_535)] = 80
    tls: bool = False
    profile: Annotated[str, Meta(max_length=200)] = ""
    username: str = ""
    password: str = ""
    transport: Literal["tcp", "udp"] = "tcp"
    tls_fingerprint: config.Fingerprint = ""

    def __repr__(self) -> str:
        return "ProbeRequest()"


class Finding(msgspec.Struct, frozen=True):
    """What a probe found. `reason` is why the device could not be asked, "" when it was, or is none.

    `device` is None for a URL, `stream` is None while no stream was chosen. `retry_at_us` (UTC) is set when
    the device was not asked, because it refused these credentials twice.
    """

    reason: str = ""
    retry_at_us: int | None = None
    device: Device | None = None
    stream: Report | None = None


class Finder:
    """The handlers.

    Args:
        check_adder: raises when a request may not add cameras.
        manages: tells for a request which cameras it may change.
    """

    def __init__(
        self,
        lineup: Lineup,
        scout: Scout,
        decoder: Decoder,
        *,
        check_adder: Callable[[web.Request], object],
        manages: Callable[[web.Request], Callable[[config.Camera], bool]],
    ) -> None:
        self._lineup = lineup
        self._scout = scout
        self._decoder = decoder
        self._check_adder = check_adder
        self._manages = manages
        self._searches = 0

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("POST", "/v1/discover", self.discover, SearchRequest),
            Route("POST", "/v1/probe", self.probe, ProbeRequest, Finding),
            Route("POST", "/v1/cameras/{camera}/probe", self.probe_camera, gives=Finding),
        ]

    async def discover(self, request: web.Request) -> web.StreamResponse:
        """Every device that answers, one JSON object a line, as they answer (application/x-ndjson)."""
        self._check_adder(request)
        wanted = await body(request, SearchRequest)
        address = await self._scout.address(wanted.host) if wanted.host else ""
        if not address and not interface_addresses():
            raise ConfigError("this machine has no network interface to search from")
        if self._searches >= MAX_SEARCHES:
            raise Overloaded("somebody is searching already; try again", retry_after_s=5)
        self._searches += 1
        try:
            response = web.StreamResponse(headers={"Cache-Control": "no-store"})
            response.content_type = "application/x-ndjson"
            await response.prepare(request)
            async for found in search(seconds=wanted.seconds, host=address):
                await response.write(msgspec.json.encode(found) + b"\n")
            return response
        finally:
            self._searches -= 1

    async def probe(self, request: web.Request) -> web.Response:
        """What a stream is, or which streams a device offers."""
        self._check_adder(request)
        wanted = await body(request, ProbeRequest)
        if bool(wanted.url) == bool(wanted.host):
            raise BadRequest("name either a url or a host")
        if wanted.url:
            return json_response(Finding(stream=await self._probe_url(wanted, wanted.url)))
        access = Access(wanted.host, wanted.port, wanted.username, wanted.password, wanted.tls)
        try:
            device = await self._scout.describe(access)
        except CredentialsOnHold as e:
            return json_response(Finding(reason=e.code, retry_at_us=e.retry_at_us))
        except SourceError as e:
            return json_response(Finding(reason=e.code))
        if not wanted.profile:
            return json_response(Finding(device=device))
        profile = next((p for p in device.profiles if p.token == wanted.profile), None)
        if profile is None or not profile.rtsp_url:
            raise NotFound("no such profile")
        return json_response(Finding(device=device, stream=await self._preview(wanted, access, profile)))

    async def probe_camera(self, request: web.Request) -> web.Response:
        """What a registered camera's stream is; a live one is not dialled, it may allow one session only."""
        manages = self._manages(request)
        channel = self._lineup.channels.get(request.match_info["camera"])
        if channel is None or not manages(channel.camera):
            raise NotFound("no such camera")
        status = channel.hub.status
        if status is not None and status.state is CameraState.LIVE and channel.hub.ring.since_last_key():
            return json_response(Finding(stream=await self._report_live(channel)))
        return json_response(Finding(stream=await self._scout.probe(channel.camera)))

    async def _preview(self, wanted: ProbeRequest, access: Access, profile: Profile) -> Report:
        """Plays a profile; its encoder is asked for a key frame meanwhile, so that nobody waits for one."""
        asking = asyncio.create_task(self._synchronize(access, profile.token))
        try:
            return await self._probe_url(wanted, profile.rtsp_url)
        finally:
            asking.cancel()
            await asyncio.wait((asking,))

    async def _synchronize(self, access: Access, token: str) -> None:
        try:
            await self._scout.synchronize(access, token)
        except (SourceError, Overloaded):
            return  # The next key frame comes by itself.

    async def _probe_url(self, wanted: ProbeRequest, url: str) -> Report:
        camera = config.Camera(
            id="probe",
            url=url,
            username=wanted.username,
            password=wanted.password,
            transport=wanted.transport,
            tls_fingerprint=wanted.tls_fingerprint,
        )
        check_camera(camera)
        return await self._scout.probe(camera)

    async def _report_live(self, channel: Channel) -> Report:
        """The report of a camera that plays already, from what its ring holds."""
        seen = _seen(channel.hub)
        if seen.key_frames < 2:
            await _next_key_frame(channel.hub)
            seen = _seen(channel.hub)
        key_frame = channel.hub.ring.since_last_key()[0]
        params = key_frame.params
        video = Video(
            codec=params.codec,
            profile=profile_name(params),
            width=params.width,
            height=params.height,
            frame_rate=seen.frame_rate,
            gop_s=seen.gop_s,
            has_b_frames=params.reorder_depth > 0,
            bit_rate_bps=seen.bit_rate_bps,
        )
        try:
            picture = await self._decoder.jpeg(key_frame)
        except WorkerLost:
            picture = b""
        hls, webrtc = judge(video, None)
        return Report(video=video, hls=hls, webrtc=webrtc, jpeg=picture)


def _seen(hub: Hub) -> Seen:
    seen = Seen()
    for au in hub.ring:
        seen.add(au.pts / CLOCK_RATE, is_key=au.is_key, size=len(au.data))
    return seen


class _KeyFrame:
    """An output that waits for one."""

    def __init__(self) -> None:
        self.came = asyncio.Event()

    def access_unit(self, au: AccessUnit) -> None:
        if au.is_key:
            self.came.set()

    def status(self, status: CameraStatus) -> None:
        """A camera that goes offline meanwhile sends none; then the wait has its limit."""


async def _next_key_frame(hub: Hub) -> None:
    key_frame = _KeyFrame()
    detach = hub.attach(key_frame)
    try:
        await asyncio.wait_for(key_frame.came.wait(), KEY_FRAME_S)
    except TimeoutError:
        return
    finally:
        detach()
