"""Whom an attempt dials, and what its requests call it."""

from __future__ import annotations

import msgspec


class Target(msgspec.Struct, frozen=True):
    """A camera as it may be dialled: `address` is resolved and checked, `authority` is its URL's."""

    address: str
    port: int
    authority: str
    #: With its query.
    path: str
    username: str = ""
    password: str = ""
    is_tls: bool = False
    #: SHA-256 of the certificate in hexadecimal, colons or not; "": this machine must trust the certificate.
    tls_fingerprint: str = ""

    @property
    def url(self) -> str:
        """What requests to the camera name; without credentials."""
        return f"{self.base}{self.path}"

    @property
    def base(self) -> str:
        """Scheme and authority of `url`."""
        return f"{'rtsps' if self.is_tls else 'rtsp'}://{self.authority}"

    def __repr__(self) -> str:
        return "Target()"
