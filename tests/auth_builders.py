"""Valid grants and keys for tests of the gate: override only what the test is about."""

from __future__ import annotations

from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from camrelay.auth.token import Grant, SigningKey, VerificationKey
from camrelay.model import Action

#: 2026-11-21 12:00:00 UTC, when the tests of grants take place.
NOW_S = 1_795_262_400
NOW_US = NOW_S * 1_000_000

SIGNING_KEY = SigningKey("k1", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_KEY = SigningKey("k2", Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
KEYS = {"k1": VerificationKey(SIGNING_KEY.private.public_key())}


def make_grant(**overrides: Any) -> Grant:
    """A grant for camera "door", issued now for five minutes."""
    grant = Grant(
        id="t1",
        key="k1",
        subject="anna",
        cameras=("door",),
        actions=(Action.WATCH,),
        issued_us=NOW_US,
        not_before_us=NOW_US,
        expires_us=NOW_US + 300_000_000,
    )
    return msgspec.structs.replace(grant, **overrides)
