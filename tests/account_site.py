"""A relay's accounts without its media: the real handlers, gate and database, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from auth_builders import FakeClock, FakeLog, make_account
from camrelay import config
from camrelay.account_store import AccountStore
from camrelay.accounts import Accounts
from camrelay.administration import Administration
from camrelay.api import Api
from camrelay.auth.account import Account
from camrelay.auth.client import parse_networks
from camrelay.auth.cookie import Cookies
from camrelay.auth.gate import Gate
from camrelay.auth.keys import KeyRing
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.password import Passwords
from camrelay.auth.revocation import RevocationFile
from camrelay.auth.websession import WebSessions
from camrelay.camera_store import CameraStore
from camrelay.database import Database
from camrelay.lineup import Channel, Lineup
from camrelay.sealing import Seal
from camrelay.server import build

PASSWORD = "correct horse battery"

#: What a browser says of a request that our own page makes.
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}

Browser = TestClient[web.Request, web.Application]


class Answer(NamedTuple):
    """An answer, read."""

    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> str:
        """Of a problem document."""
        return str(self.body["code"])


async def ask(browser: Browser, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """Asks as a page of ours does; headers are written with _ for -."""
    sent = OWN_PAGE | {name.replace("_", "-"): value for name, value in headers.items()}
    async with browser.request(method, path, json=body, headers=sent) as answer:
        is_json = "json" in answer.content_type
        return Answer(
            answer.status, await answer.json(content_type=None) if is_json else None, answer.headers
        )


class Site:
    """The handlers, and what they work with. `clock` is the gate's and everybody's."""

    def __init__(self, folder: Path, database: Database, **options: Any) -> None:
        self.clock = FakeClock()
        self.log = FakeLog()
        #: Who was erased, and by whom.
        self.erased: list[tuple[str, str]] = []
        self.keys = KeyRing(folder / "keys")
        seal = Seal(bytes(32))
        self.store = AccountStore(database, seal)
        self.hasher = PasswordHasher.from_parameters(CHEAPEST)
        self.passwords = Passwords(self.hasher)
        self.gate = Gate(
            config.Auth(),
            self.keys,
            RevocationFile(folder / "revocations.jsonl"),
            lambda camera: self.lineup.camera(camera),
            self.log.append,
            trusted_proxies=["192.0.2.77"],
            now=lambda: self.clock.now,
            utc_us=lambda: self.clock.utc_us,
        )
        self.lineup = Lineup(
            config.Config(),
            CameraStore(database, seal),
            attach=lambda _: None,
            detach=self._detach,
            changed=_nothing,
            removed=_nothing,
        )
        utc_us = {"utc_us": lambda: self.clock.utc_us}
        self.sessions = WebSessions(
            self.store, lambda id: self.gate.revoke(Handle(HandleKind.WEB_SESSION, id)), **utc_us
        )
        self.accounts = Accounts(
            config.Accounts(**options),
            self.store,
            self.passwords,
            self.sessions,
            Cookies(parse_networks(["192.0.2.77"])),
            client=self.gate.client,
            revoke=self.gate.revoke,
            **utc_us,
        )
        self.administration = Administration(
            self.store,
            self.passwords,
            self.sessions,
            check_manager=self.gate.permissions.check_manager,
            revoke=self.gate.revoke,
            erase=self._erase,
            write_to=_no_letter,
            **utc_us,
        )
        api = Api(
            lineup=self.lineup,
            may_watch=self.gate.permissions.may_watch,
            manages=self.gate.permissions.manages,
            adder=self.gate.permissions.adder,
            tier=self.store.tier_of,
            open_session=self.gate.open_session,
            viewers=self.gate.viewers,
        )
        self.routes = [*api.routes(), *self.accounts.routes(), *self.administration.routes()]

    async def person(self, id: str = "anna", **overrides: Any) -> Account:
        """A stored account with PASSWORD."""
        account = make_account(**{"id": id, "email": f"{id}@cams.example", "name": id.title()} | overrides)
        await self.store.add(account, self.hasher.hash(PASSWORD))
        return account

    @asynccontextmanager
    async def browser(self, id: str = "") -> AsyncIterator[Browser]:
        """A browser with cookies of its own, where `id` is signed in."""
        routes = [r._replace(handler=self.accounts.recognizing(r.handler)) for r in self.routes]
        async with TestClient(TestServer(build(routes))) as browser:
            if id:
                answer = await sign_in(browser, id)
                assert answer.status == 200, answer
            yield browser

    async def _erase(self, subject: str, by: str) -> None:
        await self.gate.revoke(Handle(HandleKind.ACCOUNT, subject))
        await self.lineup.remove_all_of(subject)
        await self.sessions.end(subject)
        await self.store.remove(subject)
        self.erased.append((subject, by))

    async def _detach(self, channel: Channel) -> None:
        await self.gate.revoke(Handle(HandleKind.CAMERA, channel.camera.id))


async def sign_in(browser: Browser, id: str = "anna", password: str = PASSWORD, **more: Any) -> Answer:
    """POST /v1/login."""
    return await ask(
        browser, "POST", "/v1/login", {"email": f"{id}@cams.example", "password": password} | more
    )


def cookies(browser: Browser) -> dict[str, str]:
    """What a browser has."""
    return {cookie.key: cookie.value for cookie in browser.session.cookie_jar}


async def _no_letter(*_: object) -> None:
    raise AssertionError("nobody is written to here")


async def _nothing(_: object) -> None:
    return None


@asynccontextmanager
async def running_site(folder: Path, **options: Any) -> AsyncIterator[Site]:
    """A site on SQLite in `folder`; options are those of [accounts]."""
    database = Database(f"sqlite+aiosqlite:///{folder / 'camrelay.db'}")
    await database.open()
    site = Site(folder, database, **options)
    await site.gate.start()
    yield site
    await site.gate.close()
    site.passwords.close()
    await database.close()
