"""`/v1/login`, `/v1/logout`, `/v1/accounts`, `/v1/me`: signing in and out, and what people do by themselves.

Every handler behind `recognizing` knows who is signed in. What changes who may sign in wants the password to
have been given lately; after it, every other session is over, and so is what was given to the account before.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from msgspec import UNSET

from camrelay import config, metrics
from camrelay.account_store import AccountStore
from camrelay.account_views import (
    ConfirmRequest,
    LoginRequest,
    MeChanges,
    MeView,
    PasswordRequest,
    RegisterRequest,
    TotpRequest,
    TotpView,
    WebSessionList,
    account_view,
    session_view,
)
from camrelay.auth.account import (
    FIRST_TENANT,
    Account,
    Invitation,
    Role,
    SignedIn,
    WebSession,
    check_password,
    normalise_email,
    normalise_name,
    normalise_password,
)
from camrelay.auth.common_password import COMMON_PASSWORDS
from camrelay.auth.cookie import Cookies, check_origin
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.password import Passwords
from camrelay.auth.patience import Patience
from camrelay.auth.session import Client
from camrelay.auth.sign_in import SignIn
from camrelay.auth.totp import SECRET_BYTES, encode_secret, matching_step, provisioning_uri
from camrelay.auth.websession import WebSessions, remember, signed_in
from camrelay.errors import (
    AccessDenied,
    BadRequest,
    NameTaken,
    NotConfirmed,
    NotFound,
    SignInFailed,
    TokenMissing,
    TooManyRequests,
)
from camrelay.server import Handler, Route, body, json_response

#: What authenticator apps show above the code.
_ISSUER = "camrelay"

logger = logging.getLogger("camrelay.auth")


def invitation_digest(code: str) -> bytes:
    """What is kept of the code of an invitation."""
    return hashlib.sha256(code.encode(errors="replace")).digest()


class Accounts:
    """The handlers.

    Args:
        client: tells where a request comes from.
        revoke: ends what hangs on a handle.
        utc_us: the clock, microseconds of UTC.
    """

    def __init__(
        self,
        options: config.Accounts,
        store: AccountStore,
        passwords: Passwords,
        sessions: WebSessions,
        cookies: Cookies,
        *,
        client: Callable[[web.Request], Client],
        revoke: Callable[[Handle], Awaitable[object]],
        utc_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._options = options
        self._store = store
        self._passwords = passwords
        self._sessions = sessions
        self._cookies = cookies
        self._client = client
        self._revoke = revoke
        self._utc_us = utc_us
        self._sign_in = SignIn(store, passwords, utc_us=utc_us)
        self._addresses = Patience(free=5, longest_s=900.0)

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("POST", "/v1/login", self.login, LoginRequest, MeView),
            Route("POST", "/v1/logout", self.logout, status=204),
            Route("POST", "/v1/accounts", self.register, RegisterRequest, status=202),
            Route("GET", "/v1/me", self.show, gives=MeView),
            Route("PATCH", "/v1/me", self.change, MeChanges, MeView),
            Route("POST", "/v1/me/confirm", self.confirm, ConfirmRequest, status=204),
            Route("POST", "/v1/me/password", self.change_password, PasswordRequest, status=204),
            Route("POST", "/v1/me/totp", self.offer_totp, gives=TotpView),
            Route("PUT", "/v1/me/totp", self.set_totp, TotpRequest, status=204),
            Route("DELETE", "/v1/me/totp", self.remove_totp, status=204),
            Route("GET", "/v1/me/sessions", self.list_sessions, gives=WebSessionList),
            Route("DELETE", "/v1/me/sessions", self.end_other_sessions, status=204),
            Route("DELETE", "/v1/me/sessions/{session:[0-9a-f]+}", self.end_session, status=204),
        ]

    def recognizing(self, handler: Handler) -> Handler:
        """The handler of a route that browsers come to with their cookie: it learns who is signed in.

        A request with a token speaks for itself, whoever's browser sends it.
        """

        async def handle(request: web.Request) -> web.StreamResponse:
            cookie = self._cookies.read(request)
            if cookie is not None and "Authorization" not in request.headers:
                check_origin(request, has_cookie=True)
                person = await self._sessions.find(cookie)
                if person is not None:
                    remember(request, person)
            return await handler(request)

        return handle

    async def login(self, request: web.Request) -> web.Response:
        """Signs somebody in: a session of its own for this browser, known by a new cookie."""
        check_origin(request, has_cookie=False)
        self._cookies.check_private(request)
        wanted = await body(request, LoginRequest)
        client = self._client(request)
        try:
            account = await self._sign_in.check(wanted.email, wanted.password, wanted.code, client.ip_prefix)
        except (SignInFailed, TooManyRequests) as error:
            metrics.sign_ins.labels(error.code).inc()
            raise
        metrics.sign_ins.labels("signed_in").inc()
        before = signed_in(request)
        if before is not None:
            await self._sessions.end(before.account.id, only=before.session.id)
        person, cookie = await self._sessions.begin(account, client, keep=wanted.keep)
        response = json_response(await self._me(person))
        self._cookies.give(request, response, cookie, self._life_s(person.session))
        return response

    async def logout(self, request: web.Request) -> web.Response:
        """Ends this browser's session, and every viewing that hangs on it."""
        person = signed_in(request)
        if person is not None:
            await self._sessions.end(person.account.id, only=person.session.id)
        response = web.Response(status=204)
        self._cookies.take(request, response)
        return response

    async def register(self, request: web.Request) -> web.Response:
        """Makes an account; whether the address had one already, the answer does not tell."""
        check_origin(request, has_cookie=False)
        if self._options.registration == "closed":
            raise AccessDenied("registration_closed")
        self._cookies.check_private(request)
        wanted = await body(request, RegisterRequest)
        email, name = normalise_email(wanted.email), normalise_name(wanted.name)
        password = normalise_password(wanted.password)
        check_password(password, email, has_totp=False, common=COMMON_PASSWORDS)
        self._slow_down(request)
        password_hash, right = await self._passwords.hash(password), await self._right_to_register(wanted)
        account = Account(
            id=secrets.token_hex(8),
            tenant=right.tenant,
            role=right.role,
            tier=right.tier,
            name=name,
            email=email,
            is_active=True,
            created_us=self._utc_us(),
        )
        try:
            await self._store.add(account, password_hash)
        except NameTaken:
            # The same answer: it must not tell who has an account here. The invitation is still somebody's.
            if wanted.invitation:
                await self._store.add_invitation(right, invitation_digest(wanted.invitation))
        else:
            logger.info("account registered", extra={"account": account.id})
        return web.Response(status=202)

    async def _right_to_register(self, wanted: RegisterRequest) -> Invitation:
        """What a new account becomes, by its invitation or the configuration; AccessDenied for neither."""
        if wanted.invitation:
            digest = invitation_digest(wanted.invitation)
            invitation = await self._store.take_invitation(digest, self._utc_us())
            if invitation is None:
                raise AccessDenied("unknown_invitation")
            return invitation
        if self._options.registration != "open":
            raise AccessDenied("not_invited")
        role = Role(self._options.registered_role)
        return Invitation(FIRST_TENANT, role, self._options.registered_tier, 0)

    async def show(self, request: web.Request) -> web.Response:
        """Who is signed in."""
        return json_response(await self._me(_person(request)))

    async def change(self, request: web.Request) -> web.Response:
        """Changes the name, or the address to sign in with."""
        person, wanted = _person(request), await body(request, MeChanges)
        account = person.account
        if wanted.name is not UNSET:
            account = msgspec.structs.replace(account, name=normalise_name(wanted.name))
        is_moved = wanted.email is not UNSET and normalise_email(wanted.email) != account.email
        if is_moved:
            self._check_confirmed(person)
            self._slow_down(request)
            account = msgspec.structs.replace(account, email=normalise_email(str(wanted.email)))
        await self._store.change(account)
        if is_moved:
            await self._sessions.end(account.id, but=person.session.id)
        return json_response(await self._me(SignedIn(account, person.session)))

    async def confirm(self, request: web.Request) -> web.Response:
        """Takes the password once more, for what wants it; the cookie changes."""
        person, wanted = _person(request), await body(request, ConfirmRequest)
        network = self._client(request).ip_prefix
        await self._sign_in.confirm(person.account, wanted.password, wanted.code, network)
        response = web.Response(status=204)
        cookie = await self._sessions.confirm(person.session)
        self._cookies.give(request, response, cookie, self._life_s(person.session))
        return response

    async def change_password(self, request: web.Request) -> web.Response:
        """Sets another password; every other session and every token of the account is over."""
        person, wanted = _person(request), await body(request, PasswordRequest)
        self._check_confirmed(person)
        password = normalise_password(wanted.password)
        has_totp = await self._has_totp(person.account)
        check_password(password, person.account.email, has_totp=has_totp, common=COMMON_PASSWORDS)
        await self._store.set_password(person.account.id, await self._passwords.hash(password))
        return await self._begin_anew(request, person)

    async def offer_totp(self, request: web.Request) -> web.Response:
        """A new secret for an authenticator app."""
        person = _person(request)
        self._check_confirmed(person)
        secret = encode_secret(secrets.token_bytes(SECRET_BYTES))
        return json_response(TotpView(secret, provisioning_uri(secret, person.account.email, _ISSUER)))

    async def set_totp(self, request: web.Request) -> web.Response:
        """Asks for codes of this secret from now on."""
        person, wanted = _person(request), await body(request, TotpRequest)
        self._check_confirmed(person)
        step = matching_step(wanted.secret, wanted.code, self._utc_us())
        if step is None:
            raise BadRequest("that is not the code of this moment; is the clock of your device right?")
        await self._store.set_totp(person.account.id, wanted.secret)
        await self._store.use_totp(person.account.id, step)
        return await self._begin_anew(request, person)

    async def remove_totp(self, request: web.Request) -> web.Response:
        """Asks for no more codes."""
        person = _person(request)
        self._check_confirmed(person)
        await self._store.set_totp(person.account.id, None)
        return web.Response(status=204)

    async def list_sessions(self, request: web.Request) -> web.Response:
        """Every browser that is signed in to the account, newest first."""
        person, now_us = _person(request), self._utc_us()
        sessions = await self._store.sessions(person.account.id)
        views = [session_view(each, person) for each in sessions if each.is_alive(now_us)]
        return json_response(WebSessionList(views))

    async def end_session(self, request: web.Request) -> web.Response:
        """Ends one of them, with what is watched in it."""
        person, id = _person(request), request.match_info["session"]
        if id not in [each.id for each in await self._store.sessions(person.account.id)]:
            raise NotFound("no such session")
        await self._sessions.end(person.account.id, only=id)
        return web.Response(status=204)

    async def end_other_sessions(self, request: web.Request) -> web.Response:
        """Ends all of them but this."""
        person = _person(request)
        await self._sessions.end(person.account.id, but=person.session.id)
        return web.Response(status=204)

    async def _begin_anew(self, request: web.Request, person: SignedIn) -> web.Response:
        await self._sessions.end(person.account.id, but=person.session.id)
        await self._revoke(Handle(HandleKind.ACCOUNT, person.account.id))
        response = web.Response(status=204)
        cookie = await self._sessions.confirm(person.session)
        self._cookies.give(request, response, cookie, self._life_s(person.session))
        return response

    def _slow_down(self, request: web.Request) -> None:
        """Counts an address that is given an account; nobody may try out many."""
        network, now = self._client(request).ip_prefix, time.monotonic()
        wait_s = self._addresses.wait_s(network, now)
        if wait_s > 0:
            raise TooManyRequests("too many new addresses", retry_after_s=int(wait_s) + 1)
        self._addresses.fail(network, now)

    def _life_s(self, session: WebSession) -> int | None:
        """How long a browser keeps the cookie; None: until it is closed."""
        return (session.expires_us - self._utc_us()) // 1_000_000 if session.is_kept else None

    def _check_confirmed(self, person: SignedIn) -> None:
        if not person.session.is_confirmed(self._utc_us()):
            raise NotConfirmed("not_confirmed")

    async def _has_totp(self, account: Account) -> bool:
        credentials = await self._store.credentials(account.id)
        return credentials is not None and credentials.totp is not None

    async def _me(self, person: SignedIn) -> MeView:
        return MeView(
            account=account_view(person.account),
            has_totp=await self._has_totp(person.account),
            session=person.session.id,
            expires_us=person.session.expires_us,
        )


def _person(request: web.Request) -> SignedIn:
    """Who is signed in; TokenMissing when nobody is."""
    person = signed_in(request)
    if person is None:
        raise TokenMissing("not_signed_in")
    return person
