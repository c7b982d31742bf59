"""Giving rights, seeing them used and ending them, over HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from auth_builders import FakeLog
from camrelay.api import SessionRequest
from camrelay.auth.gate import Gate
from camrelay.auth.keys import KeyRing, key_id
from camrelay.auth.lease import HandleKind
from camrelay.auth.mint import mint
from camrelay.auth.revocation import RevocationFile
from camrelay.auth.token import verify
from camrelay.config import Auth, Camera
from camrelay.model import Action, Protocol
from camrelay.rights import Rights
from camrelay.server import Route, body, build, guarded, json_response

OPTIONS = Auth()
CAMERAS = {id: Camera(id=id, url="rtsp://192.0.2.1/") for id in ("door", "yard")}


class House:
    """A gate behind HTTP, with the routes of rights and just enough to watch."""

    def __init__(self, store: Path) -> None:
        self.keys = KeyRing(store / "keys")
        self.gate = Gate(
            OPTIONS, self.keys, RevocationFile(store / "revocations.jsonl"), CAMERAS.get, FakeLog().append
        )
        self.client: TestClient[web.Request, web.Application]

    def token(self, *actions: Action, camera: str = "*", subject: str = "root") -> str:
        _, raw = mint(
            self.keys,
            OPTIONS,
            cameras=[camera],
            actions=actions,
            life_s=600,
            subject=subject,
            now_us=_now_us(),
        )
        return raw

    async def ask(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Any:
        """The status and the answer; as a manager unless another token is given."""
        token = self.token(Action.WATCH, Action.MANAGE) if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.client.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    async def watch(self, camera: str, token: str) -> str:
        """The path of a media session that plays."""
        status, opened = await self.ask("POST", "/open", {"camera": camera}, token=token)
        assert status == 200
        path = f"/m/{opened['secret']}/{camera}"
        assert await self.plays(path)
        return path

    async def plays(self, path: str) -> bool:
        status, _ = await self.ask("GET", path, token="")
        assert status in (200, 410)
        return bool(status == 200)


def _now_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)

    async def opened(request: web.Request) -> web.Response:
        wanted = await body(request, SessionRequest)
        return json_response(await house.gate.open_session(request, wanted.camera))

    async def playlist(request: web.Request, _: object) -> web.Response:
        return json_response("#EXTM3U")

    async def authorize(request: web.Request, protocol: Protocol) -> Any:
        return await house.gate.authorize(request, request.match_info["camera"], protocol)

    routes = [
        *Rights(house.gate, house.keys, OPTIONS).routes(),
        Route("POST", "/open", opened),
        Route("GET", "/m/{secret}/{camera}", guarded(authorize, Protocol.HLS, playlist)),
    ]
    await house.gate.start()
    async with TestClient(TestServer(build(routes))) as house.client:
        yield house
    await house.gate.close()


async def test_a_new_token_opens_what_it_says_and_is_withdrawn_by_its_id(house: House) -> None:
    """It watches one camera and no other; whoever watches by it is cut when it is withdrawn."""
    status, made = await house.ask("POST", "/v1/tokens", {"cameras": ["door"], "ttl_s": 60, "subject": "ana"})
    assert status == 201
    grant = verify(made["token"], house.keys.verification, OPTIONS, _now_us())
    assert (grant.subject, grant.cameras, grant.actions) == ("ana", ("door",), (Action.WATCH,))
    assert made["expires_at"] == grant.expires_us // 1_000_000 <= _now_us() // 1_000_000 + 60
    path = await house.watch("door", made["token"])
    assert (await house.ask("POST", "/open", {"camera": "yard"}, token=made["token"]))[0] == 404

    assert await house.ask("POST", "/v1/revocations", {"kind": "token", "id": made["id"]}) == (
        200,
        {"ended": 1},
    )
    assert not await house.plays(path)
    assert (await house.ask("POST", "/open", {"camera": "door"}, token=made["token"]))[0] == 401


@pytest.mark.parametrize(
    "wanted",
    [
        {"cameras": []},
        {"cameras": ["Not an id"]},
        {"cameras": ["door"], "ttl_s": 0},
        {"cameras": ["door"], "ttl_s": 86_401},
        {"cameras": ["door"], "actions": ["own"]},
        {"cameras": ["door"], "subject": "a\nb"},
        {"cameras": ["door"], "role": "operator"},
        {"cameras": ["door"] * 301},
    ],
)
async def test_no_token_says_more_than_it_may(house: House, wanted: dict[str, Any]) -> None:
    """Case 37: unknown fields and values out of range are refused, not left out."""
    status, problem = await house.ask("POST", "/v1/tokens", wanted)
    assert (status, problem["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "/v1/tokens", {"cameras": ["*"], "actions": ["manage"]}),
        ("POST", "/v1/revocations", {"kind": "account", "id": "root"}),
        ("GET", "/v1/sessions", None),
        ("DELETE", "/v1/sessions/0", None),
    ],
)
async def test_only_managers_of_every_camera(house: House, method: str, path: str, sent: Any) -> None:
    """Nothing, a viewer's token and a token of one camera are refused, whatever they would have done."""
    assert (await house.ask(method, path, sent, token=""))[0] == 401
    assert (await house.ask(method, path, sent, token=house.token(Action.WATCH)))[0] == 403
    narrow = house.token(Action.WATCH, Action.MANAGE, camera="door")
    assert (await house.ask(method, path, sent, token=narrow))[0] == 403


async def test_who_is_watching_now_can_be_seen_and_ended(house: House) -> None:
    """Camera, person, protocol and network, but no secret; ending one leaves the other alone."""
    ana = await house.watch("door", house.token(Action.WATCH, subject="ana"))
    bo = await house.watch("yard", house.token(Action.WATCH, subject="bo"))
    _, answer = await house.ask("GET", "/v1/sessions")
    assert [(x["camera"], x["subject"]) for x in answer["sessions"]] == [("door", "ana"), ("yard", "bo")]
    session = answer["sessions"][0]
    assert ([x["protocol"] for x in session["viewings"]], session["ip_prefix"]) == (["hls"], "127.0.0.0/24")
    assert ana.split("/")[2] not in str(answer)
    _, answer = await house.ask("GET", "/v1/sessions?camera=yard")
    assert [x["subject"] for x in answer["sessions"]] == ["bo"]

    assert await house.ask("DELETE", f"/v1/sessions/{session['id']}") == (204, None)
    assert not await house.plays(ana)
    assert await house.plays(bo)
    assert (await house.ask("DELETE", f"/v1/sessions/{session['id']}"))[0] == 404


async def test_a_session_is_renewed_by_its_own_persons_grant(house: House) -> None:
    """Case 22: the end moves to that of the new grant; somebody else's is refused."""
    await house.watch("door", house.token(Action.WATCH, subject="ana"))
    (session,) = house.gate.sessions()
    place = f"/v1/media/sessions/{session.id}/renew"
    _, longer = mint(
        house.keys,
        OPTIONS,
        cameras=["door"],
        actions=[Action.WATCH],
        life_s=6000,
        subject="ana",
        now_us=_now_us(),
    )
    status, renewed = await house.ask("POST", place, token=longer)
    assert (status, renewed["id"]) == (200, session.id)
    assert renewed["expires_at"] > (session.expires_us or 0) // 1_000_000
    assert (await house.ask("POST", place, token=house.token(Action.WATCH, subject="bo")))[0] == 403


@pytest.mark.parametrize("kind", list(HandleKind))
async def test_nothing_hangs_on_what_never_was(house: House, kind: HandleKind) -> None:
    """Every kind can be named; withdrawing what nobody uses ends nobody."""
    await house.watch("door", house.token(Action.WATCH, subject="ana"))
    assert await house.ask("POST", "/v1/revocations", {"kind": kind, "id": "nothing"}) == (200, {"ended": 0})
    assert len(house.gate.sessions()) == 1


async def test_public_keys_are_public_and_name_themselves(house: House) -> None:
    """A JWK set without a private part; `kid` is the key's thumbprint, a rotation adds one."""
    house.keys.rotate()
    status, answer = await house.ask("GET", "/.well-known/jwks.json", token="")
    assert status == 200
    public = {key_id(key.public) for key in house.keys.verification.values()}
    assert {key["kid"] for key in answer["keys"]} == public
    assert len(public) == 2
    assert all(set(key) == {"kid", "x", "kty", "crv", "alg", "use"} for key in answer["keys"])
