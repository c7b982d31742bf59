"""What a request may do besides watching: list cameras, change them, run the relay.

A request shows a token, or comes from somebody who is signed in. Nothing here begins a viewing.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from camrelay.auth.account import Account, SignedIn, may_add, owns, runs_relay
from camrelay.auth.policy import decide, grant_manages
from camrelay.auth.share import Book
from camrelay.auth.showing import token_in
from camrelay.auth.token import Grant
from camrelay.auth.verifier import Verifier
from camrelay.auth.websession import signed_in
from camrelay.config import Auth, Camera
from camrelay.errors import AccessDenied, TokenMissing
from camrelay.model import Action, CameraId


class Permissions:
    """Tells of a request who asks, and what they may.

    Args:
        verifier: what knows which tokens hold.
        book: what owners have given to others.
        now, utc_us: the clocks, monotonic seconds and microseconds of UTC.
    """

    def __init__(
        self,
        verifier: Verifier,
        options: Auth,
        book: Book,
        now: Callable[[], float],
        utc_us: Callable[[], int],
    ) -> None:
        self._verifier = verifier
        self._options = options
        self._book = book
        self._now = now
        self._utc_us = utc_us

    def token(self, request: web.Request) -> str | None:
        """The one token of a request, None without any.

        Raises:
            TokenError: there are two, or it stands where it may not.
        """
        return token_in(request, may_be_in_query=self._options.query_tokens)

    def may_watch(self, request: web.Request) -> Callable[[Camera], bool]:
        """Tells which cameras a request could watch: public ones, and those its grant or account reaches.

        Raises:
            TokenError: the request has a token that cannot be used.
        """
        grant, person = self._asker(request)
        now_us = self._utc_us()

        def reaches(camera: Camera) -> bool:
            try:
                decide(CameraId(camera.id), camera, Action.WATCH, grant, person, self._book, now_us)
            except AccessDenied:
                return False
            return True

        return reaches

    def check_manager(self, request: web.Request) -> None:
        """Passes a request of whoever runs this relay: a grant to manage every camera, or an operator.

        Raises:
            TokenError: there is no usable token, and nobody is signed in.
            AccessDenied: there is, and does not allow that.
        """
        grant, person = self._somebody(request)
        if not (grant_manages(grant) or (person is not None and runs_relay(person.account))):
            raise AccessDenied("action_not_granted")

    def manages(self, request: web.Request) -> Callable[[Camera], bool]:
        """Tells which cameras a request may change: those of its grant to manage, or of its account.

        Raises:
            TokenError: there is no usable token, and nobody is signed in.
        """
        grant, person = self._somebody(request)
        return lambda camera: (
            grant_manages(grant, camera.id) or (person is not None and owns(person.account, camera))
        )

    def adder(self, request: web.Request) -> Account | None:
        """Who adds a camera: an account that may, None for a grant to manage every camera.

        Raises:
            TokenError: there is no usable token, and nobody is signed in.
            AccessDenied: there is, and does not allow that.
        """
        person = self._asker(request)[1]
        if person is None:
            self.check_manager(request)
            return None
        if not may_add(person.account):
            raise AccessDenied("action_not_granted")
        return person.account

    def subject(self, request: web.Request) -> str:
        """Who asks, as the record names them: an account's id, or a grant's subject, "" for one without.

        Raises:
            TokenError: there is no usable token, and nobody is signed in.
        """
        grant, person = self._asker(request)
        if person is not None:
            return person.account.id
        if grant is None:
            raise TokenMissing("no_token")
        return grant.subject

    def _asker(self, request: web.Request) -> tuple[Grant | None, SignedIn | None]:
        raw = self.token(request)
        if raw is None:
            return None, signed_in(request)
        return self._verifier.verify(raw, self._now(), self._utc_us())[0], None

    def _somebody(self, request: web.Request) -> tuple[Grant | None, SignedIn | None]:
        grant, person = self._asker(request)
        if grant is None and person is None:
            raise TokenMissing("no_token")
        return grant, person
