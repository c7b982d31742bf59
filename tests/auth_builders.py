"""Valid grants and keys for tests of the gate: override only what the test is about."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from multidict import CIMultiDict

from camrelay.auth.account import Account, Role, SignedIn, WebSession
from camrelay.auth.token import Grant, SigningKey, VerificationKey
from camrelay.errors import AuditUnavailable
from camrelay.model import AccessEvent, Action, EventType

#: 2026-11-21 12:00:00 UTC, when the tests of grants take place.
NOW_S = 1_795_262_400
NOW_US = NOW_S * 1_000_000

SIGNING_KEY = SigningKey("k1", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_KEY = SigningKey("k2", Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
KEYS = {"k1": VerificationKey(SIGNING_KEY.private.public_key())}


def make_grant(**overrides: Any) -> Grant:
    """A grant for camera "door", issued now for five minutes."""
    grant = Grant(
        id="t1",
        key="k1",
        subject="anna",
        cameras=("door",),
        actions=(Action.WATCH,),
        issued_us=NOW_US,
        not_before_us=NOW_US,
        expires_us=NOW_US + 300_000_000,
    )
    return msgspec.structs.replace(grant, **overrides)


def make_account(**overrides: Any) -> Account:
    """Anna, an owner without a tier."""
    account = Account(
        id="anna",
        tenant="main",
        role=Role.OWNER,
        tier="",
        name="Anna",
        email="anna@cams.example",
        is_active=True,
        created_us=NOW_US,
    )
    return msgspec.structs.replace(account, **overrides)


def make_person(session: str = "w1", **overrides: Any) -> SignedIn:
    """Somebody who signed in just now."""
    account = make_account(**overrides)
    return SignedIn(
        account, WebSession(session, account.id, NOW_US, NOW_US, NOW_US, "Firefox", "192.0.2.0/24")
    )


class FakeClock:
    """Both clocks of the gate. `pass_time` moves them together, `utc_us` alone is an operator's doing."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.utc_us = NOW_US

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.utc_us += round(seconds * 1_000_000)


class FakeLog:
    """An access log in memory. While `held`, records become durable when `release` is called."""

    def __init__(self) -> None:
        self.events: list[AccessEvent] = []
        self.held = False
        self.broken = False
        self.asked = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []

    def append(self, event: AccessEvent) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        self.events.append(event)
        self.asked.set()
        if self.broken:
            future.set_exception(AuditUnavailable("the disk is full"))
        elif self.held:
            self._waiting.append(future)
        else:
            future.set_result(None)
        return future

    def release(self) -> None:
        self.held = False
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set_result(None)

    def told(self) -> list[tuple[EventType, str]]:
        """Type and reason of every event so far."""
        return [(event.type, event.reason) for event in self.events]


def make_request(
    *,
    token: str | None = None,
    secret: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
    peer: str = "203.0.113.9",
    query: str = "",
    agent: str = "VLC/3.0.21 LibVLC/3.0.21",
) -> web.Request:
    """A request with a Bearer token, with a secret in its path, or with neither."""
    fields = CIMultiDict([("User-Agent", agent), *headers])
    if token is not None:
        fields.add("Authorization", f"Bearer {token}")
    match_info = {} if secret is None else {"secret": secret}
    return make_mocked_request("GET", f"/?{query}", fields, match_info=match_info).clone(remote=peer)
