"""Who may look at a simulated camera: Basic and Digest as cameras do them (RFC 7617, RFC 7616).

The nonce is the connection's own, so a captured answer is worth nothing on another one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

import msgspec

from camrelay.simulate.options import Auth

_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))', re.ASCII)


class Credentials(msgspec.Struct, frozen=True):
    """What a camera asks for, and by which scheme."""

    user: str
    password: str
    auth: Auth = "any"
    realm: str = "camrelay simulated camera"


def challenges(credentials: Credentials, nonce: str) -> list[str]:
    """Values of WWW-Authenticate, one header each.

    MD5 comes after SHA-256 and Basic at the end: FFmpeg keeps the last Digest it is offered, and knows only
    MD5. Like old cameras the MD5 challenge has no qop, so answers are those of RFC 2069.
    """
    realm = credentials.realm
    offered = {
        "digest-sha256": f'Digest realm="{realm}", nonce="{nonce}", algorithm=SHA-256, qop="auth"',
        "digest": f'Digest realm="{realm}", nonce="{nonce}", algorithm=MD5',
        "basic": f'Basic realm="{realm}"',
    }
    return list(offered.values()) if credentials.auth == "any" else [offered[credentials.auth]]


def accepts(credentials: Credentials, nonce: str, method: str, url: str, authorization: str) -> bool:
    """Whether this Authorization header proves the password, for this request on this connection."""
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "basic":
            return credentials.auth in ("any", "basic") and _accepts_basic(credentials, rest)
        case "digest":
            return credentials.auth != "basic" and _accepts_digest(credentials, nonce, method, url, rest)
    return False


def _accepts_basic(credentials: Credentials, rest: str) -> bool:
    expected = base64.b64encode(f"{credentials.user}:{credentials.password}".encode())
    return hmac.compare_digest(rest.strip().encode(), expected)


def _accepts_digest(credentials: Credentials, nonce: str, method: str, url: str, rest: str) -> bool:
    given = {found[1].lower(): found[2] or found[3] or "" for found in _PARAMETER.finditer(rest)}
    algorithm = given.get("algorithm", "MD5").upper()
    scheme = {"MD5": "digest", "SHA-256": "digest-sha256"}.get(algorithm)
    if scheme is None or credentials.auth not in ("any", scheme):
        return False
    expected = answer(credentials, algorithm, nonce, method, url, given)
    asked = {"username": credentials.user, "realm": credentials.realm, "nonce": nonce, "uri": url}
    return all(given.get(name) == value for name, value in asked.items()) and hmac.compare_digest(
        given.get("response", "").encode(), expected.encode()
    )


def answer(
    credentials: Credentials, algorithm: str, nonce: str, method: str, url: str, given: dict[str, str]
) -> str:
    """The `response` of a Digest answer (RFC 7616 §3.4.1).

    Args:
        algorithm: "MD5" or "SHA-256".
        given: the answer's own parameters; `qop`, `nc` and `cnonce` count, when there is a `qop`.
    """

    def digest(*parts: str) -> str:
        made = hashlib.new(algorithm.replace("-", ""), ":".join(parts).encode(), usedforsecurity=False)
        return made.hexdigest()

    secret = digest(credentials.user, credentials.realm, credentials.password)
    request = digest(method, url)
    if "qop" in given:
        return digest(secret, nonce, given.get("nc", ""), given.get("cnonce", ""), given["qop"], request)
    return digest(secret, nonce, request)
