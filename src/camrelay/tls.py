"""TLS of the listener: a certificate and its key, read again when their files change, without a restart.

Connections that are open keep the certificate they began with. Files that do not belong together, such as
half-written ones, change nothing; the next look may find them whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from camrelay.errors import AccessDenied, ConfigError

#: How late a new certificate is noticed.
LOOK_S = 5.0

logger = logging.getLogger("camrelay.server")


class Certificate:
    """The files of a certificate (PEM, with its chain) and of its key, and the context made of them.

    Raises:
        ConfigError: they cannot be used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._seen = self._look()
        try:
            self.context = self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
        except (OSError, ssl.SSLError):
            raise ConfigError(
                "server.tls_certificate and server.tls_key are not a certificate and its key",
                hint="both in PEM, readable by this user, the key without a passphrase",
            ) from None
        # HTTP/1.1 is what the listener speaks (RFC 7301).
        self.context.set_alpn_protocols(["http/1.1"])

    def refresh(self) -> bool:
        """Reads the files again if they have changed; whether new connections get another certificate."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            # First into a context that nobody uses: a failure must not leave half of it in ours.
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            self._load(self.context)
        except (OSError, ssl.SSLError):
            logger.error("the certificate has changed and cannot be used; the one before stays")
            return False
        logger.info("the certificate is read again")
        return True

    async def keep_fresh(self) -> None:
        """Looks at the files every few seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.to_thread(self.refresh)

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        # An empty password instead of a prompt at the terminal.
        context.load_cert_chain(self._certificate, self._key, password="")
        return context

    def _look(self) -> tuple[object, ...]:
        found: list[object] = []
        for path in (self._certificate, self._key):
            try:
                status = os.stat(path)
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
            except OSError:
                found.append(None)
        return tuple(found)


def fingerprint(certificate: Path) -> bytes:
    """The SHA-256 of the first certificate in a PEM file, by which the command line knows its own relay.

    Raises:
        ConfigError: there is none.
    """
    try:
        text = certificate.read_text()
        end = "-----END CERTIFICATE-----"
        first = text[text.index("-----BEGIN CERTIFICATE-----") : text.index(end) + len(end)]
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).digest()
    except (OSError, ValueError):
        raise ConfigError("server.tls_certificate cannot be read") from None


def redirecting(port: int) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler for the plain listener: who only looks is sent to TLS on `port`, all else is refused."""

    async def redirect(request: web.Request) -> web.Response:
        if request.method not in ("GET", "HEAD"):
            # What was sent has been read on the way already; taking it would make that look right.
            raise AccessDenied("plain_http")
        host = request.url.host or "localhost"
        place = request.url.with_scheme("https").with_host(host).with_port(None if port == 443 else port)
        return web.Response(status=308, headers={"Location": str(place), "Cache-Control": "no-store"})

    return redirect
