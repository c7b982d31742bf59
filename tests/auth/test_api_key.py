"""Keys that programs show for months."""

from __future__ import annotations

from auth_builders import NOW_US
from camrelay.auth.api_key import ApiKey, ApiKeys, digest, spell
from camrelay.model import Action

RAW = spell("1f2e", "secret")
KEY = ApiKey("1f2e", digest(RAW), "billing", ("door",), (Action.WATCH,), NOW_US, NOW_US + 1)


def test_a_key_is_a_grant_to_whoever_shows_it_whole() -> None:
    """Revoked by its id; another id, another secret, or one letter more, and it is none."""
    keys = ApiKeys([KEY])
    grant = keys.grant(RAW)
    assert grant is not None
    assert (grant.id, grant.subject, grant.cameras, grant.expires_us) == (
        "1f2e",
        "key-1f2e",
        ("door",),
        NOW_US + 1,
    )
    for raw in (RAW + "x", RAW[:-1], spell("1f2f", "secret"), RAW.upper(), ""):
        assert keys.grant(raw) is None


def test_scanners_of_published_code_know_a_key() -> None:
    """By its beginning; what is kept of it does not have the secret in it."""
    assert RAW == "cr_live_1f2e_secret"
    assert "secret" not in repr(KEY)


def test_what_is_removed_is_believed_no_more() -> None:
    """And only that."""
    other = ApiKey("2", b"2", "", ("*",), (Action.MANAGE,), 0, 1)
    keys = ApiKeys()
    keys.add(KEY)
    keys.add(other)
    assert list(keys) == [KEY, other]
    assert keys.remove("1f2e")
    assert not keys.remove("1f2e")
    assert keys.grant(RAW) is None
    assert (len(keys), list(keys)) == (1, [other])


def test_keys_become_others() -> None:
    """When another relay made some and removed some."""
    other = ApiKey("2", b"2", "", ("*",), (Action.MANAGE,), 0, 1)
    keys = ApiKeys([KEY])
    keys.become([other])
    assert keys.grant(RAW) is None
    assert list(keys) == [other]
