"""One-time codes as RFC 6238 makes them."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, urlsplit

import pytest

from camrelay.auth.totp import encode_secret, matching_step, provisioning_uri

SECRET = encode_secret(b"12345678901234567890")


def test_a_secret_is_what_apps_take() -> None:
    """Base32 without padding."""
    assert base64.b32decode(SECRET) == b"12345678901234567890"
    assert encode_secret(b"1234") == "GEZDGNA"


@pytest.mark.parametrize(
    ("second", "code"),
    [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")],
)
def test_the_codes_of_the_rfc(second: int, code: str) -> None:
    """RFC 6238 appendix B, the last six digits; spaces are the app's."""
    now_us = second * 1_000_000
    assert matching_step(SECRET, code, now_us) == second // 30
    assert matching_step(SECRET, f"{code[:3]} {code[3:]}", now_us) == second // 30


def test_a_clock_may_differ_by_a_step() -> None:
    """Not by two."""
    step_us = 30 * 1_000_000
    now_us, step = 1_111_111_109 * 1_000_000, 1_111_111_109 // 30
    found = [matching_step(SECRET, "081804", now_us + n * step_us) for n in (-2, -1, 0, 1, 2)]
    assert found == [None, step, step, step, None]


@pytest.mark.parametrize(
    "code", ["", "28708", "2870822", "28708a", "\u0662\u0668\u0667\u0660\u0668\u0662", "000000"]
)
def test_anything_else_is_no_code(code: str) -> None:
    """Digits of other scripts neither."""
    assert matching_step(SECRET, code, 59 * 1_000_000) is None


def test_the_address_for_the_app_names_the_account() -> None:
    """As a QR code carries it."""
    uri = urlsplit(provisioning_uri(SECRET, "anna@cams.example", "camrelay"))
    query = parse_qs(uri.query)

    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert (query["secret"], query["issuer"]) == ([SECRET], ["camrelay"])
