"""Secrets at rest: AES-256-GCM under a key that lies in a file of its own.

A stolen database without the key file shows no camera password. What a secret belongs to is bound into it, so
a sealed value copied to another row does not open there.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from camrelay.durable import make_private_directory, write_new
from camrelay.errors import ConfigError

KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D §8.2.2: random nonces, far below 2^32 of them under one key.
_OTHERS = 0o077


class Seal:
    """Closes and opens secrets with one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._mark_key = hmac.digest(key, b"camrelay mark", hashlib.sha256)

    def close(self, secret: str, owner: str) -> bytes:
        """Encrypts a secret that belongs to `owner`, such as "camera/front-door/password"."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret.encode(), owner.encode())

    def open(self, sealed: bytes, owner: str) -> str:
        """The secret.

        Raises:
            ConfigError: another key sealed it, or for another owner.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], owner.encode()).decode()
        except InvalidTag:
            raise ConfigError(
                "a stored secret does not open with this key",
                hint="restore the store.key that belongs to this database",
            ) from None

    def mark(self, text: str) -> str:
        """Recognizes a text without telling it: without the key nobody can even try guesses."""
        return hmac.digest(self._mark_key, text.encode(), hashlib.sha256).hex()


def load_key(path: Path) -> bytes:
    """The key in a file, made with mode 0600 at first start. Blocks.

    Raises:
        ConfigError: others can read it, or it is no key.
    """
    make_private_directory(path.parent)
    try:
        if not path.exists():
            write_new(path, os.urandom(KEY_BYTES))
        mode, key = path.stat().st_mode, path.read_bytes()
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror}") from None
    if mode & _OTHERS:
        raise ConfigError(f"{path} can be read by others", hint=f"chmod 600 {path}")
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{path} is not a key of {KEY_BYTES} bytes")
    return key
