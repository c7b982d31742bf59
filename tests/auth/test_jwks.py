"""What of a tenant's published keys is believed, and for how long."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from auth_builders import OTHER_KEY, SIGNING_KEY
from camrelay.auth.jwks import MAX_BYTES, MAX_KEYS, PATIENCE_S, KeySet, read
from camrelay.auth.token import SigningKey
from camrelay.config import TenantKeySet
from camrelay.errors import BadKeySet

NOW = 1000.0


def jwk(key: SigningKey = SIGNING_KEY, **overrides: Any) -> dict[str, Any]:
    """A public key as backends publish it."""
    x = base64.urlsafe_b64encode(key.private.public_key().public_bytes_raw()).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "kid": key.kid, "x": x, "use": "sig", "alg": "EdDSA"} | overrides


def document(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def key_set(**options: Any) -> KeySet:
    return KeySet(TenantKeySet(tenant="hotel", url="https://hotel.example/keys", **options))


def test_keys_belong_to_their_tenant() -> None:
    """Whatever else the set says of them."""
    keys = read(document(jwk(tenant="main", tid="main"), jwk(OTHER_KEY)), "hotel")
    assert {kid: (key.tenant, key.algorithm) for kid, key in keys.items()} == {
        "k1": ("hotel", "EdDSA"),
        "k2": ("hotel", "EdDSA"),
    }
    assert keys["k1"].public == SIGNING_KEY.private.public_key()


@pytest.mark.parametrize(
    "other",
    [
        {"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB", "use": "sig", "alg": "RS256"},
        {"kty": "oct", "k": "c2VjcmV0"},
        jwk(OTHER_KEY, crv="X25519"),
        jwk(OTHER_KEY, use="enc"),
        jwk(OTHER_KEY, alg="HS256"),
    ],
)
def test_keys_for_something_else_are_left_alone(other: dict[str, Any]) -> None:
    """A backend has keys for others than us, of the same id too."""
    assert list(read(document(other, jwk()), "hotel")) == ["k1"]


def test_what_may_be_left_out() -> None:
    """RFC 7517 §4: `use` and `alg` are optional."""
    bare = jwk()
    del bare["use"], bare["alg"]
    assert list(read(document(bare), "hotel")) == ["k1"]
    assert read(document(), "hotel") == {}


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'{"keys": {}}',
        b'{"keys": [1]}',
        b"[" * 60_000,
        document(jwk(), jwk()),
        document(jwk(), jwk(OTHER_KEY, kid="k1")),
        document(jwk(d="bm90IGZvciB5b3U")),
        document(jwk(kid="../k1")),
        document(jwk(kid="")),
        document(jwk(kid="k1\n")),
        document(jwk(kid="k" * 65)),
        document(jwk(kid=5)),
        document(jwk(x="")),
        document(jwk(x="A" * 44)),
        document(*(jwk(kid=f"k{i}") for i in range(MAX_KEYS + 1))),
        document(jwk()) + b" " * MAX_BYTES,
    ],
    ids=range(19),
)
def test_a_bad_set_is_refused_as_a_whole(bad: bytes) -> None:
    """Nothing of it is believed, and the error repeats nothing of it."""
    with pytest.raises(BadKeySet) as caught:
        read(bad, "hotel")
    assert caught.value.__cause__ is None
    assert "k1" not in str(caught.value)


def test_the_last_keys_count_for_their_time() -> None:
    """Then the tenant's grants are refused: fail closed."""
    keys = key_set(keep_s=3600)
    assert keys.keys(NOW) == {}
    assert keys.learn(document(jwk()), NOW) == []
    assert list(keys.keys(NOW + 3599)) == ["k1"]
    assert keys.keys(NOW + 3600) == {}


def test_a_bad_set_changes_nothing() -> None:
    """What was known goes on for as long as it would have, and no longer."""
    keys = key_set()
    keys.learn(document(jwk()), NOW)
    for bad in (b"{}", document(jwk(OTHER_KEY, kid="k1"))):
        with pytest.raises(BadKeySet):
            keys.learn(bad, NOW + 10)
    assert keys.keys(NOW + 10)["k1"].public == SIGNING_KEY.private.public_key()
    assert keys.keys(NOW + keys.options.keep_s) == {}


def test_a_rotation_tells_what_is_gone() -> None:
    """A key that stays is not mentioned."""
    keys = key_set()
    keys.learn(document(jwk()), NOW)
    assert keys.learn(document(jwk(), jwk(OTHER_KEY)), NOW + 60) == []
    assert keys.learn(document(jwk(OTHER_KEY)), NOW + 120) == ["k1"]
    assert list(keys.keys(NOW + 120)) == ["k2"]


def test_when_to_ask() -> None:
    """At the start, every `refresh_s`, after a failure and for an unknown key once a minute at most."""
    keys = key_set(refresh_s=300)
    assert keys.due_in_s(NOW) == 0
    assert keys.may_ask(NOW)
    keys.asked(NOW)
    assert not keys.may_ask(NOW + PATIENCE_S - 1)
    assert keys.due_in_s(NOW) == PATIENCE_S
    keys.learn(document(jwk()), NOW)
    assert keys.due_in_s(NOW) == 300
    assert keys.may_ask(NOW + PATIENCE_S)
    keys.asked(NOW + 290)
    assert keys.due_in_s(NOW + 300) == PATIENCE_S - 10
    assert keys.due_in_s(NOW + 1000) == 0
