"""Basic and Digest: right answers are accepted, anything else is not."""

from __future__ import annotations

import base64

import pytest

from camrelay.simulate.credentials import Credentials, accepts, answer, challenges
from camrelay.simulate.options import Auth

URL = "rtsp://127.0.0.1:8554/cam1"
NONCE = "0123456789abcdef"
RIGHT = Credentials("admin", "p@ss:word")


def basic(user: str, password: str) -> str:
    """An Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def digest(
    who: Credentials = RIGHT,
    *,
    algorithm: str = "MD5",
    nonce: str = NONCE,
    method: str = "PLAY",
    url: str = URL,
    qop: bool = False,
    **lies: str,
) -> str:
    """An Authorization header; what is named in `lies` is told instead of what was computed with."""
    extra = {"qop": "auth", "nc": "00000001", "cnonce": "c"} if qop else {}
    given = {
        "username": who.user,
        "realm": who.realm,
        "nonce": nonce,
        "uri": url,
        "response": answer(who, algorithm, nonce, method, url, extra),
        **extra,
        "algorithm": algorithm,
        **lies,
    }
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in given.items())


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm: str, response: str) -> None:
    """§3.9.1, both algorithms."""
    mufasa = Credentials("Mufasa", "Circle of Life", realm="http-auth@example.org")
    nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    given = {"qop": "auth", "nc": "00000001", "cnonce": cnonce}

    assert response == answer(mufasa, algorithm, nonce, "GET", "/dir/index.html", given)


@pytest.mark.parametrize(
    ("auth", "schemes"),
    [
        ("any", ["SHA-256", "MD5", "Basic"]),
        ("basic", ["Basic"]),
        ("digest", ["MD5"]),
        ("digest-sha256", ["SHA-256"]),
    ],
)
def test_challenges_offer_what_is_configured(auth: Auth, schemes: list[str]) -> None:
    """MD5 after SHA-256, Basic at the end; the connection's nonce in each Digest."""
    offered = challenges(Credentials("a", "b", auth), NONCE)

    assert len(schemes) == len(offered)
    for scheme, challenge in zip(schemes, offered, strict=True):
        assert scheme in challenge
        assert (scheme == "Basic") != (f'nonce="{NONCE}"' in challenge)


@pytest.mark.parametrize(
    ("auth", "authorization", "is_right"),
    [
        ("any", basic("admin", "p@ss:word"), True),
        ("basic", basic("admin", "p@ss:word"), True),
        ("basic", basic("admin", "p@ss:word").replace("Basic", "bASIC"), True),
        ("digest", basic("admin", "p@ss:word"), False),
        ("basic", basic("admin", "wrong"), False),
        ("basic", basic("other", "p@ss:word"), False),
        ("basic", "Basic", False),
        ("basic", "Basic !", False),
        ("any", digest(), True),
        ("digest", digest(), True),
        ("digest", digest(qop=True), True),
        ("digest", digest().removesuffix(', algorithm="MD5"'), True),
        ("digest-sha256", digest(algorithm="SHA-256", qop=True), True),
        ("any", digest(algorithm="SHA-256"), True),
        ("digest", digest(algorithm="SHA-256"), False),
        ("digest-sha256", digest(), False),
        ("basic", digest(), False),
        ("any", digest(algorithm="SHA-512"), False),
        ("any", digest(Credentials("admin", "wrong")), False),
        ("any", digest(Credentials("other", "p@ss:word")), False),
        ("any", digest(Credentials("admin", "p@ss:word", realm="elsewhere")), False),
        ("any", digest(nonce="another connection's"), False),
        ("any", digest(method="DESCRIBE"), False),
        ("any", digest(url=URL + "2"), False),
        ("any", digest(uri=URL + "2"), False),
        ("any", digest(response=""), False),
        ("any", "Digest", False),
        ("any", "Bearer abc", False),
        ("any", "", False),
    ],
)
def test_answers(auth: Auth, authorization: str, is_right: bool) -> None:
    """Each part of an answer counts: scheme, user, password, realm, nonce, method and URL."""
    asked = Credentials(RIGHT.user, RIGHT.password, auth)

    assert is_right == accepts(asked, NONCE, "PLAY", URL, authorization)
