"""Makes grant tokens: what `camrelay token create` and POST /v1/tokens have in common."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from camrelay.auth.keys import KeyRing
from camrelay.auth.token import Grant, sign, verify
from camrelay.config import Auth
from camrelay.errors import BadRequest, TokenError
from camrelay.model import Action

_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_duration(text: str) -> int:
    """Seconds in "90s", "15m", "1h" or "7d"; BadRequest for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise BadRequest(f"{text!r} is not a duration; write it like 90s, 15m, 1h or 7d")
    return int(match[1]) * _UNIT_S[match[2]]


def mint(
    keys: KeyRing,
    options: Auth,
    *,
    cameras: Sequence[str],
    actions: Sequence[Action],
    life_s: int,
    subject: str = "",
    link: str = "",
    now_us: int,
) -> tuple[Grant, str]:
    """A new grant and its token.

    Args:
        cameras: ids, or "*" alone for every camera.
        life_s: seconds from now.
        subject: who will use it, as the access record names them; "" names the token itself.
        link: the share link that it is given for; it ends with that.

    Raises:
        BadRequest: no token that camrelay would accept can say that.
    """
    if life_s > options.max_token_life_s:
        raise BadRequest(f"a token lives {options.max_token_life_s} s at most ([auth] max_token_life_s)")
    key = keys.signing
    # Hexadecimal, because an id that starts with "-" looks like an option to `camrelay token revoke`.
    id = secrets.token_hex(10)
    issued_us = now_us // 1_000_000 * 1_000_000
    grant = Grant(
        id=id,
        key=key.kid,
        subject=subject or f"token-{id}",
        cameras=tuple(cameras),
        actions=tuple(actions),
        issued_us=issued_us,
        not_before_us=issued_us,
        expires_us=issued_us + life_s * 1_000_000,
        link=link,
    )
    raw = sign(grant, key, options)
    try:
        return verify(raw, keys.verification, options, now_us), raw
    except TokenError as error:
        raise BadRequest(f"such a token would be refused: {error.reason}") from None
