"""Signing in: an address, a password, and the code of the second factor where there is one.

Nothing here tells which accounts there are: an unknown address takes as long as a known one and gets the same
answer. Failures make the next attempt wait, by where they come from and by whom they aim at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from camrelay.account_store import AccountStore
from camrelay.auth.account import Account, normalise_email, normalise_password
from camrelay.auth.password import Passwords
from camrelay.auth.patience import Patience
from camrelay.auth.totp import matching_step
from camrelay.errors import BadRequest, CodeRequired, SignInFailed, TooManyRequests

#: The longest pauses: of one network that aims at one account, of an account that many aim at, and of a
#: network that aims at many. Strangers can slow an owner down to an attempt in half a minute, and only while
#: they keep at it from many networks; a house full of people who mistype waits a minute at most.
_PAIR_S = 900.0
_ACCOUNT_S = 30.0
_NETWORK_S = 60.0


class SignIn:
    """Checks who people are.

    Args:
        now, utc_us: the clocks, monotonic seconds and microseconds of UTC.
    """

    def __init__(
        self,
        store: AccountStore,
        passwords: Passwords,
        now: Callable[[], float] = time.monotonic,
        utc_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._now = now
        self._utc_us = utc_us
        self._pair = Patience(free=5, longest_s=_PAIR_S)
        self._account = Patience(free=30, longest_s=_ACCOUNT_S)
        self._network = Patience(free=100, longest_s=_NETWORK_S)

    async def check(self, email: str, password: str, code: str, network: str) -> Account:
        """The account of somebody who has shown that it is theirs.

        Args:
            code: of the second factor, "" without one.
            network: where the attempt comes from.

        Raises:
            SignInFailed: it is not, or not now.
            CodeRequired: the password is right, the code is not.
            TooManyRequests: too many failures came before, or too many are signing in.
        """
        try:
            email = normalise_email(email)
        except BadRequest:
            email = ""  # it goes the whole way: what is no address must not be told apart either
        with self._patience(email, network):
            account = await self._store.by_email(email)
            await self._check(account, password, code)
            assert account is not None
            return account

    async def confirm(self, account: Account, password: str, code: str, network: str) -> None:
        """Passes somebody who is signed in and shows once more who they are.

        Raises:
            SignInFailed, CodeRequired, TooManyRequests: as `check`.
        """
        with self._patience(account.email, network):
            await self._check(account, password, code)

    async def _check(self, account: Account | None, password: str, code: str) -> None:
        known = await self._store.credentials(account.id if account else "")
        password_hash = known.password_hash if known else None
        is_right = await self._passwords.verify(password_hash, normalise_password(password))
        if account is None or known is None or not is_right or not account.is_active:
            raise SignInFailed("wrong_password")
        if known.totp is None:
            return
        step = matching_step(known.totp, code, self._utc_us())
        if step is None or not await self._store.use_totp(account.id, step):
            raise CodeRequired("wrong_code" if code else "no_code")

    @contextmanager
    def _patience(self, email: str, network: str) -> Iterator[None]:
        waits = ((self._pair, (email, network)), (self._network, network), (self._account, email))
        wait_s = max(patience.wait_s(key, self._now()) for patience, key in waits)
        if wait_s > 0:
            raise TooManyRequests("too many failed attempts", retry_after_s=int(wait_s) + 1)
        try:
            yield
        except SignInFailed as error:
            # Somebody whose browser has yet to ask for the code has not failed.
            if error.reason != "no_code":
                for patience, key in waits:
                    patience.fail(key, self._now())
            raise
        self._pair.forgive((email, network))
        self._account.forgive(email)
