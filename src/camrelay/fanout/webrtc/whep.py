"""WHEP (draft-ietf-wish-whep-03): an offer is posted, an answer and a resource come back.

ICE-lite makes trickling easy: the relay dials nobody, so candidates that come later are read by nobody. ICE
restarts are refused; a viewer whose address changes is followed without one. A resource's address is its key:
it cannot be guessed, so operations on it ask for nothing else. PATCHes are limited for each viewing; DELETE
ends it, so there is one, and the number of viewings is limited where they begin.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from aiohttp import web

from camrelay.errors import (
    BadRequest,
    CamrelayError,
    ConfigError,
    NegotiationFailed,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    TooManyRequests,
)
from camrelay.fanout.webrtc.sdp import MAX_CANDIDATES, MAX_OFFER_BYTES
from camrelay.model import CameraId, EndReason, Rendition, Viewer

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"

#: A viewing may send so many PATCHes within so many seconds: all candidates of an offer one by one, twice.
MAX_PATCHES = 2 * MAX_CANDIDATES
PATCH_WINDOW_S = 60

OpenRoute = tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]
GuardedRoute = tuple[str, str, Callable[[web.Request, Viewer], Awaitable[web.StreamResponse]]]

#: Players on other origins may use WHEP: what guards it is the token or the path, not the browser's cookies.
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, PATCH, DELETE, GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "ETag, Link, Location, Retry-After",
}

_ICE_SERVER = re.compile(
    r"(?P<scheme>stuns?|turns?):(?:(?P<user>[^:@\"\s]+):(?P<password>[^@\"\s]+)@)?(?P<rest>[^@\"<>\s]+)"
)


class Resource(Protocol):
    """What WHEP needs of a peer."""

    answer: str
    resource: str
    etag: str

    @property
    def remote_ufrag(self) -> str:
        """The viewer's ICE user name fragment."""
        ...

    def may_patch(self) -> bool:
        """Counts a PATCH; False for one too many."""
        ...

    def leave(self) -> None:
        """Ends the viewing because the viewer asked for it."""
        ...


class Whep:
    """The handlers.

    Args:
        open: makes a peer of a camera, one of its renditions, an offer and a viewer, or raises why not.
        find: a peer by camera and resource name.
        ice_servers: STUN and TURN URLs for viewers, as configured.

    Raises:
        ConfigError: an ICE server is none.
    """

    def __init__(
        self,
        open: Callable[[CameraId, str, bytes, Viewer], Awaitable[Resource]],
        find: Callable[[str, str], Resource | None],
        ice_servers: Sequence[str],
    ) -> None:
        self._open = open
        self._find = find
        self._links = [_link(server) for server in ice_servers]

    def routes(self) -> list[GuardedRoute]:
        """The routes that start a viewing, to be put behind the gate."""
        return [("POST", "/whep/{camera}", self.post), ("POST", "/m/{secret}/{camera}/whep", self.post)]

    def open_routes(self) -> list[OpenRoute]:
        """The routes that start nothing: an endpoint tells no secret, a resource is guarded by its name."""
        found: list[OpenRoute] = []
        for path in ("/whep/{camera}", "/m/{secret}/{camera}/whep", "/whep/{camera}/{resource}"):
            found += [("OPTIONS", path, self.options), ("GET", path, self.get), ("HEAD", path, self.head)]
        found += [
            ("PATCH", "/whep/{camera}/{resource}", self.patch),
            ("DELETE", "/whep/{camera}/{resource}", self.delete),
        ]
        return found

    async def post(self, request: web.Request, viewer: Viewer) -> web.Response:
        """Answers an offer: 201, with the resource in Location. `?rendition=` chooses a stream."""
        rendition = request.query.get("rendition", Rendition.MAIN)
        try:
            peer = await self._open(viewer.camera, rendition, await _body(request, SDP), viewer)
        except CamrelayError:
            viewer.end(EndReason.NOT_STARTED)
            raise
        except BaseException:
            viewer.end(EndReason.CLIENT_GONE)
            raise
        response = web.Response(status=201, text=peer.answer, content_type=SDP, headers=_CORS)
        response.headers["Location"] = f"/whep/{viewer.camera}/{peer.resource}"
        response.headers["ETag"] = peer.etag
        for link in self._links:
            response.headers.add("Link", link)
        return response

    async def patch(self, request: web.Request) -> web.Response:
        """Takes trickled candidates (204) and refuses an ICE restart (422)."""
        peer = self._peer(request)
        if not peer.may_patch():
            raise TooManyRequests("this viewing has too many candidates", retry_after_s=PATCH_WINDOW_S)
        fragment = await _body(request, FRAGMENT)
        condition = request.headers.get("If-Match")
        if condition is None:
            raise PreconditionFailed("name the ICE session with If-Match", missing=True)
        if condition != "*" and peer.etag not in (tag.strip() for tag in condition.split(",")):
            raise PreconditionFailed("the ICE session is another one")
        ufrags = {line[12:].strip() for line in fragment.splitlines() if line.startswith(b"a=ice-ufrag:")}
        if ufrags - {peer.remote_ufrag.encode()}:
            raise NegotiationFailed("ICE restarts are not supported; a new address needs none")
        return web.Response(status=204, headers=_CORS)

    async def delete(self, request: web.Request) -> web.Response:
        """Ends the viewing."""
        self._peer(request).leave()
        return web.Response(headers=_CORS)

    async def options(self, _: web.Request) -> web.Response:
        """What a browser asks before it posts from another origin."""
        return web.Response(status=204, headers={**_CORS, "Accept-Post": SDP, "Accept-Patch": FRAGMENT})

    async def get(self, request: web.Request) -> web.Response:
        """Nothing to see, successfully."""
        self._require_known(request)
        return web.Response(status=204, headers=_CORS)

    async def head(self, request: web.Request) -> web.Response:
        """As GET, naming the type that the answer of a POST has."""
        self._require_known(request)
        return web.Response(content_type=SDP, headers=_CORS)

    def _require_known(self, request: web.Request) -> None:
        if "resource" in request.match_info:
            self._peer(request)

    def _peer(self, request: web.Request) -> Resource:
        peer = self._find(request.match_info["camera"], request.match_info["resource"])
        if peer is None:
            raise NotFound("no such viewing")
        return peer


async def _body(request: web.Request, content_type: str) -> bytes:
    if request.content_type != content_type:
        raise BadRequest(f"send {content_type}")
    if (request.content_length or 0) > MAX_OFFER_BYTES:
        raise PayloadTooLarge(f"at most {MAX_OFFER_BYTES} bytes")
    return await request.read()


def _link(server: str) -> str:
    """A Link header value (WHEP draft -03 §4.6) for "stun:host:port" or "turn:user:password@host:port"."""
    match = _ICE_SERVER.fullmatch(server)
    if match is None:
        raise ConfigError("webrtc.ice_servers has an entry that is no STUN or TURN URL")
    link = f'<{match["scheme"]}:{match["rest"]}>; rel="ice-server"'
    if match["user"]:
        link += f'; username="{match["user"]}"; credential="{match["password"]}"; credential-type="password"'
    return link
