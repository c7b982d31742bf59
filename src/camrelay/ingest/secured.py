"""TLS to a camera: with a certificate that this machine trusts, or with the one that was pinned."""

from __future__ import annotations

import functools
import hashlib
import re
import socket
import ssl

from camrelay.errors import CameraUnreachable
from camrelay.ingest.target import Target


def secured(sock: socket.socket, target: Target) -> ssl.SSLSocket:
    """The connection behind TLS; the handshake is still to be made."""
    host = re.sub(r":\d+$", "", target.authority)
    return _context(is_pinned=bool(target.tls_fingerprint)).wrap_socket(
        sock, server_hostname=host.strip("[]"), do_handshake_on_connect=False
    )


def check_pin(sock: ssl.SSLSocket, target: Target) -> None:
    """Looks at the certificate that a handshake brought.

    Raises:
        CameraUnreachable: another one is pinned.
    """
    pinned = target.tls_fingerprint.replace(":", "").lower()
    shown = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()
    if pinned and shown != pinned:
        raise CameraUnreachable("the camera's certificate is not the pinned one")


@functools.cache
def _context(*, is_pinned: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if is_pinned:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
