"""Who may show credentials to a camera, and when."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from camrelay.errors import CameraAuthFailed, CameraUnreachable, CredentialsOnHold, StoreUnavailable
from camrelay.ingest.budget import Budget
from camrelay.ingest.refusals import LIMIT
from camrelay.model import Refusal
from camrelay.sealing import Seal

SEAL = Seal(bytes(32))


class Memory:
    """A ledger that outlives budgets, and may fail."""

    def __init__(self) -> None:
        self.kept: dict[str, Refusal] = {}
        self.is_broken = False

    async def refusals(self) -> dict[str, Refusal]:
        return dict(self.kept)

    async def keep_refusal(self, account: str, refusal: Refusal, *, forget_before_us: int) -> None:
        if self.is_broken:
            raise StoreUnavailable("no")
        self.kept[account] = refusal

    async def forget_refusal(self, account: str) -> None:
        self.kept.pop(account, None)


async def opened(memory: Memory) -> Budget:
    budget = Budget(memory, SEAL)
    await budget.open()
    return budget


async def refuse(budget: Budget, account: str) -> None:
    with pytest.raises(CameraAuthFailed):
        async with budget.showing(account):
            raise CameraAuthFailed("no")


async def test_two_refusals_hold_across_a_restart() -> None:
    """Whoever asks: there is one budget for an account at an address."""
    memory = Memory()
    budget = await opened(memory)
    account = budget.account("10.0.0.9", "admin", "wrong")
    await refuse(budget, account)
    await refuse(budget, account)

    again = await opened(memory)

    assert again.account("10.0.0.9", "admin", "wrong") == account
    with pytest.raises(CredentialsOnHold):
        async with again.showing(account):
            pytest.fail("it was shown")


async def test_another_password_is_tried_at_once() -> None:
    """So is the same one at another camera."""
    budget = await opened(Memory())
    account = budget.account("10.0.0.9", "admin", "wrong")
    await refuse(budget, account)
    await refuse(budget, account)

    for other in (
        budget.account("10.0.0.9", "admin", "right"),
        budget.account("10.0.0.9", "guest", "wrong"),
        budget.account("10.0.0.8", "admin", "wrong"),
    ):
        async with budget.showing(other):
            pass


async def test_nobody_is_never_held() -> None:
    """Without credentials there is no account that could be locked."""
    budget = await opened(Memory())
    assert budget.account("10.0.0.9", "", "") == ""
    for _ in range(LIMIT + 1):
        await refuse(budget, "")
    await budget.accepted("")


async def test_what_fails_otherwise_is_no_refusal() -> None:
    """A camera without power says nothing about a password."""
    budget = await opened(Memory())
    for _ in range(LIMIT + 1):
        with pytest.raises(CameraUnreachable):
            async with budget.showing("a"):
                raise CameraUnreachable("gone")
    async with budget.showing("a"):
        pass


async def test_an_account_that_works_has_its_refusals_again() -> None:
    """In the ledger too."""
    memory = Memory()
    budget = await opened(memory)
    await refuse(budget, "a")

    await budget.accepted("a")

    assert memory.kept == {}
    await refuse(budget, "a")
    async with budget.showing("a"):
        pass


async def test_sixteen_channels_with_a_wrong_password_are_two_attempts() -> None:
    """They start at the same moment, and the camera counts."""
    budget = await opened(Memory())
    attempts = 0

    async def channel() -> None:
        nonlocal attempts
        async with budget.showing("a"):
            attempts += 1
            await asyncio.sleep(0)
            raise CameraAuthFailed("no")

    ends = await asyncio.gather(*(channel() for _ in range(16)), return_exceptions=True)

    assert attempts == LIMIT
    assert [type(end) for end in ends].count(CredentialsOnHold) == 16 - LIMIT


async def test_sixteen_channels_with_the_right_password_do_not_queue() -> None:
    """Once the first has played."""
    budget = await opened(Memory())
    at_once = asyncio.Barrier(16)

    async def channel() -> None:
        async with budget.showing("a"):
            await at_once.wait()

    channels = [asyncio.create_task(channel()) for _ in range(16)]
    await asyncio.sleep(0)
    assert at_once.n_waiting < 16
    await budget.accepted("a")

    await asyncio.wait_for(asyncio.gather(*channels), 5)


async def test_one_channel_that_is_forbidden_does_not_take_the_others_along() -> None:
    """The account plays elsewhere on the recorder: the refusal is about that channel."""
    budget = await opened(Memory())
    await budget.accepted("a")
    with budget.playing("a"):
        for _ in range(LIMIT):
            await refuse(budget, "a")
    async with budget.showing("a"):
        pass

    await refuse(budget, "a")
    await refuse(budget, "a")
    with pytest.raises(CredentialsOnHold):
        async with budget.showing("a"):
            pytest.fail("it was shown")


async def test_a_ledger_that_fails_does_not_let_anybody_lock_an_account() -> None:
    """What cannot be kept counts all the same."""
    memory = Memory()
    budget = await opened(memory)
    memory.is_broken = True
    await refuse(budget, "a")
    await refuse(budget, "a")

    with pytest.raises(CredentialsOnHold):
        async with budget.showing("a"):
            pytest.fail("it was shown")


async def test_whoever_goes_away_frees_the_place() -> None:
    """A probe that is cancelled must not hold the camera up."""
    budget = await opened(Memory())

    async def hang() -> None:
        async with budget.showing("a"):
            await asyncio.Event().wait()

    hanging = [asyncio.create_task(hang()) for _ in range(LIMIT + 1)]
    await asyncio.sleep(0)
    for task in hanging:
        task.cancel()
    for task in hanging:
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async with asyncio.timeout(5), budget.showing("a"):
        pass


async def test_marks_tell_nothing() -> None:
    """No address, no name, no password; and none that another relay could compare."""
    mark = Budget(None, SEAL).account("10.0.0.9", "admin", "canary")

    assert not any(word in mark for word in ("10.0.0.9", "admin", "canary"))
    assert mark != Budget().account("10.0.0.9", "admin", "canary")
