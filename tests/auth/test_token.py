"""Grant tokens, and everything that looks like one (RFC 8725)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_builders import KEYS, NOW_S, NOW_US, OTHER_KEY, SIGNING_KEY, make_grant
from camrelay.auth.token import MAX_LENGTH, VerificationKey, is_meant_as_grant, key_named_by, sign, verify
from camrelay.config import Auth
from camrelay.errors import (
    TokenError,
    TokenExpired,
    TokenMalformed,
    TokenNotYetValid,
    TokenSignatureInvalid,
)
from camrelay.model import Action

OPTIONS = Auth()

HEADER = {"alg": "EdDSA", "typ": "camrelay-grant+jwt", "kid": "k1"}
CLAIMS = {
    "iss": "camrelay",
    "aud": "camrelay",
    "sub": "anna",
    "jti": "t1",
    "iat": NOW_S,
    "exp": NOW_S + 300,
    "cam": ["door"],
    "act": ["watch"],
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_json(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def forge(header: Any = HEADER, claims: Any = CLAIMS, key: Any = SIGNING_KEY) -> str:
    """A token with a good signature over whatever header and claims, given as values or as bytes."""
    signed = f"{b64(to_json(header))}.{b64(to_json(claims))}"
    return f"{signed}.{b64(key.private.sign(signed.encode()))}"


def check(raw: str, now_us: int = NOW_US) -> Any:
    return verify(raw, KEYS, OPTIONS, now_us)


@pytest.mark.parametrize(
    ("raw", "kid", "is_grant"),
    [
        (forge(), "k1", True),
        (forge(HEADER | {"kid": "../k1"}), "../k1", True),
        (forge({"alg": "RS256", "typ": "JWT", "kid": "theirs"}), "theirs", False),
        (forge({"alg": "EdDSA"}), None, False),
        (forge(HEADER | {"kid": 5}), None, True),
        (forge([]), None, False),
        ("*.b.c", None, False),
        ("a.b", None, False),
        ("", None, False),
        (forge() + "a" * MAX_LENGTH, None, False),
    ],
)
def test_what_a_token_says_of_itself(raw: str, kid: str | None, is_grant: bool) -> None:
    """Whether there is such a key, and whether it signed, is judged elsewhere."""
    assert key_named_by(raw) == kid
    assert is_meant_as_grant(raw) == is_grant


def assert_refused(raw: str, error: type[TokenError], reason: str, now_us: int = NOW_US) -> None:
    with pytest.raises(error) as caught:
        check(raw, now_us)
    assert type(caught.value) is error
    assert caught.value.reason == reason
    assert raw not in str(caught.value) or not raw


def test_verify_returns_what_was_signed() -> None:
    """Sign and verify are each other's inverse, every field included."""
    grant = make_grant(actions=(Action.WATCH, Action.SNAPSHOT), not_before_us=NOW_US - 60_000_000)
    assert check(sign(grant, SIGNING_KEY, OPTIONS)) == grant


@given(
    subject=st.text(st.characters(min_codepoint=32, exclude_categories=["C", "Z"]), min_size=1, max_size=256),
    cameras=st.lists(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True), min_size=1, max_size=20),
    life_s=st.integers(1, OPTIONS.max_token_life_s),
)
def test_any_grant_survives_the_way_through_a_token(subject: str, cameras: list[str], life_s: int) -> None:
    """Whatever the subject is called and however many cameras it may see."""
    grant = make_grant(
        subject=subject, cameras=tuple(cameras), expires_us=NOW_US + life_s * 1_000_000, not_before_us=NOW_US
    )
    raw = sign(grant, SIGNING_KEY, OPTIONS)
    if len(raw) <= MAX_LENGTH:
        assert check(raw) == grant


def test_a_token_of_somebody_elses_making_is_read_the_same() -> None:
    """nbf is optional, unknown claims are ignored (RFC 7519 §4.3), one star means every camera."""
    grant = check(forge(claims={**CLAIMS, "cam": ["*"], "score": 0.5}))
    assert grant == make_grant(cameras=("*",))


def test_a_key_speaks_for_its_tenant_only() -> None:
    """Case 3: tenant b's key cannot sign for tenant a, nor pass as the operator's own."""
    keys = {"k1": VerificationKey(SIGNING_KEY.private.public_key(), tenant="b")}
    grant = make_grant(tenant="b")
    assert verify(sign(grant, SIGNING_KEY, OPTIONS), keys, OPTIONS, NOW_US) == grant
    for tenant in ("a", ""):
        raw = sign(make_grant(tenant=tenant), SIGNING_KEY, OPTIONS)
        with pytest.raises(TokenMalformed, match="wrong_tenant"):
            verify(raw, keys, OPTIONS, NOW_US)


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", None, "EDDSA", "Ed25519", "HS256", ["EdDSA"]])
def test_the_token_does_not_choose_the_algorithm(alg: object) -> None:
    """Case 8: alg none in every spelling, and every other one, is refused although the signature fits."""
    assert_refused(forge({**HEADER, "alg": alg}), TokenSignatureInvalid, "wrong_algorithm")
    signed = f"{b64(to_json({**HEADER, 'alg': alg}))}.{b64(to_json(CLAIMS))}"
    assert_refused(f"{signed}.", TokenMalformed, "not_a_jwt")


def test_the_public_key_is_not_a_shared_secret() -> None:
    """Case 9: HS256 with our public key as the secret (RFC 8725 §2.1)."""
    public = SIGNING_KEY.private.public_key().public_bytes_raw()
    signed = f"{b64(to_json({**HEADER, 'alg': 'HS256'}))}.{b64(to_json(CLAIMS))}"
    forged = b64(hmac.digest(public, signed.encode(), hashlib.sha256))
    assert_refused(f"{signed}.{forged}", TokenSignatureInvalid, "wrong_algorithm")


@pytest.mark.parametrize(
    "kid",
    [
        "../../dev/null",
        "k1' OR '1'='1",
        "https://evil.example/jwks",
        "x" * 2500,
        "кий",
        "",
        None,
        1,
        ["k1"],
        {},
    ],
)
def test_a_key_id_is_a_name_we_hold_or_nothing(kid: object) -> None:
    """Case 10: paths, queries, URLs, long and odd ids all find no key."""
    assert_refused(forge({**HEADER, "kid": kid}), TokenSignatureInvalid, "unknown_key")


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "x5t", "crit", "zip", "b64", "cty", "enc", ""])
def test_the_header_says_three_things(name: str) -> None:
    """Cases 11 and 12: no key by reference or value, no extension, no compression."""
    assert_refused(forge({**HEADER, name: ["exp"]}), TokenMalformed, "forbidden_header")


@pytest.mark.parametrize("missing", ["iss", "aud", "sub", "jti", "iat", "exp", "cam", "act"])
def test_required_claims(missing: str) -> None:
    """Case 13: a token without one of them means nothing."""
    claims = {name: value for name, value in CLAIMS.items() if name != missing}
    assert_refused(forge(claims=claims), TokenMalformed, "bad_claims")


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value", ["1795262700", 1795262700.0, 1e300, True, -1, 10**30, 2**63, [1795262700], "", 253402300800]
)
def test_times_are_whole_numbers(name: str, value: object) -> None:
    """Case 13: strings, floats, booleans, negative and huge numbers are no times."""
    assert_refused(forge(claims={**CLAIMS, name: value}), TokenMalformed, "bad_claims")


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_json_does_not_have(constant: str) -> None:
    """Case 13: Python's parser knows them, RFC 8259 does not."""
    claims = to_json(CLAIMS).replace(str(NOW_S + 300).encode(), constant.encode())
    assert_refused(forge(claims=claims), TokenMalformed, "not_json")


def test_a_token_ends_when_it_says() -> None:
    """Valid in its last microsecond, over in the next: clock skew is not given at the end."""
    end = (NOW_S + 300) * 1_000_000
    assert check(forge(), end - 1).expires_us == end
    assert_refused(forge(), TokenExpired, "expired", end)


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_begins_when_it_says_give_or_take_the_issuers_clock(name: str) -> None:
    """Case 13: iat or nbf more than 30 s ahead is refused; by less, the issuer's clock is fast."""
    assert check(forge(claims={**CLAIMS, name: NOW_S + 30}))
    assert_refused(forge(claims={**CLAIMS, name: NOW_S + 31}), TokenNotYetValid, "not_yet_valid")


@pytest.mark.parametrize("life_s", [0, -1, OPTIONS.max_token_life_s + 1])
def test_a_token_does_not_live_longer_than_allowed(life_s: int) -> None:
    """A stolen token is a problem for a day at most; one that ends before it begins is none at all."""
    claims = {**CLAIMS, "exp": NOW_S + life_s}
    assert_refused(forge(claims=claims), TokenMalformed, "life_too_long")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("iss", "somebody", "wrong_issuer"),
        ("aud", "somebody", "wrong_audience"),
        ("aud", ["camrelay", "somebody"], "bad_claims"),
        ("aud", "", "wrong_audience"),
        ("tid", "b", "wrong_tenant"),
        ("tid", None, "bad_claims"),
        ("sub", "", "bad_claims"),
        ("sub", "a\nb", "bad_claims"),
        ("sub", "a\x1b[2Jb", "bad_claims"),
        ("sub", "a\u202eb", "bad_claims"),
        ("sub", "\ud800", "bad_claims"),
        ("sub", "x" * 257, "bad_claims"),
        ("jti", "", "bad_claims"),
        ("jti", "../t1", "bad_claims"),
        ("jti", "t1\n", "bad_claims"),
        ("jti", "x" * 65, "bad_claims"),
        ("cam", [], "bad_claims"),
        ("cam", "door", "bad_claims"),
        ("cam", "*", "bad_claims"),
        ("cam", ["door", "*"], "bad_claims"),
        ("cam", ["../door"], "bad_claims"),
        ("cam", ["door\n"], "bad_claims"),
        ("cam", [1], "bad_claims"),
        ("cam", ["d"] * 301, "bad_claims"),
        ("act", [], "bad_claims"),
        ("act", ["fly"], "bad_claims"),
        ("act", "watch", "bad_claims"),
        ("act", ["watch"] * 17, "bad_claims"),
    ],
)
def test_claims_of_the_wrong_kind(name: str, value: object, reason: str) -> None:
    """Each claim has one type and one set of values."""
    assert_refused(forge(claims={**CLAIMS, name: value}), TokenMalformed, reason)


def test_a_name_stands_once() -> None:
    """Case 14: two readers must not be able to pick different values."""
    header = to_json(HEADER).replace(b"{", b'{"kid": "k2", ', 1)
    claims = to_json(CLAIMS).replace(b"{", b'{"cam": ["*"], ', 1)
    nested = to_json({**CLAIMS, "x": 1}).replace(b'"x": 1', b'"x": {"a": 1, "a": 2}')
    for raw in (forge(header=header), forge(claims=claims), forge(claims=nested)):
        assert_refused(raw, TokenMalformed, "not_json")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'"x"',
        b"null",
        b"{}{}",
        b"{} x",
        b"[" * 2500,
        b"\xff{}",
        to_json(CLAIMS) + b"x",
        b"\xef\xbb\xbf" + to_json(CLAIMS),
        json.dumps(CLAIMS).encode("utf-16"),
    ],
)
def test_payloads_that_are_no_json_object(payload: bytes) -> None:
    """Cases 15 and 39: trailing data, depth, other encodings, other values."""
    raw = forge(claims=payload)
    reason = "not_json" if payload else "not_a_jwt"
    assert_refused(raw, TokenMalformed, reason)
    assert_refused(forge(header=payload), TokenMalformed, reason)


GOOD = forge()


@pytest.mark.parametrize(
    "raw",
    [
        "",
        ".",
        "..",
        "a.b",
        GOOD + ".",
        GOOD + "=",
        GOOD + "AAA",
        GOOD + "\n",
        " " + GOOD,
        "." + GOOD,
        GOOD.replace(".", "..", 1),
        GOOD.replace(".", ".\n", 1),
        GOOD.replace(".", "%2E"),
        f"{GOOD}.{b64(b'x')}.{b64(b'y')}",
        json.dumps({"payload": b64(to_json(CLAIMS)), "signatures": []}),
        "é" + GOOD,
        "x",
    ],
)
def test_shapes_that_are_no_compact_jws(raw: str) -> None:
    """Case 15: JWE, JSON serialization, padding, whitespace and trailing data."""
    assert_refused(raw, TokenMalformed, "not_a_jwt")


def test_one_token_has_one_spelling() -> None:
    """Case 15: the unused bits of the last character cannot make a second token of the same signature."""
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spellings = [GOOD[:-1] + c for c in last]
    accepted = []
    for raw in spellings:
        try:
            check(raw)
            accepted.append(raw)
        except TokenError:
            pass
    assert accepted == [GOOD]


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "camrelay-web+jwt", "CAMRELAY-GRANT+JWT", "", None, 1])
def test_a_token_for_another_purpose_is_no_grant(typ: object) -> None:
    """Case 16: a web session or an access token of the same issuer is refused by its type."""
    assert_refused(forge({**HEADER, "typ": typ}), TokenMalformed, "wrong_type")


def test_an_oversized_token_is_not_looked_at() -> None:
    """Case 17: refused by its length before anything is decoded, in words of fixed length."""
    assert_refused("x" * 4_000_000, TokenMalformed, "too_long")
    assert_refused("x" * (MAX_LENGTH + 1), TokenMalformed, "too_long")


def test_another_key_or_another_byte_breaks_the_signature() -> None:
    """A key we do not hold under this id, and every single character of the token."""
    assert_refused(forge(key=OTHER_KEY), TokenSignatureInvalid, "bad_signature")
    for i in range(len(GOOD)):
        flipped = GOOD[:i] + ("A" if GOOD[i] != "A" else "B") + GOOD[i + 1 :]
        with pytest.raises(TokenError):
            check(flipped)


def test_claims_are_not_believed_before_the_signature() -> None:
    """An expired token with a bad signature is a bad signature: nobody probes claims without a key."""
    raw = forge(claims={**CLAIMS, "exp": "soon"}, key=OTHER_KEY)
    assert_refused(raw, TokenSignatureInvalid, "bad_signature")


@given(st.text(max_size=300))
def test_any_text_is_refused_in_our_own_words(raw: str) -> None:
    """No input raises anything but a TokenError."""
    with pytest.raises(TokenError):
        check(raw)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_under_a_good_signature_are_refused_in_our_own_words(header: bytes, claims: bytes) -> None:
    """Not even the holder of the key can raise anything but a TokenError."""
    with pytest.raises(TokenError):
        check(forge(header, claims))
    with pytest.raises(TokenError):
        check(forge(HEADER, claims))
