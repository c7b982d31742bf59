"""How long a secret is compared tells nothing of it, measured as dudect does (Reparaz et al., 2017).

Guesses that are wrong at their first character and guesses that are wrong only at their last come in an order
drawn at random; Welch's t tells whether they take different times. Whatever else the machine does meets both.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from auth_builders import NOW_US
from camrelay.auth import sessions
from camrelay.auth.api_key import ApiKey, ApiKeys, digest, spell
from camrelay.auth.invitation import Purpose, sign, subject_of
from camrelay.auth.password import Passwords
from camrelay.model import Action
from camrelay.sealing import Seal

#: Beyond it dudect calls two times different.
T_LIMIT = 4.5
#: Chance reaches the limit once in a hundred thousand; a machine that changes its pace halfway, more often.
ATTEMPTS = 4

SECRET = "xK3v9QbT1mZr8YhLw2NcPd7FsJg5UaEo"
WRONG = {"first": "y" + SECRET[1:], "last": SECRET[:-1] + "p"}


def welch_t(compare: Callable[[str], object], guesses: dict[str, str], samples: int) -> float:
    """How many standard errors the mean times of both guesses lie apart."""
    order = [*guesses] * samples
    random.Random(1).shuffle(order)
    took: dict[str, list[int]] = {name: [] for name in guesses}
    for name in order:
        guess = guesses[name]
        began = time.perf_counter_ns()
        compare(guess)
        took[name].append(time.perf_counter_ns() - began)
    # What was interrupted tells nothing of the comparison: the slowest tenth of all is left out.
    longest = sorted(time for times in took.values() for time in times)[len(order) * 9 // 10]
    one, other = ([time for time in times if time <= longest] for times in took.values())
    error = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return float(abs(statistics.fmean(one) - statistics.fmean(other)) / error**0.5)


def tells(compare: Callable[[str], object], guesses: dict[str, str], samples: int) -> bool:
    """Whether a guess can be told from another by its time, each time that is tried."""
    return all(welch_t(compare, guesses, samples) > T_LIMIT for _ in range(ATTEMPTS))


def letter_by_letter(guess: str) -> bool:
    return all(one == other for one, other in zip(guess, SECRET, strict=True))


def test_the_measure_finds_what_gives_itself_away() -> None:
    """A comparison that stops at the first difference."""
    assert any(welch_t(letter_by_letter, WRONG, 2000) > T_LIMIT for _ in range(ATTEMPTS))


@pytest.fixture
def api_keys() -> ApiKeys:
    raw = spell("1f2e", SECRET)
    return ApiKeys([ApiKey("1f2e", digest(raw), "", ("door",), (Action.WATCH,), NOW_US, NOW_US + 1)])


def test_case_78_of_an_api_key(api_keys: ApiKeys) -> None:
    """It is found by its hash."""
    assert api_keys.grant(spell("1f2e", SECRET)) is not None
    guesses = {name: spell("1f2e", wrong) for name, wrong in WRONG.items()}
    assert not any(map(api_keys.grant, guesses.values()))
    assert not tells(api_keys.grant, guesses, 2000)


def test_case_78_of_a_media_session() -> None:
    """The secret in its paths, too."""
    known = {sessions._digest(SECRET): object()}
    assert not tells(lambda guess: known.get(sessions._digest(guess)), WRONG, 2000)


def test_case_78_of_a_letter() -> None:
    """Its token is a mark of ours, compared as a whole."""
    mark = Seal(bytes(32)).mark
    right = sign(mark, Purpose.ACCEPT, "ab12")
    subject, _, code = right.partition("-")
    first = "0" if code[0] != "0" else "1"
    last = "0" if code[-1] != "0" else "1"
    guesses = {"first": f"{subject}-{first}{code[1:]}", "last": right[:-1] + last}

    def read(guess: str) -> str | None:
        return subject_of(mark, Purpose.ACCEPT, guess)

    assert read(right) == "ab12"
    assert not any(map(read, guesses.values()))
    assert not tells(read, guesses, 2000)


def test_case_78_of_passwords() -> None:
    """Of people and of links alike: both are hashed before they are compared."""
    hasher = PasswordHasher.from_parameters(CHEAPEST)
    passwords, known = Passwords(hasher), hasher.hash(SECRET)
    assert passwords._matches(known, SECRET)
    assert not tells(lambda guess: passwords._matches(known, guess), WRONG, 300)
    passwords.close()
