"""`/v1/api-keys`: keys that programs show for months, for whoever runs the relay."""

from __future__ import annotations

import secrets
import time
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from camrelay.api_key_store import ApiKeyStore
from camrelay.auth.api_key import MAX_LIFE_S, ApiKey, ApiKeys, digest, spell
from camrelay.auth.gate import Gate
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.token import EVERY_CAMERA
from camrelay.errors import BadRequest, NotFound
from camrelay.model import CAMERA_ID_PATTERN, Action
from camrelay.server import Route, body, json_response

#: More than any installation has programs, and a bound on what is kept in memory.
MAX_KEYS = 1000


class ApiKeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/api-keys: ids of cameras, or "*" alone; `name` says who uses the key."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    cameras: Annotated[tuple[str, ...], Meta(min_length=1, max_length=300)]
    actions: Annotated[tuple[Action, ...], Meta(min_length=1, max_length=4)] = (Action.WATCH,)
    ttl_s: Annotated[int, Meta(ge=1, le=MAX_LIFE_S)] = 90 * 86_400


class ApiKeyView(msgspec.Struct, frozen=True):
    """A key without its secret; `key` is there for whoever has just made it. Times are seconds of UTC."""

    id: str
    name: str
    cameras: tuple[str, ...]
    actions: tuple[Action, ...]
    created_at: int
    expires_at: int
    key: str | None = None


class ApiKeyList(msgspec.Struct, frozen=True):
    """Every key, oldest first."""

    keys: list[ApiKeyView]


class ApiKeyDesk:
    """The handlers."""

    def __init__(self, store: ApiKeyStore, keys: ApiKeys, gate: Gate) -> None:
        self._store = store
        self._keys = keys
        self._gate = gate

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("POST", "/v1/api-keys", self.create, ApiKeyRequest, ApiKeyView, 201),
            Route("GET", "/v1/api-keys", self.list_keys, gives=ApiKeyList),
            Route("DELETE", "/v1/api-keys/{key}", self.remove, status=204),
        ]

    async def open(self) -> None:
        """Reads the keys; after that no request waits for the database."""
        for key in await self._store.keys():
            self._keys.add(key)

    async def create(self, request: web.Request) -> web.Response:
        """A new key, shown this once."""
        self._gate.permissions.check_manager(request)
        wanted = await body(request, ApiKeyRequest)
        if wanted.cameras != (EVERY_CAMERA,) and not all(map(CAMERA_ID_PATTERN.fullmatch, wanted.cameras)):
            raise BadRequest('cameras are ids, or "*" alone')
        if len(self._keys) >= MAX_KEYS:
            raise BadRequest(f"there are {MAX_KEYS} keys already; remove some")
        id, now_us = secrets.token_hex(8), time.time_ns() // 1000
        raw = spell(id, secrets.token_urlsafe(32))
        key = ApiKey(
            id=id,
            digest=digest(raw),
            name=wanted.name,
            cameras=wanted.cameras,
            actions=wanted.actions,
            created_us=now_us,
            expires_us=now_us + wanted.ttl_s * 1_000_000,
        )
        await self._store.add(key)
        self._keys.add(key)
        return json_response(_view(key, raw), status=201)

    async def list_keys(self, request: web.Request) -> web.Response:
        """Every key without its secret."""
        self._gate.permissions.check_manager(request)
        return json_response(ApiKeyList(list(map(_view, self._keys))))

    async def remove(self, request: web.Request) -> web.Response:
        """Removes a key; what runs by it has ended before the answer."""
        self._gate.permissions.check_manager(request)
        id = request.match_info["key"]
        if not self._keys.remove(id):
            raise NotFound("no such key")
        await self._gate.revoke(Handle(HandleKind.TOKEN, id))
        await self._store.remove(id)
        return web.Response(status=204)


def _view(key: ApiKey, raw: str | None = None) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        name=key.name,
        cameras=key.cameras,
        actions=key.actions,
        created_at=key.created_us // 1_000_000,
        expires_at=key.expires_us // 1_000_000,
        key=raw,
    )
