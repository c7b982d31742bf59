"""Grant tokens: EdDSA JWTs that say who may do what with which cameras, and until when.

Checked in this order: length, shape, header, the key that the header names, signature, claims, times
(RFC 8725 §3). A key signs with one algorithm, a header may say three things, a claim has one type, and a name
stands once. Only this module opens the `jwt` package, and of that only the signature layer: times are judged
here, against the `now_us` that the caller passes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta

from camrelay.config import Auth
from camrelay.errors import TokenExpired, TokenMalformed, TokenNotYetValid, TokenSignatureInvalid
from camrelay.model import CAMERA_ID_PATTERN, Action

#: Three hundred camera ids fit; nothing larger is decoded.
MAX_LENGTH = 4096
#: Explicit typing (RFC 8725 §3.11): no other JWT of anybody's can be mistaken for a grant.
TYPE = "camrelay-grant+jwt"
#: How far ahead of ours an issuer's clock may be. A token still ends when it says.
CLOCK_SKEW_US = 30_000_000

EVERY_CAMERA = "*"

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_HEADER_NAMES = {"alg", "typ", "kid"}
_SECOND = 1_000_000

#: NumericDate as this module takes it: whole seconds up to the year 9999 (RFC 7519 §2 would allow fractions).
_Time = Annotated[int, Meta(ge=0, le=253_402_300_799)]
_Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]


class SigningKey(msgspec.Struct, frozen=True):
    """The key new grants are signed with. `kid` names its public half to whoever verifies."""

    kid: str
    private: Ed25519PrivateKey


class VerificationKey(msgspec.Struct, frozen=True):
    """A key whose grants are believed, for one tenant and by one algorithm (RFC 8725 §3.1)."""

    public: Ed25519PublicKey
    tenant: str = ""
    algorithm: Literal["EdDSA"] = "EdDSA"


class Grant(msgspec.Struct, frozen=True):
    """What a verified token allows.

    `id` is the token's own (jti), `key` the id of the key that signed it. `cameras` are ids, or EVERY_CAMERA
    alone. Times are microseconds of UTC at whole seconds; from `expires_us` on the grant is over. `link` is
    the id of the share link that it was given for, "" when it stands alone.
    """

    id: str
    key: str
    subject: str
    cameras: tuple[str, ...]
    actions: tuple[Action, ...]
    issued_us: int
    not_before_us: int
    expires_us: int
    tenant: str = ""
    link: str = ""


class _Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    iss: str
    aud: str
    sub: Annotated[str, Meta(min_length=1, max_length=256)]
    jti: _Id
    iat: _Time
    exp: _Time
    cam: Annotated[tuple[str, ...], Meta(min_length=1, max_length=300)]
    act: Annotated[tuple[Action, ...], Meta(min_length=1, max_length=16)]
    nbf: _Time | None = None
    tid: str = ""
    lnk: Annotated[str, Meta(max_length=64)] = ""


def sign(grant: Grant, key: SigningKey, options: Auth) -> str:
    """The token that `verify` turns back into `grant`."""
    assert grant.key == key.kid
    claims = _Claims(
        iss=options.issuer,
        aud=options.audience,
        sub=grant.subject,
        jti=grant.id,
        iat=grant.issued_us // _SECOND,
        nbf=grant.not_before_us // _SECOND,
        exp=grant.expires_us // _SECOND,
        cam=grant.cameras,
        act=grant.actions,
        tid=grant.tenant,
        lnk=grant.link,
    )
    header = {"typ": TYPE, "kid": key.kid}
    return _JWS.encode(msgspec.json.encode(claims), key.private, algorithm="EdDSA", headers=header)


def verify(raw: str, keys: Mapping[str, VerificationKey], options: Auth, now_us: int) -> Grant:
    """The grant in a token.

    Args:
        raw: what followed "Bearer ".
        keys: every key that may sign, by id.
        options: whose tokens are meant (issuer, audience) and how long they may live.
        now_us: microseconds of UTC.

    Raises:
        TokenMalformed: not a grant token, or one that says more than it may.
        TokenSignatureInvalid: no known key signed it.
        TokenExpired, TokenNotYetValid: sound, at the wrong time.
    """
    if len(raw) > MAX_LENGTH:
        raise TokenMalformed("too_long")
    if not _SHAPE.fullmatch(raw):
        raise TokenMalformed("not_a_jwt")
    header, payload, _ = (_decode_segment(segment) for segment in raw.split("."))
    kid, key = _key_for(_parse_object(header), keys)
    try:
        _JWS.decode(raw, key.public, algorithms=[key.algorithm])
    except jwt.InvalidTokenError:
        raise TokenSignatureInvalid("bad_signature") from None
    return _grant(_parse_object(payload), kid, key.tenant, options, now_us)


def key_named_by(raw: str) -> str | None:
    """The id of the key that a token says it is signed with, None when it says none. Nothing is checked."""
    kid = _header(raw).get("kid")
    return kid if isinstance(kid, str) else None


def is_meant_as_grant(raw: str) -> bool:
    """Whether a token says that it is a grant, and no other JWT of somebody's. Nothing is checked."""
    return _header(raw).get("typ") == TYPE


def _header(raw: str) -> dict[str, Any]:
    header, *rest = raw.split(".", 2)
    if len(raw) > MAX_LENGTH or len(rest) != 2:
        return {}
    try:
        return _parse_object(_decode_segment(header))
    except TokenMalformed:
        return {}


def _key_for(header: dict[str, Any], keys: Mapping[str, VerificationKey]) -> tuple[str, VerificationKey]:
    # No key by URL or by value (jku, x5u, jwk, x5c), no extensions (crit, b64), no compression (zip).
    if not header.keys() <= _HEADER_NAMES:
        raise TokenMalformed("forbidden_header")
    if header.get("typ") != TYPE:
        raise TokenMalformed("wrong_type")
    # The id is looked up among those we hold and used for nothing else: no path, no URL, no query.
    kid = header.get("kid")
    key = keys.get(kid) if isinstance(kid, str) else None
    if not isinstance(kid, str) or key is None:
        raise TokenSignatureInvalid("unknown_key")
    if header.get("alg") != key.algorithm:
        raise TokenSignatureInvalid("wrong_algorithm")
    return kid, key


def _grant(payload: dict[str, Any], kid: str, tenant: str, options: Auth, now_us: int) -> Grant:
    try:
        claims = msgspec.convert(payload, _Claims)
    except msgspec.ValidationError:
        raise TokenMalformed("bad_claims") from None
    if claims.iss != options.issuer:
        raise TokenMalformed("wrong_issuer")
    if claims.aud != options.audience:
        raise TokenMalformed("wrong_audience")
    if claims.tid != tenant:
        raise TokenMalformed("wrong_tenant")
    if not claims.sub.isprintable():
        raise TokenMalformed("bad_claims")
    if claims.cam != (EVERY_CAMERA,) and not all(CAMERA_ID_PATTERN.fullmatch(id) for id in claims.cam):
        raise TokenMalformed("bad_claims")
    not_before = claims.iat if claims.nbf is None else claims.nbf
    if not 0 < claims.exp - claims.iat <= options.max_token_life_s:
        raise TokenMalformed("life_too_long")
    if now_us >= claims.exp * _SECOND:
        raise TokenExpired("expired")
    if now_us + CLOCK_SKEW_US < max(claims.iat, not_before) * _SECOND:
        raise TokenNotYetValid("not_yet_valid")
    return Grant(
        id=claims.jti,
        key=kid,
        subject=claims.sub,
        cameras=claims.cam,
        actions=claims.act,
        issued_us=claims.iat * _SECOND,
        not_before_us=not_before * _SECOND,
        expires_us=claims.exp * _SECOND,
        tenant=tenant,
        link=claims.lnk,
    )


def _decode_segment(segment: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise TokenMalformed("not_a_jwt") from None
    # One token has one spelling: unused bits of the last character are zero (RFC 4648 §3.5).
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != segment:
        raise TokenMalformed("not_a_jwt")
    return data


def _parse_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique_names, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise TokenMalformed("not_json") from None
    if not isinstance(value, dict):
        raise TokenMalformed("not_json")
    return value


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # RFC 7519 §4 lets a parser refuse them; two readers that pick different ones are an attack.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_JWS = jwt.PyJWS(algorithms=["EdDSA"])
