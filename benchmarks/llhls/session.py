"""How a player gets in: redirects, cookies, the multivariant playlist; then its references made absolute."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from benchmarks.llhls.http1 import Broken, Connection, Response
from benchmarks.llhls.playlist import first_variant

_REDIRECT_LIMIT = 5


class Session:
    """One player at one server. `reloads` and `media` are its two connections.

    Args:
        headers: sent with every request, such as a token.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(url)
        assert parts.hostname, "a URL has a host"
        address = parts.hostname, parts.port or 80
        self.reloads = Connection(*address)
        self.media = Connection(*address)
        self.requests = 0
        #: Path and query of the media playlist.
        self.playlist_path = ""
        #: Header fields every request carries.
        self.fields = self._own_fields = b"".join(
            f"{name}: {value}\r\n".encode() for name, value in (headers or {}).items()
        )
        self._url = url
        self._directory = ""
        self._cookies: dict[str, str] = {}

    async def enter(self) -> Response:
        """From the URL it was given to its first media playlist.

        Raises:
            Broken: the server does not let it.
            BadPlaylist: what came is none.
        """
        for _ in range(_REDIRECT_LIMIT):
            path = self.path(self._url)
            response = await self.get(self.reloads, path)
            location = response.field("Location")
            if 300 <= response.status < 400 and location:
                self._url = urljoin(self._url, location)
                continue
            variant = first_variant(check(response).content().decode())
            if variant:
                self._url = urljoin(self._url, variant)
                continue
            self.playlist_path = path
            self._directory = path.partition("?")[0].rpartition("/")[0] + "/"
            return response
        raise Broken("too many redirects")

    async def get(self, connection: Connection, path: str, *, keep: bool = True) -> Response:
        """A GET on a connection that is opened when the server closed it; cookies are kept.

        A server may close an idle connection in the moment it is used again: then once more, on a new one
        (RFC 9112 §9.3.1).
        """
        is_used = connection.is_open
        await connection.open()
        try:
            response = await self.send(connection, path, keep=keep)
        except Broken:
            if not is_used or connection.is_open:
                raise
            await connection.open()
            response = await self.send(connection, path, keep=keep)
        if b"ookie:" in response.head:
            self._note_cookie(response.field("Set-Cookie"))
        return response

    def send(self, connection: Connection, path: str, *, keep: bool = True) -> asyncio.Future[Response]:
        """Sends a request on a connection that is open; closing it cancels the future."""
        self.requests += 1
        return connection.get(path, keep=keep, fields=self.fields)

    def path(self, reference: str) -> str:
        """A reference of the playlist as a request target."""
        if not reference.startswith(("/", "?", ".", "http:")):
            return self._directory + reference  # Nearly all are, and urljoin costs as much as a request.
        parts = urlsplit(urljoin(self._url, reference))
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def close(self) -> None:
        """Hangs up both connections."""
        self.reloads.close()
        self.media.close()

    def _note_cookie(self, field: str) -> None:
        name, equals, value = field.split(";")[0].partition("=")
        if equals:
            self._cookies[name] = value
            cookies = "; ".join(map("=".join, self._cookies.items()))
            self.fields = self._own_fields + f"Cookie: {cookies}\r\n".encode()


def check(response: Response) -> Response:
    """The response, if it is a good one.

    Raises:
        Broken: it is not.
    """
    if response.status != 200:
        raise Broken(f"status {response.status}")
    return response
