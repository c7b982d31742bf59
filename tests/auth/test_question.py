"""What is asked of a service that decides who may watch, and what its answer gives."""

from __future__ import annotations

import base64

import msgspec
import pytest

from auth_builders import SIGNING_KEY, make_grant
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.question import MAX_LENGTH, MAX_NAME, Question, admits, authority, question
from camrelay.auth.token import sign
from camrelay.config import Auth
from camrelay.model import Action


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def ask(*authorization: str, query: str = "", path: str = "door") -> Question | None:
    return question(authorization, query=query, ip="203.0.113.9", path=path, protocol="hls", id="q1")


def test_the_body_is_that_of_mediamtx() -> None:
    """Its names, in its order; services read it without a change."""
    assert msgspec.to_builtins(ask(basic("anna:pass:word"), query="a=b&c=%20")) == {
        "user": "anna",
        "password": "pass:word",
        "token": "",
        "ip": "203.0.113.9",
        "action": "read",
        "path": "door",
        "protocol": "hls",
        "id": "q1",
        "query": "a=b&c=%20",
    }
    assert list(Question.__struct_fields__) == [
        "user", "password", "token", "ip", "action", "path", "protocol", "id", "query",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("authorization", "user", "password", "token"),
    [
        ("Bearer opaque", "", "", "opaque"),
        ("bearer  a.b.c ", "", "", "a.b.c"),
        ("Bearer anna:secret", "anna", "secret", ""),
        ("Bearer a:b:c", "", "", "a:b:c"),
        (basic("anna"), "anna", "", ""),
        ("Basic %%%", "", "", ""),
        ("Basic /w==", "", "", ""),
        ("Digest username=anna", "", "", ""),
        ("", "", "", ""),
    ],
)
def test_what_a_request_shows(authorization: str, user: str, password: str, token: str) -> None:
    """Whoever shows nothing is asked about as well: the service may know their address."""
    asked = ask(authorization)
    assert asked is not None
    assert (asked.user, asked.password, asked.token) == (user, password, token)


@pytest.mark.parametrize(
    "asked",
    [
        ask("Bearer " + sign(make_grant(), SIGNING_KEY, Auth())),
        ask("Bearer cr_live_0123_secret"),
        ask("Bearer a", "Bearer b"),
        ask("Bearer " + "a" * MAX_LENGTH),
        ask(query="a" * (MAX_LENGTH + 1)),
        ask(path="../door"),
        ask(path=""),
    ],
    ids=["a grant", "an API key", "two", "too long", "a long query", "no camera", "nothing"],
)
def test_what_is_judged_here(asked: Question | None) -> None:
    """camrelay's own credentials are shown to nobody, and nonsense to nobody either."""
    assert asked is None


@pytest.mark.parametrize(
    ("authorization", "subject"),
    [
        (basic("anna:1"), "callback:anna"),
        ("Bearer opaque", "callback:token-6d229884c1268bb0"),
        (basic("anna\n:1"), "callback:user-"),
        (basic("a" * (MAX_NAME + 1) + ":1"), "callback:user-"),
        ("", ""),
    ],
)
def test_whom_the_record_names(authorization: str, subject: str) -> None:
    """A user by their name, which is never that of an account; a token by a hash of it."""
    asked = ask(authorization)
    assert asked is not None
    if subject.endswith("-"):
        assert asked.subject.startswith(subject)
        assert len(asked.subject) == len(subject) + 16
    else:
        assert asked.subject == subject


def test_a_question_prints_without_its_secrets() -> None:
    """Wherever it ends up."""
    assert repr(ask(basic("anna:secret"), query="token=secret")) == "Question('door')"


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, True), (204, True), (299, True), (302, False), (401, False), (404, False), (500, None)],
)
def test_what_an_answer_means(status: int, verdict: bool | None) -> None:
    """A service that fails has not decided."""
    assert admits(status) is verdict


def test_what_an_admission_gives() -> None:
    """To look, not to change anything; ended by the camera's removal or by the name."""
    asked = ask(basic("anna:1"))
    assert asked is not None
    given = authority(asked)
    assert (given.subject, given.method, given.expires_us) == ("callback:anna", "callback", None)
    assert given.actions == (Action.WATCH, Action.SNAPSHOT)
    assert given.handles == (
        Handle(HandleKind.CAMERA, "door"),
        Handle(HandleKind.ACCOUNT, "callback:anna"),
    )
