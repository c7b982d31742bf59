"""What an answer costs tells nothing: compared by CPU work, which a busy machine does not change."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from auth_builders import make_account
from camrelay.account_store import AccountStore
from camrelay.auth.password import Passwords
from camrelay.auth.sign_in import SignIn
from camrelay.database import Database
from camrelay.errors import SignInFailed
from camrelay.sealing import Seal

#: Attempts with each of the two addresses, in turn.
ATTEMPTS = 500


@pytest.fixture
async def sign_in(tmp_path: Path) -> AsyncIterator[SignIn]:
    """Anna has an account. Hashing costs next to nothing, so that everything else shows."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'camrelay.db'}")
    await database.open()
    hasher = PasswordHasher.from_parameters(CHEAPEST)
    store, passwords = AccountStore(database, Seal(bytes(32))), Passwords(hasher)
    await store.add(make_account(), hasher.hash("correct horse battery"))
    days = itertools.count(step=86_400)  # every failure is forgotten by the next
    yield SignIn(store, passwords, now=lambda: float(next(days)))
    passwords.close()
    await database.close()


async def test_case_35_the_work_of_an_answer_does_not_tell_who_has_an_account(sign_in: SignIn) -> None:
    """Beside the hash, which is made for both, a known address and an unknown one differ by less than a
    hundredth of it; its own length varies by more."""
    spent: dict[str, list[float]] = {"anna@cams.example": [], "nobody@cams.example": []}
    for _ in range(ATTEMPTS):
        for email, found in spent.items():
            began = time.process_time()
            with pytest.raises(SignInFailed):
                await sign_in.check(email, "a wrong password", "", "192.0.2.0/24")
            found.append(time.process_time() - began)

    known, unknown = (statistics.median(found) for found in spent.values())
    assert abs(known - unknown) < min(hashing_s() for _ in range(3)) / 100


def hashing_s() -> float:
    """CPU time of a hash as it is kept, in all its threads."""
    began = time.process_time()
    PasswordHasher().hash("a wrong password")
    return time.process_time() - began
