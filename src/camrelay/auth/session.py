"""Media sessions and their viewings, as the gate keeps them and as the API lists them."""

from __future__ import annotations

import asyncio

import msgspec

from camrelay.auth.policy import Authority
from camrelay.model import CameraId, Protocol, Viewer


class Client(msgspec.Struct, frozen=True):
    """Where a request came from.

    `address` is for the access log alone, which decides what to keep of it; everybody else is shown its
    network, `ip_prefix`.
    """

    address: str
    ip_prefix: str
    agent: str


class Viewing:
    """A Viewer and what the gate knows about it. `recorded` is done when its start is durable."""

    __slots__ = ("began", "bytes_seen", "recorded", "started_us", "used_at", "viewer")

    def __init__(self, viewer: Viewer, now: float, started_us: int) -> None:
        self.viewer = viewer
        self.began = self.used_at = now
        self.started_us = started_us
        self.bytes_seen = 0
        self.recorded: asyncio.Future[None] | None = None


class MediaSession:
    """An authority exchanged for a lease on one camera.

    `secret` is the capability in the path of its URLs, known to the viewer alone; the gate finds a session by
    its hash. A session without a secret carries a single viewing and ends with it. `deadline` is monotonic
    seconds, `expires_us` microseconds of UTC, None without an end.
    """

    __slots__ = (
        "authority", "camera", "client", "deadline", "digest", "hls", "id", "opened_us", "renewing",
        "viewings",
    )  # fmt: skip

    def __init__(
        self,
        *,
        id: str,
        camera: CameraId,
        authority: Authority,
        deadline: float,
        client: Client,
        opened_us: int,
        digest: bytes | None,
    ) -> None:
        self.id = id
        self.camera = camera
        self.authority = authority
        self.deadline = deadline
        self.client = client
        self.opened_us = opened_us
        self.digest = digest
        self.viewings: dict[str, Viewing] = {}
        #: The one HLS viewing, which every request of the player belongs to.
        self.hls: Viewing | None = None
        #: What moves the deadline on while the authority lasts, where the viewer does not.
        self.renewing: asyncio.Task[None] | None = None

    @property
    def expires_us(self) -> int | None:
        """When the authority ends."""
        return self.authority.expires_us

    def info(self) -> SessionInfo:
        """The session as the API shows it: no secret, no address."""
        return SessionInfo(
            id=self.id,
            camera=self.camera,
            subject=self.authority.subject,
            method=self.authority.method,
            ip_prefix=self.client.ip_prefix,
            agent=self.client.agent,
            opened_us=self.opened_us,
            expires_us=self.expires_us,
            viewings=[
                ViewingInfo(x.viewer.id, x.viewer.protocol, x.started_us, x.viewer.bytes_sent)
                for x in self.viewings.values()
            ],
        )

    def __repr__(self) -> str:
        return f"<MediaSession {self.id} {self.camera} {len(self.viewings)} viewings>"


class ViewingInfo(msgspec.Struct, frozen=True):
    """A running viewing for whoever asks who is watching."""

    id: str
    protocol: Protocol
    started_us: int
    bytes_sent: int


class SessionInfo(msgspec.Struct, frozen=True):
    """A media session for whoever asks who is watching."""

    id: str
    camera: CameraId
    subject: str
    method: str
    ip_prefix: str
    agent: str
    opened_us: int
    expires_us: int | None
    viewings: list[ViewingInfo]


class OpenedSession(msgspec.Struct, frozen=True):
    """What whoever opened a session gets, and nobody else: the secret is not kept."""

    id: str
    secret: str
    camera: CameraId
    expires_us: int | None
