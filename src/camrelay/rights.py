"""`/v1/tokens`, `/v1/revocations`, `/v1/sessions` and the public keys: rights given, seen in use, and ended.

All of it is for those who may manage every camera, but for two: whoever holds a session's grant may renew the
session, and public keys are public.
"""

from __future__ import annotations

import base64
import time
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from camrelay.auth.gate import Gate
from camrelay.auth.keys import KeyRing
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.mint import mint
from camrelay.auth.session import SessionInfo
from camrelay.config import Auth
from camrelay.errors import NotFound
from camrelay.model import Action
from camrelay.server import Route, body, json_response

#: A key that is gone from here has signed nothing for long; verifiers elsewhere ask again after this.
_KEYS_MAX_AGE_S = 300


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/tokens: ids of cameras, or "*" alone; `subject` is who will use it, as records name them."""

    cameras: Annotated[tuple[str, ...], Meta(min_length=1, max_length=300)]
    actions: Annotated[tuple[Action, ...], Meta(min_length=1, max_length=16)] = (Action.WATCH,)
    ttl_s: Annotated[int, Meta(ge=1, le=604_800)] = 3600
    subject: Annotated[str, Meta(max_length=256)] = ""


class TokenView(msgspec.Struct, frozen=True):
    """A new token. It is shown this once; `id` is what it is revoked by, `expires_at` seconds of UTC."""

    id: str
    token: str
    expires_at: int


class RevocationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/revocations."""

    kind: HandleKind
    id: Annotated[str, Meta(max_length=256)]


class RevocationView(msgspec.Struct, frozen=True):
    """How many media sessions ended with it."""

    ended: int


class SessionList(msgspec.Struct, frozen=True):
    """Media sessions, oldest first."""

    sessions: list[SessionInfo]


class RenewedView(msgspec.Struct, frozen=True):
    """A session's new end, seconds of UTC; None without one."""

    id: str
    expires_at: int | None


class PublicKey(msgspec.Struct, frozen=True):
    """An Ed25519 public key as a JWK (RFC 8037 §2)."""

    kid: str
    x: str
    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = "EdDSA"
    use: str = "sig"


class PublicKeys(msgspec.Struct, frozen=True):
    """A JWK set (RFC 7517 §5)."""

    keys: list[PublicKey]


class Rights:
    """The handlers.

    Args:
        gate: what knows every session and ends them.
        keys: what tokens are signed with.
    """

    def __init__(self, gate: Gate, keys: KeyRing, options: Auth) -> None:
        self._gate = gate
        self._keys = keys
        self._options = options

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("POST", "/v1/tokens", self.create_token, TokenRequest, TokenView, 201),
            Route("POST", "/v1/revocations", self.revoke, RevocationRequest, RevocationView),
            Route("GET", "/v1/sessions", self.list_sessions, gives=SessionList, query=("camera",)),
            Route("DELETE", "/v1/sessions/{session}", self.end_session, status=204),
            Route("POST", "/v1/media/sessions/{session}/renew", self.renew_session, gives=RenewedView),
            Route("GET", "/.well-known/jwks.json", self.public_keys, gives=PublicKeys),
        ]

    async def create_token(self, request: web.Request) -> web.Response:
        """A new grant token."""
        self._gate.permissions.check_manager(request)
        wanted = await body(request, TokenRequest)
        grant, raw = mint(
            self._keys,
            self._options,
            cameras=wanted.cameras,
            actions=wanted.actions,
            life_s=wanted.ttl_s,
            subject=wanted.subject,
            now_us=time.time_ns() // 1000,
        )
        return json_response(TokenView(grant.id, raw, grant.expires_us // 1_000_000), status=201)

    async def revoke(self, request: web.Request) -> web.Response:
        """Ends everything that hangs on one thing: a token, a key, an account, a tenant, a camera, …"""
        self._gate.permissions.check_manager(request)
        wanted = await body(request, RevocationRequest)
        return json_response(RevocationView(await self._gate.revoke(Handle(wanted.kind, wanted.id))))

    async def list_sessions(self, request: web.Request) -> web.Response:
        """Who is watching now, all cameras or the one that `camera` names."""
        self._gate.permissions.check_manager(request)
        camera = request.query.get("camera")
        return json_response(SessionList([x for x in self._gate.sessions() if camera in (None, x.camera)]))

    async def end_session(self, request: web.Request) -> web.Response:
        """Ends one media session. Its token still works: whoever holds it can begin another."""
        self._gate.permissions.check_manager(request)
        if not await self._gate.revoke(Handle(HandleKind.SESSION, request.match_info["session"])):
            raise NotFound("no such session")
        return web.Response(status=204)

    async def renew_session(self, request: web.Request) -> web.Response:
        """Moves a session's end to that of the grant the request shows."""
        session = await self._gate.renew_session(request, request.match_info["session"])
        expires_at = None if session.expires_us is None else session.expires_us // 1_000_000
        return json_response(RenewedView(session.id, expires_at))

    async def public_keys(self, _: web.Request) -> web.Response:
        """The relay's own keys, for programs that want to check a grant themselves."""
        keys = [
            PublicKey(kid, base64.urlsafe_b64encode(key.public.public_bytes_raw()).rstrip(b"=").decode())
            for kid, key in self._keys.own.items()
        ]
        return web.Response(
            body=msgspec.json.encode(PublicKeys(keys)),
            content_type="application/json",
            headers={"Cache-Control": f"public, max-age={_KEYS_MAX_AGE_S}"},
        )
