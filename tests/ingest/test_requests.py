"""Tests of camrelay.ingest.requests: numbers, sessions and signatures."""

from __future__ import annotations

import pytest

from camrelay.errors import CameraAuthFailed
from camrelay.ingest.requests import SESSION_TIMEOUT_S, UNANSWERED_LIMIT, Request, Requests
from camrelay.ingest.rtsp import Credentials, Head, parse_head

PLAY = Request("PLAY", "rtsp://camera/", (("Range", "npt=0.000-"),))
KEEPALIVE = Request("OPTIONS", "rtsp://camera/")


@pytest.fixture
def requests() -> Requests:
    return Requests(Credentials("viewer", "secret", "c0"))


def sent(data: bytes) -> Head:
    parsed = parse_head(data)
    assert parsed is not None
    return parsed[0]


def answer(number: object, *headers: tuple[str, str]) -> Head:
    return Head("RTSP/1.0 200 OK", (("CSeq", str(number)), *headers))


def test_a_request_has_a_number_and_its_answer_finds_it(requests: Requests) -> None:
    """Answers may come in any order."""
    first, second = sent(requests.ask(KEEPALIVE)), sent(requests.ask(PLAY))
    assert (first.get("CSeq"), second.get("CSeq"), requests.count) == ("1", "2", 2)
    assert second.start == "PLAY rtsp://camera/ RTSP/1.0"
    assert second.get("Range") == "npt=0.000-"
    assert requests.answered(answer(2)) == PLAY
    assert requests.answered(answer(1)) == KEEPALIVE
    assert requests.answered(answer(1)) is None


def test_an_answer_with_a_number_of_its_own_is_for_the_oldest(requests: Requests) -> None:
    """Unless nobody waits for one any more."""
    requests.ask(PLAY)
    requests.ask(KEEPALIVE)
    assert requests.answered(answer(99)) == PLAY
    requests.forget()
    assert requests.answered(answer(99)) is None


def test_a_camera_that_never_answers_costs_no_memory(requests: Requests) -> None:
    """The oldest requests are forgotten."""
    requests.ask(PLAY)
    for _ in range(UNANSWERED_LIMIT):
        requests.ask(KEEPALIVE)
    found = [requests.answered(answer(number)) for number in range(1, UNANSWERED_LIMIT + 2)]
    assert found.count(None) == 1
    assert PLAY not in found


@pytest.mark.parametrize(
    ("header", "keepalive_s"),
    [
        ("77;timeout=20", 10.0),
        ("77; Timeout = 1", 1.0),
        ("77;timeout=86400", SESSION_TIMEOUT_S / 2),
        ("77", SESSION_TIMEOUT_S / 2),
    ],
)
def test_a_session_goes_with_every_request(requests: Requests, header: str, keepalive_s: float) -> None:
    """And says how often it wants to hear from us, within reason."""
    requests.take_session(answer(1))
    assert requests.session == ""
    requests.take_session(answer(1, ("Session", header)))
    assert requests.keepalive_s == keepalive_s
    assert sent(requests.ask(KEEPALIVE)).get("Session") == "77"


def test_a_challenge_is_answered_once(requests: Requests) -> None:
    """A second one in a row is a refusal; after a success it is a new question."""
    challenge = answer(1, ("WWW-Authenticate", 'Basic realm="x"'))
    assert not sent(requests.ask(PLAY)).get("Authorization")
    requests.challenged(challenge)
    assert sent(requests.ask(PLAY)).get("Authorization").startswith("Basic ")
    requests.accepted()
    requests.challenged(challenge)
    with pytest.raises(CameraAuthFailed):
        requests.challenged(challenge)
