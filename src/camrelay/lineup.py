"""Which cameras there are: those of the configuration file, then those registered while camrelay runs.

Adding, changing or removing one touches no other. A change that leaves the way to the camera as it was (its
title, say) does not touch its stream either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import msgspec

from camrelay import config
from camrelay.camera_store import CameraStore
from camrelay.config_file import check_camera
from camrelay.errors import BadRequest, CameraExists, NotFound
from camrelay.fanout.hub import Hub
from camrelay.ingest.egress import EgressPolicy, parse_camera_url
from camrelay.model import CameraId, Rendition, stream_name

#: What a camera's stream, or who may have it, depends on; a change of anything else leaves viewers alone.
_STREAM_FIELDS = (
    *("url", "sub_url", "username", "password", "transport", "tls_fingerprint", "onvif_port"),
    *("onvif_profile", "audio", "connect", "tenant", "owner"),
)


class Channel:
    """One camera of the relay: its options and its hubs. `sub` is of its smaller stream, None without one."""

    def __init__(self, camera: config.Camera, limits: config.Ring) -> None:
        self.camera = camera
        self.hub = Hub(CameraId(camera.id), limits)
        self.sub = Hub(CameraId(camera.id), limits, Rendition.SUB) if camera.sub_url else None

    @property
    def streams(self) -> list[tuple[config.Camera, Hub]]:
        """What there is to read, each under the name of its stream, and where it goes."""
        if self.sub is None:
            return [(self.camera, self.hub)]
        name = stream_name(self.camera.id, Rendition.SUB)
        # Its ONVIF profile is the main stream's.
        smaller = msgspec.structs.replace(self.camera, id=name, url=self.camera.sub_url, onvif_profile="")
        return [(self.camera, self.hub), (smaller, self.sub)]


class Lineup:
    """The cameras of one relay.

    Args:
        attach: connects a new channel to ingest and outputs.
        detach: disconnects it again and ends its viewings.
        changed: is told of a camera that has other options and the stream it had.
        removed: is told the id of a camera that is gone for good.
    """

    def __init__(
        self,
        options: config.Config,
        store: CameraStore,
        *,
        attach: Callable[[Channel], None],
        detach: Callable[[Channel], Awaitable[None]],
        changed: Callable[[config.Camera], Awaitable[None]],
        removed: Callable[[str], Awaitable[None]],
    ) -> None:
        self._options = options
        self._store = store
        self._egress = EgressPolicy(options.egress)
        self._attach = attach
        self._detach = detach
        self._changed = changed
        self._removed = removed
        self._channels: dict[str, Channel] = {}
        self._fixed = {camera.id for camera in options.camera}
        #: What is stored and what runs change together.
        self._changing = asyncio.Lock()

    @property
    def channels(self) -> Mapping[str, Channel]:
        """Every camera by id, as a view that stays up to date."""
        return MappingProxyType(self._channels)

    def camera(self, camera_id: str) -> config.Camera | None:
        """The options of a camera, None when there is none."""
        channel = self._channels.get(camera_id)
        return channel.camera if channel else None

    async def open(self) -> None:
        """Connects every camera. A stored one whose id the configuration took since waits for a new id."""
        for camera in self._options.camera:
            self._begin(camera)
        for camera in await self._store.cameras():
            if camera.id not in self._channels:
                self._begin(camera)

    async def add(self, camera: config.Camera) -> Channel:
        """Registers a camera and connects it.

        Raises:
            CameraExists: its id is taken.
            ConfigError, EgressDenied: its URL is none, its options contradict each other, or its address is
                not allowed.
        """
        self._check(camera)
        async with self._changing:
            if camera.id in self._channels:
                raise CameraExists("a camera with this id is there already")
            await self._store.add_camera(camera)
            return self._begin(camera)

    async def change(self, camera_id: str, fields: Mapping[str, object]) -> Channel:
        """Replaces some options of a registered camera.

        Raises:
            NotFound: no such camera.
            BadRequest: it stands in the configuration file.
            ConfigError, EgressDenied: as of `add`.
        """
        async with self._changing:
            channel = self._registered(camera_id)
            camera = msgspec.structs.replace(channel.camera, **fields)
            self._check(camera)
            await self._store.change_camera(camera)
            return await self._replace(channel, camera)

    async def remove(self, camera_id: str) -> None:
        """Ends a registered camera and forgets it.

        Raises:
            NotFound: no such camera.
            BadRequest: it stands in the configuration file.
        """
        async with self._changing:
            channel = self._registered(camera_id)
            await self._store.remove_camera(camera_id)
            await self._end(channel)
            await self._removed(camera_id)

    async def refresh(self) -> None:
        """Does here what other relays on the same database have done to the registered cameras."""
        async with self._changing:
            stored = {camera.id: camera for camera in await self._store.cameras()}
            for channel in [*self._channels.values()]:
                if channel.camera.id not in self._fixed | stored.keys():
                    await self._end(channel)
            for id in stored.keys() - self._fixed:
                known = self._channels.get(id)
                if known is None:
                    self._begin(stored[id])
                elif known.camera != stored[id]:
                    await self._replace(known, stored[id])

    async def remove_all_of(self, owner: str) -> None:
        """Removes every camera of an account.

        Raises:
            BadRequest: one of them stands in the configuration file.
        """
        owned = [id for id, channel in self._channels.items() if channel.camera.owner == owner]
        for id in owned:
            self._registered(id)
        for id in owned:
            await self.remove(id)

    def _check(self, camera: config.Camera) -> None:
        check_camera(camera)
        for url in filter(None, (camera.url, camera.sub_url)):
            self._egress.check_url(parse_camera_url(url))

    def _registered(self, camera_id: str) -> Channel:
        if camera_id in self._fixed:
            raise BadRequest("this camera stands in the configuration file; change it there and restart")
        channel = self._channels.get(camera_id)
        if channel is None:
            raise NotFound("no such camera")
        return channel

    def _begin(self, camera: config.Camera) -> Channel:
        channel = Channel(camera, self._options.ring)
        self._channels[camera.id] = channel
        self._attach(channel)
        return channel

    async def _replace(self, channel: Channel, camera: config.Camera) -> Channel:
        if _has_same_stream(camera, channel.camera):
            channel.camera = camera
            await self._changed(camera)
            return channel
        await self._end(channel)
        return self._begin(camera)

    async def _end(self, channel: Channel) -> None:
        del self._channels[channel.camera.id]
        await self._detach(channel)


def _has_same_stream(one: config.Camera, other: config.Camera) -> bool:
    # Caches may keep what is public, so that is another stream; other steps of visibility are not.
    if (one.visibility == "public") != (other.visibility == "public"):
        return False
    return all(getattr(one, name) == getattr(other, name) for name in _STREAM_FIELDS)
