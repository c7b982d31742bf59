"""What is asked of a service that decides who may watch, and what its answer gives.

The body is the one that MediaMTX sends to its authHTTPAddress, so that its users keep their service. Whatever
is a credential of camrelay's own is judged here and asked of nobody.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import msgspec

from camrelay.auth.api_key import PREFIX
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.policy import PUBLIC_ACTIONS, Authority
from camrelay.auth.token import is_meant_as_grant
from camrelay.model import CAMERA_ID_PATTERN

#: A credential or a query longer than this is nobody's.
MAX_LENGTH = 4096
#: Longer names are somebody's test of us.
MAX_NAME = 128


class Question(msgspec.Struct, frozen=True):
    """The body, whose names and order are MediaMTX's. `id` names the viewing when it is asked again."""

    user: str
    password: str
    token: str
    ip: str
    action: str
    path: str
    protocol: str
    id: str
    query: str

    @property
    def subject(self) -> str:
        """Who is admitted, as records name them; "" for somebody who showed no credential."""
        if not self.user:
            return _marked("token", self.token) if self.token else ""
        # A name that is none is told from others without being repeated.
        is_name = len(self.user) <= MAX_NAME and self.user.isprintable()
        return f"callback:{self.user}" if is_name else _marked("user", self.user)

    def __repr__(self) -> str:
        return f"Question({self.path!r})"


def question(
    authorization: Sequence[str], *, query: str, ip: str, path: str, protocol: str, id: str
) -> Question | None:
    """What to ask about a request; None when it is ours to refuse.

    Args:
        authorization: the values of its Authorization headers.
        query: of its URL, as it came.
        path: the camera's id.
    """
    if len(authorization) > 1 or not CAMERA_ID_PATTERN.fullmatch(path):
        return None
    value = authorization[0] if authorization else ""
    if len(value) > MAX_LENGTH or len(query) > MAX_LENGTH:
        return None
    scheme, _, rest = value.partition(" ")
    rest = rest.strip()
    user = password = token = ""
    if scheme.lower() == "basic":
        user, password = _basic(rest)
    elif scheme.lower() == "bearer":
        if rest.startswith(PREFIX) or is_meant_as_grant(rest):
            return None
        # MediaMTX takes "user:password" from players that only know bearer tokens.
        if rest.count(":") == 1:
            user, _, password = rest.partition(":")
        else:
            token = rest
    return Question(user, password, token, ip, "read", path, protocol, id, query)


def admits(status: int) -> bool | None:
    """What an HTTP status says: every 2xx admits, others refuse; None when the service itself failed."""
    if status >= 500:
        return None
    return 200 <= status < 300


def authority(asked: Question) -> Authority:
    """What an admission gives. Its end is that of the lease, which is asked for again and again."""
    handles = (Handle(HandleKind.CAMERA, asked.path), Handle(HandleKind.ACCOUNT, asked.subject))
    return Authority(asked.subject, "callback", PUBLIC_ACTIONS, handles)


def _basic(encoded: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return user, password


def _marked(kind: str, secret: str) -> str:
    return f"callback:{kind}-{hashlib.sha256(secret.encode(errors='replace')).hexdigest()[:16]}"
