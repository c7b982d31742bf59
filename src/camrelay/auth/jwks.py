"""The keys that a tenant's backend publishes: what of a JWK set (RFC 7517) is believed, and for how long.

A set is taken or refused as a whole; keys in it that are for something else are left alone. No I/O: documents
and times come in.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta

from camrelay.auth.token import VerificationKey
from camrelay.config import TenantKeySet
from camrelay.errors import BadKeySet

#: A set of MAX_KEYS keys of every common kind, with certificates, is smaller.
MAX_BYTES = 64 * 1024
#: One that signs, one that comes, one that goes; more is somebody's mistake.
MAX_KEYS = 32
#: Strangers can make up key ids: they cause no more than one question in this time, nor does a backend that
#: fails.
PATIENCE_S = 60.0


class _Jwk(msgspec.Struct):
    """A member that counts has one spelling; everything else of a key is not looked at (RFC 7517 §4)."""

    kty: str
    kid: str = ""
    crv: str = ""
    x: str = ""
    use: str = "sig"
    alg: str = "EdDSA"
    d: Any = None


class _Signer(msgspec.Struct):
    kid: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
    x: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")]


class _Set(msgspec.Struct):
    keys: Annotated[list[_Jwk], Meta(max_length=MAX_KEYS)]


def read(document: bytes, tenant: str) -> dict[str, VerificationKey]:
    """The Ed25519 keys of a JWK set that sign (RFC 8037 §2), by id, for one tenant.

    Raises:
        BadKeySet: not a JWK set, too large a one, one with two keys of one id, or one that tells a secret.
    """
    if len(document) > MAX_BYTES:
        raise BadKeySet("the set is too large")
    found: dict[str, VerificationKey] = {}
    try:
        # json refuses what is not UTF-8, and lone surrogates in a kid do not match its pattern.
        keys = msgspec.convert(json.loads(document.decode()), _Set).keys
        for key in keys:
            if (key.kty, key.crv, key.use, key.alg) != ("OKP", "Ed25519", "sig", "EdDSA"):
                continue
            if key.d is not None:
                raise BadKeySet("the set tells a private key")
            signer = msgspec.convert({"kid": key.kid, "x": key.x}, _Signer)
            if signer.kid in found:
                raise BadKeySet("two keys have one id")
            raw = base64.urlsafe_b64decode(signer.x + "=")
            found[signer.kid] = VerificationKey(Ed25519PublicKey.from_public_bytes(raw), tenant)
    except (ValueError, RecursionError):
        # msgspec's and json's errors are ValueErrors; their texts repeat the document.
        raise BadKeySet("this is no JWK set") from None
    return found


class KeySet:
    """The keys of one tenant's backend: when to ask for them, and until when they count."""

    def __init__(self, options: TenantKeySet) -> None:
        self.options = options
        self._keys: dict[str, VerificationKey] = {}
        self._fetched_at = -math.inf
        self._asked_at = -math.inf

    def keys(self, now: float) -> Mapping[str, VerificationKey]:
        """The keys that are believed now."""
        return self._keys if now - self._fetched_at < self.options.keep_s else {}

    def may_ask(self, now: float) -> bool:
        """Whether an unknown key id is a reason to ask now."""
        return now - self._asked_at >= PATIENCE_S

    def due_in_s(self, now: float) -> float:
        """How long it is until somebody has to ask; 0 when it is time."""
        at = max(self._asked_at + PATIENCE_S, self._fetched_at + self.options.refresh_s)
        return max(0.0, at - now)

    def asked(self, now: float) -> None:
        """Somebody asks now."""
        self._asked_at = now

    def learn(self, document: bytes, now: float) -> list[str]:
        """Takes a set that has been fetched, and returns the ids of keys that are gone.

        Raises:
            BadKeySet: it cannot be believed; what was known before counts for as long as it would have.
        """
        known, fetched = self.keys(now), read(document, self.options.tenant)
        for kid, key in fetched.items():
            # Grants say the id of their key; one id is one key for good.
            if kid in known and known[kid].public != key.public:
                raise BadKeySet("another key has the id of an earlier one")
        gone = [kid for kid in self._keys if kid not in fetched]
        self._keys, self._fetched_at = fetched, now
        return gone
