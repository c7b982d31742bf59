"""The cookie of a web session, and which requests of a browser it may speak for.

`__Host-` keeps it to this host, this path and TLS (RFC 6265bis §4.1.3.2). Over plain HTTP there is none, but
for a browser on the relay's own machine, where nothing travels; there the cookie cannot have that name.

A cookie is sent with whatever a page makes a browser send, so a request that changes something counts only
when the browser says that a page of ours made it. Requests with a token need no cookie and are not asked.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from camrelay.auth.client import Network, client_address
from camrelay.errors import AccessDenied, BadRequest

NAME = "__Host-camrelay"
LOCAL_NAME = "camrelay"

_SAFE = {"GET", "HEAD", "OPTIONS"}
_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}
#: What our own pages send, and what an address typed or a bookmark sends (W3C Fetch Metadata §2.4).
_OWN_SITES = {"same-origin", "none"}


class Cookies:
    """Reads and sets the cookie.

    Args:
        trusted_proxies: whose X-Forwarded-Proto is believed.
    """

    def __init__(self, trusted_proxies: Collection[Network]) -> None:
        self._trusted = trusted_proxies

    def read(self, request: web.Request) -> str | None:
        """The cookie of a request, None without one."""
        return request.cookies.get(NAME if self._is_secure(request) else LOCAL_NAME)

    def give(self, request: web.Request, response: web.Response, value: str, life_s: int | None) -> None:
        """Sets the cookie, for a while or, None, until the browser is closed.

        Raises:
            BadRequest: it would travel in the clear.
        """
        self.check_private(request)
        name = NAME if self._is_secure(request) else LOCAL_NAME
        response.set_cookie(
            name, value, path="/", secure=name == NAME, httponly=True, samesite="Lax", max_age=life_s
        )

    def take(self, request: web.Request, response: web.Response) -> None:
        """Takes the cookie away again."""
        name = NAME if self._is_secure(request) else LOCAL_NAME
        response.del_cookie(name, path="/", secure=name == NAME, httponly=True, samesite="Lax")

    def check_private(self, request: web.Request) -> None:
        """Passes a request that nobody on the way can read.

        Raises:
            BadRequest: it came over plain HTTP, and not from this machine.
        """
        if not self._is_secure(request) and not self._is_local(request):
            raise BadRequest("signing in needs https://")

    def _is_secure(self, request: web.Request) -> bool:
        return request.secure or (
            self._came_by_proxy(request) and request.headers.get("X-Forwarded-Proto", "").strip() == "https"
        )

    def _is_local(self, request: web.Request) -> bool:
        host = urlsplit(f"//{request.host}").hostname
        peer = client_address(request.remote, (), ())
        return host in _LOCAL_HOSTS and peer is not None and peer.is_loopback

    def _came_by_proxy(self, request: web.Request) -> bool:
        try:
            peer = ip_address(request.remote or "")
        except ValueError:
            return False
        return any(peer in network for network in self._trusted)


def check_origin(request: web.Request, *, has_cookie: bool) -> None:
    """Passes a request that changes nothing, or that a page of ours made.

    Args:
        has_cookie: a request whose cookie would count has to prove it; another one passes unless
            another site sent it.

    Raises:
        AccessDenied: another site made it.
    """
    if request.method in _SAFE:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        is_own = site in _OWN_SITES
    elif origin is not None:
        is_own = urlsplit(origin).netloc.casefold() == request.host.casefold() != ""
    else:
        is_own = not has_cookie
    if not is_own:
        raise AccessDenied("cross_site")
