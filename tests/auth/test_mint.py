"""Making grant tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auth_builders import NOW_US
from camrelay.auth.keys import KeyRing
from camrelay.auth.mint import mint, parse_duration
from camrelay.auth.token import verify
from camrelay.config import Auth
from camrelay.errors import BadRequest
from camrelay.model import Action

OPTIONS = Auth(max_token_life_s=86_400)
ASKED: dict[str, Any] = {"cameras": ["door"], "actions": [Action.WATCH], "life_s": 3600, "now_us": NOW_US}


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604_800)])
def test_durations(text: str, seconds: int) -> None:
    """Number and unit."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "0s", "-1h", "1.5h", "1h30m", "1H", " 1h", "1h\n", "9" * 50])
def test_what_is_no_duration_is_said_so(text: str) -> None:
    """With an example of what is."""
    with pytest.raises(BadRequest, match="90s, 15m, 1h or 7d"):
        parse_duration(text)


def test_a_minted_token_is_accepted(keys: KeyRing) -> None:
    """From this second on, for as long as was asked, in the name that was given."""
    grant, raw = mint(keys, OPTIONS, **{**ASKED, "now_us": NOW_US + 999_999}, subject="anna")
    assert verify(raw, keys.verification, OPTIONS, NOW_US + 999_999) == grant
    assert (grant.subject, grant.cameras, grant.actions) == ("anna", ("door",), (Action.WATCH,))
    assert (grant.issued_us, grant.expires_us) == (NOW_US, NOW_US + 3_600_000_000)


def test_every_token_has_its_own_id_and_a_name(keys: KeyRing) -> None:
    """Without a name the record names the token."""
    one, two = mint(keys, OPTIONS, **ASKED)[0], mint(keys, OPTIONS, **ASKED)[0]
    assert one.id != two.id
    assert one.subject == f"token-{one.id}"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"life_s": 86_401}, "86400 s at most"),
        ({"life_s": 0}, "would be refused"),
        ({"cameras": []}, "would be refused"),
        ({"cameras": ["Front Door"]}, "would be refused"),
        ({"cameras": [f"camera-{n}" for n in range(301)]}, "would be refused"),
        ({"actions": []}, "would be refused"),
        ({"subject": "a\nb"}, "would be refused"),
        ({"subject": "x" * 300}, "would be refused"),
    ],
)
def test_a_token_nobody_would_accept_is_not_made(keys: KeyRing, asked: dict[str, Any], message: str) -> None:
    """Whoever asks learns it now, not at the camera."""
    with pytest.raises(BadRequest, match=message):
        mint(keys, OPTIONS, **{**ASKED, **asked})
