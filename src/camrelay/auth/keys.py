"""The keys that grant tokens are signed with: one file each, in a directory that only camrelay can read.

Every key in the directory is believed; the newest that has been there for ACTIVATION_S signs. So each server
that shares the directory knows a key before the first token signed with it arrives, and a rotation refuses
nobody.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from camrelay.auth.token import SigningKey, VerificationKey
from camrelay.config import TenantKey
from camrelay.durable import make_private_directory, sync_directory, write_new
from camrelay.errors import ConfigError

#: A server reads the directory twice a second; ten times that long is enough for the slowest.
ACTIVATION_S = 5.0

_MAX_KEY_FILE = 4096  # A PKCS #8 Ed25519 key in PEM has 119 bytes.
_OTHERS = 0o077


class _Entry(NamedTuple):
    path: Path
    made_at: float
    key: SigningKey


class KeyRing:
    """The keys in a directory. The first is made at first start.

    Args:
        tenants: keys that are believed besides, each for its tenant; they sign elsewhere.
        published: the same, as they are fetched.

    Raises:
        ConfigError: a key that others can read, or that is none.
    """

    def __init__(
        self,
        directory: Path,
        tenants: Iterable[TenantKey] = (),
        published: Callable[[], Mapping[str, VerificationKey]] = dict,
    ) -> None:
        self._directory = directory
        self._published = published
        self._tenants = {key.id: _tenant_key(key) for key in tenants}
        self._entries: list[_Entry] = []
        self._verification: dict[str, VerificationKey] = {}
        make_private_directory(directory)
        self.refresh()
        if not self._entries:
            self.rotate()

    @property
    def signing(self) -> SigningKey:
        """The key that signs now."""
        settled = [entry for entry in self._entries if time.time() - entry.made_at >= ACTIVATION_S]
        return (settled[-1] if settled else self._entries[0]).key

    @property
    def own(self) -> Mapping[str, VerificationKey]:
        """The relay's own keys, by id."""
        return {kid: key for kid, key in self._verification.items() if not key.tenant}

    @property
    def verification(self) -> Mapping[str, VerificationKey]:
        """Every key whose grants are believed, by id."""
        # Nobody else's key takes the place of one of ours, nor of one that stands in the configuration.
        return {**self._published(), **self._verification}

    def refresh(self) -> None:
        """Reads the directory again. Blocks; may be called from any thread."""
        entries = [_read(path) for path in sorted(self._directory.glob("grant-*.pem"))]
        own = {key.kid: VerificationKey(key.private.public_key()) for _, _, key in entries}
        self._verification = self._tenants | own
        self._entries = entries

    def rotate(self) -> SigningKey:
        """Adds a key, which signs from ACTIVATION_S on; older keys are still believed. Blocks."""
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        number = int(self._entries[-1].path.stem[6:]) if self._entries else 0
        # When another process adds a key at the same moment, both are wanted.
        while not write_new(self._directory / f"grant-{number + 1:04}.pem", pem):
            number += 1
        self.refresh()
        return SigningKey(key_id(private.public_key()), private)

    def retire(self, kid: str) -> None:
        """Removes a key: its tokens are refused from now on. Blocks.

        Raises:
            ValueError: there is no such key, or it is the one that signs.
        """
        entry = next((entry for entry in self._entries if entry.key.kid == kid), None)
        if entry is None:
            raise ValueError("no such key")
        if kid == self.signing.kid:
            raise ValueError("this key signs; rotate first")
        entry.path.unlink()
        sync_directory(self._directory)
        self.refresh()


def key_id(public: Ed25519PublicKey) -> str:
    """The JWK thumbprint of a key (RFC 7638 §3, RFC 8037 §2)."""
    jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{_b64(public.public_bytes_raw())}"}}'
    return _b64(hashlib.sha256(jwk.encode()).digest())


def _read(path: Path) -> _Entry:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            pem = file.read(_MAX_KEY_FILE)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if status.st_mode & _OTHERS:
        raise ConfigError(f"{path} can be read by others", hint="its tokens may be anybody's: remove it")
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise ConfigError(f"{path} holds no private key") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(f"{path} is not an Ed25519 key")
    return _Entry(path, status.st_mtime, SigningKey(key_id(private.public_key()), private))


def _tenant_key(key: TenantKey) -> VerificationKey:
    raw = base64.urlsafe_b64decode(key.public + "=")
    return VerificationKey(Ed25519PublicKey.from_public_bytes(raw), key.tenant)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
