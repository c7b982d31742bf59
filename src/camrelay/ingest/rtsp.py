"""RTSP/1.0 messages as a client needs them: heads, and answers to challenges (RFC 2326, RFC 7616).

Whoever answers on a camera's address is not trusted: heads and bodies have limits, and a password that was
refused is not shown again.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator

import msgspec

from camrelay.errors import CameraAuthFailed, StreamInterrupted

#: Cameras send a few hundred bytes; a head beyond this is an attack or noise.
HEAD_LIMIT_BYTES = 16 * 1024

#: An SDP of a camera with every option is 4 KiB; FFmpeg itself stops at 16 KiB of it.
BODY_LIMIT_BYTES = 64 * 1024

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*([^\r\n]*)")
_PARAMETER = re.compile(r'([A-Za-z][A-Za-z0-9_-]*)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(r"(?:^|,)[ \t]*(Basic|Digest)(?=[ \t]|$)", re.IGNORECASE)

_HASHES: dict[str, Callable[[bytes], str]] = {
    "SHA-256": lambda text: hashlib.sha256(text).hexdigest(),
    "MD5": lambda text: hashlib.md5(text).hexdigest(),  # noqa: S324 - what most cameras offer and nothing better
}


class Head(msgspec.Struct, frozen=True):
    """A request's or response's first line and headers, in order, names as they came."""

    start: str
    headers: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """The first header of that name, "" when there is none."""
        return next(self.all(name), "")

    def all(self, name: str) -> Iterator[str]:
        """Every header of that name."""
        wanted = name.lower()
        return (value for key, value in self.headers if key.lower() == wanted)

    def replacing(self, **changes: str | None) -> Head:
        """A copy with headers replaced or, for None, taken out; underscores in names stand for hyphens."""
        new = {
            name.replace("_", "-").lower(): (name.replace("_", "-"), value) for name, value in changes.items()
        }
        kept = tuple((key, value) for key, value in self.headers if key.lower() not in new)
        added = tuple((name, value) for name, value in new.values() if value is not None)
        return Head(self.start, kept + added)

    @property
    def content_length(self) -> int:
        """Length of the body in bytes.

        Raises:
            StreamInterrupted: not a number, or over BODY_LIMIT_BYTES.
        """
        text = self.get("Content-Length") or "0"
        if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) > BODY_LIMIT_BYTES:
            raise StreamInterrupted("the camera announced a body that no camera needs")
        return int(text)

    @property
    def status(self) -> int:
        """The status code of a response, 0 when this is none."""
        found = re.match(r"RTSP/\d\.\d (\d{3})(?: |$)", self.start)
        return int(found[1]) if found else 0

    def serialize(self) -> bytes:
        """The head on the wire, its empty line included."""
        lines = (self.start, *(f"{name}: {value}" for name, value in self.headers), "", "")
        return "\r\n".join(lines).encode()


def parse_head(data: bytes | bytearray) -> tuple[Head, int] | None:
    """Reads one head from the start of `data`.

    Returns:
        The head and how many bytes it took, None while it is not complete.

    Raises:
        StreamInterrupted: it is over HEAD_LIMIT_BYTES, or not made of lines of text.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0 or end > HEAD_LIMIT_BYTES:
        if len(data) > HEAD_LIMIT_BYTES:
            raise StreamInterrupted("the camera sent an endless head")
        return None
    start, *lines = data[:end].decode("utf-8", "replace").split("\r\n")
    headers = []
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise StreamInterrupted("the camera sent a head that is none")
        headers.append((found[1], found[2].rstrip()))
    return Head(start, tuple(headers)), end + 4


def parse_message(data: bytes) -> tuple[Head, bytes, int] | None:
    """The message that `data` begins with, its body, and the length of both; None while it is not all there.

    Raises:
        StreamInterrupted: its head or its body is over the limits.
    """
    parsed = parse_head(data)
    if parsed is None:
        return None
    head, size = parsed
    end = size + head.content_length
    return (head, data[size:end], end) if end <= len(data) else None


class Challenge(msgspec.Struct, frozen=True):
    """One way the camera wants to be shown the password."""

    scheme: str
    parameters: dict[str, str]

    @property
    def algorithm(self) -> str:
        """Digest algorithm in capitals; MD5 when the camera does not say (RFC 7616 §3.3)."""
        return self.parameters.get("algorithm", "MD5").upper()


def parse_challenges(values: Iterator[str]) -> list[Challenge]:
    """Reads WWW-Authenticate headers, several challenges in one header included."""
    challenges = []
    for value in values:
        starts = list(_SCHEME.finditer(value))
        for found, following in zip(starts, [*starts[1:], None], strict=True):
            text = value[found.end() : following.start() if following else None]
            parameters = {m[1].lower(): m[2] if m[2] is not None else m[3] for m in _PARAMETER.finditer(text)}
            challenges.append(Challenge(found[1].capitalize(), parameters))
    return challenges


class Credentials:
    """Answers one camera's challenges: SHA-256 before MD5 before Basic, nothing unasked.

    Args:
        username: of the camera's account, "" when there is none to offer.
        password: of that account.
        cnonce: random text, needed where the camera asks for qop (RFC 7616 §3.4).
    """

    def __init__(self, username: str, password: str, cnonce: str) -> None:
        self._username = username
        self._password = password
        self._cnonce = cnonce
        self._challenge: Challenge | None = None
        self._is_unproven = False
        self._count = 0

    def take(self, challenges: list[Challenge]) -> None:
        """Remembers the best challenge of a 401.

        Raises:
            CameraAuthFailed: there is nothing to answer with, no challenge can be answered, or the camera has
                just refused an answer. A stale nonce, or a new one after a success, is no refusal.
        """
        if not self._username:
            raise CameraAuthFailed("the camera asks for a password and has none configured")
        usable = [c for c in challenges if c.scheme == "Basic" or c.algorithm in _HASHES]
        if not usable:
            raise CameraAuthFailed("the camera asks in a way that is not known here")
        order = ["SHA-256", "MD5"]
        best = min(usable, key=lambda c: order.index(c.algorithm) if c.scheme == "Digest" else len(order))
        is_stale = best.parameters.get("stale", "").lower() == "true"
        if self._is_unproven and not is_stale:
            raise CameraAuthFailed("the camera refused the user name or the password")
        self._challenge = best
        self._is_unproven = True
        self._count = 0

    def accepted(self) -> None:
        """The camera took the answer: a later challenge is a new question, not a refusal."""
        self._is_unproven = False

    def authorization(self, method: str, uri: str) -> str | None:
        """The Authorization header for one request, None while nobody has asked."""
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "Basic":
            pair = f"{self._username}:{self._password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        return self._digest(challenge, method, uri)

    def _digest(self, challenge: Challenge, method: str, uri: str) -> str:
        digest = _HASHES[challenge.algorithm]
        given = challenge.parameters
        realm, nonce = given.get("realm", ""), given.get("nonce", "")
        self._count += 1
        count = f"{self._count:08x}"
        ha1 = digest(f"{self._username}:{realm}:{self._password}".encode())
        ha2 = digest(f"{method}:{uri}".encode())
        fields = {"username": self._username, "realm": realm, "nonce": nonce, "uri": uri}
        bare = {}
        if "auth" in [part.strip() for part in given.get("qop", "").split(",")]:
            fields["response"] = digest(f"{ha1}:{nonce}:{count}:{self._cnonce}:auth:{ha2}".encode())
            fields["cnonce"] = self._cnonce
            bare = {"qop": "auth", "nc": count}
        else:
            fields["response"] = digest(f"{ha1}:{nonce}:{ha2}".encode())
        if "opaque" in given:
            fields["opaque"] = given["opaque"]
        if "algorithm" in given:
            bare["algorithm"] = given["algorithm"]
        quoted = [f'{name}="{_escaped(value)}"' for name, value in fields.items()]
        return "Digest " + ", ".join([*quoted, *(f"{name}={value}" for name, value in bare.items())])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
