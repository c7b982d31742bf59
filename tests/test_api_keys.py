"""API keys over HTTP, on both databases."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from auth_builders import FakeLog, make_request
from camrelay.api_key_store import ApiKeyStore
from camrelay.api_keys import ApiKeyDesk
from camrelay.auth.api_key import ApiKeys
from camrelay.auth.gate import Gate
from camrelay.auth.keys import KeyRing
from camrelay.auth.mint import mint
from camrelay.auth.revocation import RevocationFile
from camrelay.config import Auth, Camera
from camrelay.database import Database
from camrelay.errors import AccessDenied, ScopeDenied, TokenExpired, TokenSignatureInvalid
from camrelay.model import Action, EndReason, Protocol
from camrelay.server import build

CAMERAS = {id: Camera(id=id, url="rtsp://192.0.2.1/") for id in ("door", "yard")}
WANTED = {"name": "billing", "cameras": ["door"]}


class House:
    """A gate that knows API keys, and the handlers that make them."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.now_us = time.time_ns() // 1000
        self.ring, self.keys = KeyRing(folder / "keys"), ApiKeys()
        self.gate = Gate(
            Auth(),
            self.ring,
            RevocationFile(folder / "revocations.jsonl"),
            CAMERAS.get,
            FakeLog().append,
            api_keys=self.keys,
            utc_us=lambda: self.now_us,
        )
        self.desk = ApiKeyDesk(ApiKeyStore(database), self.keys, self.gate)
        self.client: TestClient[web.Request, web.Application]

    async def ask(self, method: str, path: str, body: Any = None, *actions: Action) -> Any:
        """As a manager, unless other actions are given."""
        _, raw = mint(
            self.ring,
            Auth(),
            cameras=["*"],
            actions=actions or (Action.MANAGE,),
            life_s=60,
            now_us=time.time_ns() // 1000,
        )
        headers = {"Authorization": f"Bearer {raw}"}
        async with self.client.request(method, f"/v1/api-keys{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None


@pytest.fixture
async def house(tmp_path: Path, database: Database) -> AsyncIterator[House]:
    house = House(tmp_path, database)
    await house.gate.start()
    async with TestClient(TestServer(build(house.desk.routes()))) as house.client:
        yield house
    await house.gate.close()


async def test_a_key_opens_what_it_says_until_it_is_removed(house: House, database: Database) -> None:
    """Its camera and no other, its action and no other; removed, what runs by it has ended."""
    status, made = await house.ask("POST", "", WANTED | {"ttl_s": 86_400})
    assert (status, made["key"][:8], made["expires_at"] - made["created_at"]) == (201, "cr_live_", 86_400)
    request = make_request(token=made["key"])
    viewer = await house.gate.authorize(request, "door", Protocol.WEBRTC)
    assert viewer.subject == f"key-{made['id']}"
    with pytest.raises(ScopeDenied):
        await house.gate.authorize(request, "yard", Protocol.WEBRTC)
    with pytest.raises(AccessDenied):
        house.gate.permissions.check_manager(request)

    again = ApiKeys()
    await ApiKeyDesk(ApiKeyStore(database), again, house.gate).open()
    assert again.grant(made["key"]) == house.keys.grant(made["key"])
    assert await house.ask("DELETE", f"/{made['id']}") == (204, None)

    assert viewer.end_reason is EndReason.REVOKED
    with pytest.raises(TokenSignatureInvalid, match="unknown_api_key"):
        await house.gate.authorize(request, "door", Protocol.WEBRTC)
    assert (await house.ask("DELETE", f"/{made['id']}"))[0] == 404
    assert await ApiKeyStore(database).keys() == []


async def test_a_key_has_an_end(house: House) -> None:
    """Ninety days unless said otherwise; from then on it opens nothing."""
    _, made = await house.ask("POST", "", WANTED)
    house.now_us += 90 * 86_400 * 1_000_000 + 3_600 * 1_000_000
    with pytest.raises(TokenExpired):
        await house.gate.authorize(make_request(token=made["key"]), "door", Protocol.WEBRTC)


async def test_a_key_is_shown_once(house: House) -> None:
    """The list has its name and its id, nothing that opens anything."""
    _, made = await house.ask("POST", "", WANTED)
    _, listed = await house.ask("GET", "")
    assert [(x["id"], x["name"], x["key"]) for x in listed["keys"]] == [(made["id"], "billing", None)]


async def test_keys_are_for_whoever_runs_the_relay(house: House) -> None:
    """And say what they may: unknown fields, other actions and wild ids are refused (cases 37 and 38)."""
    for method, path, sent in (("POST", "", WANTED), ("GET", "", None), ("DELETE", "/1", None)):
        assert (await house.ask(method, path, sent, Action.WATCH))[0] == 403
    for wanted in (
        WANTED | {"cameras": ["../door"]},
        WANTED | {"cameras": ["door", "*"]},
        WANTED | {"ttl_s": 400 * 86_400 + 1},
        WANTED | {"name": ""},
        WANTED | {"actions": ["own"]},
        WANTED | {"tenant": "main"},
    ):
        assert (await house.ask("POST", "", wanted))[0] == 400, wanted
