"""Tokens verified once, checked every time."""

from __future__ import annotations

import pytest

from auth_builders import KEYS, NOW_US, OTHER_KEY, SIGNING_KEY, make_grant
from camrelay.auth import verifier as module
from camrelay.auth.api_key import ApiKey, ApiKeys, digest, spell
from camrelay.auth.lease import Handle, HandleKind, disguised
from camrelay.auth.token import Grant, VerificationKey, sign
from camrelay.auth.verifier import CACHE_LIMIT, Verifier
from camrelay.config import Auth
from camrelay.errors import TokenExpired, TokenMalformed, TokenRevoked, TokenSignatureInvalid
from camrelay.model import Action

OPTIONS = Auth()
GRANT = make_grant()
RAW = sign(GRANT, SIGNING_KEY, OPTIONS)
NOW = 1000.0


def make_verifier(keys: dict[str, VerificationKey] = KEYS) -> Verifier:
    return Verifier(OPTIONS, lambda: keys)


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every token whose signature was really checked."""
    seen: list[str] = []
    real = module.verify

    def counting(raw: str, *args: object) -> Grant:
        seen.append(raw)
        return real(raw, *args)

    monkeypatch.setattr(module, "verify", counting)
    return seen


def test_a_signature_is_checked_once(signatures: list[str]) -> None:
    """The second time costs a hash and a lookup."""
    verifier = make_verifier()
    first = verifier.verify(RAW, NOW, NOW_US)
    assert first == (GRANT, NOW + 300.0)
    assert verifier.verify(RAW, NOW + 1, NOW_US + 1_000_000) == first
    assert signatures == [RAW]


def test_the_cache_is_bounded(signatures: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The token seen longest ago makes room."""
    assert CACHE_LIMIT == 4096
    monkeypatch.setattr(module, "CACHE_LIMIT", 2)
    verifier = make_verifier()
    tokens = [sign(make_grant(id=f"t{n}"), SIGNING_KEY, OPTIONS) for n in range(3)]
    for raw in tokens:
        verifier.verify(raw, NOW, NOW_US)
    for raw in (tokens[2], tokens[1], tokens[0]):
        verifier.verify(raw, NOW, NOW_US)
    assert signatures == [*tokens, tokens[0]]


def test_what_is_refused_is_not_kept(signatures: list[str]) -> None:
    """A refused token is looked at again, surrogates from a raw header included."""
    verifier = make_verifier()
    for _ in range(2):
        with pytest.raises(TokenMalformed):
            verifier.verify("\udcff", NOW, NOW_US)
    assert len(signatures) == 2


def test_setting_the_clock_back_does_not_lengthen_a_token() -> None:
    """Case 21: an hour back on the wall clock, five minutes on on the monotonic one."""
    verifier = make_verifier()
    verifier.verify(RAW, NOW, NOW_US)
    verifier.verify(RAW, NOW + 299, NOW_US - 3_600_000_000)
    with pytest.raises(TokenExpired):
        verifier.verify(RAW, NOW + 300, NOW_US - 3_600_000_000)


def test_setting_the_clock_ahead_ends_a_token() -> None:
    """Case 21: the wall clock is what the token was written for; doubt is not decided for the viewer."""
    verifier = make_verifier()
    verifier.verify(RAW, NOW, NOW_US)
    with pytest.raises(TokenExpired):
        verifier.verify(RAW, NOW + 1, NOW_US + 3_600_000_000)


@pytest.mark.parametrize(
    "handle",
    [
        Handle(HandleKind.TOKEN, "t1"),
        Handle(HandleKind.KEY, "k1"),
        Handle(HandleKind.ACCOUNT, "anna"),
        disguised(Handle(HandleKind.ACCOUNT, "anna")),
        Handle(HandleKind.TENANT, ""),
    ],
)
def test_a_revoked_token_is_refused_cached_or_not(handle: Handle) -> None:
    """Case 6: by whatever handle it was withdrawn, and although it was accepted a moment ago."""
    verifier = make_verifier()
    verifier.verify(RAW, NOW, NOW_US)
    verifier.revoke(handle, NOW_US)
    with pytest.raises(TokenRevoked):
        verifier.verify(RAW, NOW, NOW_US)
    fresh = make_verifier()
    fresh.revoke(handle, NOW_US)
    with pytest.raises(TokenRevoked):
        fresh.verify(RAW, NOW, NOW_US)


def test_an_account_gets_new_tokens_after_its_old_ones_were_withdrawn() -> None:
    """Case 23: signing out kills what was issued before, not what comes after, told twice or once."""
    verifier = make_verifier()
    verifier.revoke(Handle(HandleKind.ACCOUNT, "anna"), NOW_US)
    verifier.revoke(Handle(HandleKind.ACCOUNT, "anna"), NOW_US - 5_000_000)
    later = make_grant(id="t2", issued_us=NOW_US + 1_000_000)
    assert verifier.verify(sign(later, SIGNING_KEY, OPTIONS), NOW, NOW_US + 1_000_000)[0] == later
    with pytest.raises(TokenRevoked):
        verifier.verify(RAW, NOW, NOW_US)


def test_a_removed_key_takes_its_tokens_along() -> None:
    """Taking a key away works without any revocation, on cached tokens too."""
    keys = dict(KEYS)
    verifier = make_verifier(keys)
    verifier.verify(RAW, NOW, NOW_US)
    del keys["k1"]
    with pytest.raises(TokenSignatureInvalid):
        verifier.verify(RAW, NOW, NOW_US)


def test_a_new_key_is_believed_at_once_and_the_old_one_still() -> None:
    """Case 27: during a rotation both keys' tokens are good."""
    keys = dict(KEYS)
    verifier = make_verifier(keys)
    verifier.verify(RAW, NOW, NOW_US)
    keys["k2"] = VerificationKey(OTHER_KEY.private.public_key())
    newer = make_grant(id="t2", key="k2")
    assert verifier.verify(sign(newer, OTHER_KEY, OPTIONS), NOW, NOW_US)[0] == newer
    assert verifier.verify(RAW, NOW, NOW_US)[0] == GRANT


def test_revocations_are_forgotten_when_nothing_they_name_can_be_alive() -> None:
    """A year of revoking leaves a day's worth in memory, and every revoked key."""
    verifier = make_verifier()
    verifier.revoke(Handle(HandleKind.KEY, "k1"), NOW_US)
    day_us = OPTIONS.max_token_life_s * 1_000_000
    for n in range(20_000):
        verifier.revoke(Handle(HandleKind.TOKEN, f"t{n}"), NOW_US + n * day_us // 10)
    assert len(verifier._revoked) < 2200
    with pytest.raises(TokenRevoked):
        verifier.verify(RAW, NOW, NOW_US)


def test_an_api_key_stands_in_the_place_of_a_token() -> None:
    """Until its end, until it is revoked by its id, and not when it is none of ours."""
    raw, end_us = spell("1f2e", "secret"), NOW_US + 2_000_000
    key = ApiKey("1f2e", digest(raw), "billing", ("door",), (Action.WATCH,), NOW_US, end_us)
    verifier = Verifier(OPTIONS, lambda: KEYS, ApiKeys([key]))
    assert verifier.verify(raw, 100.0, NOW_US) == (key.grant, 102.0)
    with pytest.raises(TokenExpired):
        verifier.verify(raw, 102.0, end_us)
    with pytest.raises(TokenSignatureInvalid, match="unknown_api_key"):
        verifier.verify(raw + "x", 100.0, NOW_US)
    verifier.revoke(Handle(HandleKind.TOKEN, "1f2e"), NOW_US)
    with pytest.raises(TokenRevoked):
        verifier.verify(raw, 100.0, NOW_US)
