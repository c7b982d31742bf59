"""One-time codes of an authenticator app (RFC 6238): six digits of HMAC-SHA-1 over steps of 30 seconds.

Those numbers are what every app supports. A code of the step before or after is taken too, for clocks that
differ; that none works twice is the store's to hold.
"""

from __future__ import annotations

import base64
import hmac
import re

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP_S = 30
DIGITS = 6
#: RFC 4226 §4 R6.
SECRET_BYTES = 20

_CODE = re.compile(r"[0-9]{6}", re.ASCII)


def encode_secret(secret: bytes) -> str:
    """A secret as apps take it: Base32 without padding."""
    return base64.b32encode(secret).decode().rstrip("=")


def provisioning_uri(secret: str, account: str, issuer: str) -> str:
    """The otpauth:// address that a QR code carries."""
    return _totp(secret).get_provisioning_uri(account, issuer)


def matching_step(secret: str, code: str, now_us: int) -> int | None:
    """The step whose code this is, the current one or one beside it; None when it is none of them."""
    code = code.replace(" ", "")
    if not _CODE.fullmatch(code):
        return None
    current = now_us // (STEP_S * 1_000_000)
    totp = _totp(secret)
    codes = {step: totp.generate(step * STEP_S) for step in (current, current - 1, current + 1)}
    return next((step for step, right in codes.items() if hmac.compare_digest(right, code.encode())), None)


def _totp(secret: str) -> TOTP:
    padded = secret + "=" * (-len(secret) % 8)
    return TOTP(base64.b32decode(padded), DIGITS, SHA1(), STEP_S)  # noqa: S303 - what authenticator apps know
