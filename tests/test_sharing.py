"""Sharing over HTTP: what owners give, what that opens, and how fast it closes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from argon2 import PasswordHasher

from auth_builders import FakeLog, make_account, make_request
from camrelay import config
from camrelay.account_store import AccountStore
from camrelay.api import SessionRequest
from camrelay.auth.account import Account, Role, SignedIn, WebSession
from camrelay.auth.gate import Gate
from camrelay.auth.keys import KeyRing
from camrelay.auth.password import Passwords
from camrelay.auth.revocation import RevocationFile
from camrelay.auth.share import Book
from camrelay.auth.websession import remember
from camrelay.camera_store import CameraStore
from camrelay.database import Database
from camrelay.errors import SessionEnded, StoreUnavailable
from camrelay.lineup import Lineup
from camrelay.model import EndReason, Protocol, Viewer
from camrelay.sealing import Seal
from camrelay.server import Handler, Route, body, build, json_response
from camrelay.share_store import ShareStore
from camrelay.sharing import MAX_LINKS, Sharing

OPTIONS = config.Auth()
PEOPLE = {
    "anna": make_account(id="anna", role=Role.OWNER),
    "bert": make_account(id="bert", role=Role.VIEWER, name="Bert"),
    "carl": make_account(id="carl", role=Role.OWNER, name="Carl"),
    "dora": make_account(id="dora", role=Role.OPERATOR, name="Dora", tenant="other"),
}


class House:
    """Everything that sharing touches, on a real database; a request says in a header who is signed in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.people = {id: msgspec.structs.replace(x, email=f"{id}@cams.example") for id, x in PEOPLE.items()}
        self.client: TestClient[web.Request, web.Application]

    async def start(self) -> None:
        self.database = Database(f"sqlite+aiosqlite:///{self.folder / 'camrelay.db'}")
        await self.database.open()
        self.accounts = AccountStore(self.database, Seal(bytes(32)))
        self.book, self.keys = Book(), KeyRing(self.folder / "keys")
        self.gate = Gate(
            OPTIONS,
            self.keys,
            RevocationFile(self.folder / "revocations.jsonl"),
            lambda camera: self.lineup.camera(camera),
            FakeLog().append,
            book=self.book,
        )

        async def detach(_: object) -> None:
            return None

        self.lineup = Lineup(
            config.Config(),
            CameraStore(self.database, Seal(bytes(32))),
            attach=lambda channel: None,
            detach=detach,
            changed=lambda camera: self.sharing.camera_changed(camera),
            removed=lambda camera: self.sharing.camera_removed(camera),
        )
        self.passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.sharing = Sharing(
            ShareStore(self.database),
            self.book,
            self.lineup,
            self.accounts,
            self.passwords,
            self.gate,
            self.keys,
            OPTIONS,
        )
        await self.gate.start()
        await self.sharing.open()
        await self.lineup.open()

    async def fill(self) -> None:
        """Everybody's account, and two cameras of Anna's."""
        for account in self.people.values():
            await self.accounts.add(account, "hash")
        for id in ("door", "yard"):
            await self.add_camera(id)

    async def add_camera(self, id: str, owner: str = "anna") -> None:
        await self.lineup.add(config.Camera(id=id, url="rtsp://192.168.1.2/", title=id.title(), owner=owner))

    async def stop(self) -> None:
        await self.gate.close()
        self.passwords.close()
        await self.database.close()

    def routes(self) -> list[Route]:
        routes = [*self.sharing.routes(), Route("POST", "/open", self._open)]
        return [route._replace(handler=self._recognizing(route.handler)) for route in routes]

    def person(self, id: str) -> SignedIn:
        now_us = time.time_ns() // 1000
        return SignedIn(self.people[id], WebSession(f"w-{id}", id, now_us, now_us, now_us, "Firefox", ""))

    def sees(self, id: str) -> set[str]:
        """The cameras that somebody may watch, as the gate tells the list of cameras."""
        request = make_request()
        remember(request, self.person(id))
        may_watch = self.gate.permissions.may_watch(request)
        return {id for id, channel in self.lineup.channels.items() if may_watch(channel.camera)}

    async def watch(self, id: str, camera: str) -> Viewer:
        """Begins a viewing."""
        request = make_request()
        remember(request, self.person(id))
        return await self.gate.authorize(request, camera, Protocol.WEBRTC)

    async def ask(self, person: str, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """Status and answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {"X-Person": person}
        async with self.client.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    async def _open(self, request: web.Request) -> web.Response:
        opened = await self.gate.open_session(request, (await body(request, SessionRequest)).camera)
        return json_response({"secret": opened.secret})

    def _recognizing(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if request.headers.get("X-Person"):
                remember(request, self.person(request.headers["X-Person"]))
            return await handler(request)

        return handle


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.start()
    await house.fill()
    async with TestClient(TestServer(build(house.routes()))) as house.client:
        yield house
    await house.stop()


def share(email: str = "bert@cams.example", **terms: Any) -> dict[str, Any]:
    return {"email": email, **terms}


async def test_a_share_opens_a_camera_to_one_account_and_its_end_closes_it(house: House) -> None:
    """Stop sharing, and the viewing has ended before the answer; others never knew."""
    assert house.sees("bert") == set()
    status, made = await house.ask("anna", "POST", "/v1/cameras/door/shares", share(actions=["watch"]))
    assert (status, made["account"], made["holds"]) == (201, "bert", True)
    assert (house.sees("bert"), house.sees("carl")) == ({"door"}, set())
    viewer, mine = await house.watch("bert", "door"), await house.watch("anna", "door")

    assert await house.ask("anna", "DELETE", "/v1/cameras/door/shares/bert") == (204, None)

    assert (viewer.end_reason, mine.end_reason) == (EndReason.REVOKED, None)
    assert house.sees("bert") == set()
    assert (await house.ask("anna", "DELETE", "/v1/cameras/door/shares/bert"))[0] == 404


async def test_sharing_outlives_a_restart(house: House) -> None:
    """What was stored is read; nothing else is."""
    await house.ask("anna", "POST", "/v1/cameras/door/shares", share())
    await house.ask("anna", "PUT", "/v1/cameras/door/embed", {"allowed_origins": ["https://hotel.example"]})
    _, before = await house.ask("anna", "GET", "/v1/cameras/door/sharing")
    again = House(house.folder)
    await again.start()
    assert again.sees("bert") == {"door"}
    assert again.book.origins("door") == ("https://hotel.example",)
    assert [x["email"] for x in before["shares"]] == ["bert@cams.example"]
    await again.stop()


async def test_until_a_time(house: House) -> None:
    """The lease ends with the share; other terms replace the old ones."""
    until = int(time.time()) + 100
    await house.ask("anna", "POST", "/v1/cameras/door/shares", share(expires=until))
    viewer = await house.watch("bert", "door")
    (session,) = house.gate.sessions()
    assert session.expires_us == until * 1_000_000
    past = {"expires": 1}
    status, changed = await house.ask("anna", "PUT", "/v1/cameras/door/shares/bert", past)
    assert (status, changed["holds"], house.sees("bert")) == (200, False, set())
    assert viewer.end_reason is EndReason.REVOKED


async def test_visibility_is_raised_by_what_is_given_and_lowered_by_its_owner(house: House) -> None:
    """A private camera becomes shared with its first share; private again, it is nobody's but its owner's."""
    await house.ask("anna", "POST", "/v1/cameras/door/shares", share())
    await house.ask("anna", "POST", "/v1/cameras/door/links", {})
    camera = house.lineup.camera("door")
    assert camera is not None
    assert camera.visibility == "link"
    viewer = await house.watch("bert", "door")
    await house.lineup.change("door", {"visibility": "members"})
    assert viewer.end_reason is None
    assert house.sees("carl") == {"door"}
    member = await house.watch("carl", "door")
    await house.lineup.change("door", {"visibility": "shared"})
    assert (viewer.end_reason, member.end_reason) == (None, EndReason.REVOKED)
    await house.lineup.change("door", {"visibility": "private"})
    assert viewer.end_reason is EndReason.REVOKED
    assert house.sees("bert") == set()


async def open_link(house: House, secret: str, password: str = "") -> Any:
    return await house.ask("", "POST", "/v1/links/open", {"secret": secret, "password": password})


async def test_a_link_opens_its_camera_to_whoever_has_it_until_it_is_taken_back(house: House) -> None:
    """Its grant watches one camera, and ends with the link in the same tick."""
    _, link = await house.ask("anna", "POST", "/v1/cameras/door/links", {"name": "Neighbours"})
    status, opened = await open_link(house, link["secret"])
    assert (status, opened["camera"]) == (201, "door")
    for camera, expected in (("door", 200), ("yard", 404)):
        assert (await house.ask("", "POST", "/open", {"camera": camera}, opened["token"]))[0] == expected
    viewer = await house.gate.authorize(make_request(token=opened["token"]), "door", Protocol.WEBRTC)
    _, watching = await house.ask("anna", "GET", "/v1/cameras/door/watchers")
    assert [(x["who"], x["method"], x["protocols"]) for x in watching["watchers"]] == [
        ("Neighbours", "link", ["webrtc"])
    ]

    assert await house.ask("anna", "DELETE", f"/v1/cameras/door/links/{link['id']}") == (204, None)

    assert viewer.end_reason is EndReason.REVOKED
    assert (await house.ask("", "POST", "/open", {"camera": "door"}, opened["token"]))[0] == 401
    assert (await open_link(house, link["secret"]))[0] == 404
    assert (await house.ask("anna", "DELETE", f"/v1/cameras/door/links/{link['id']}"))[0] == 404


async def test_what_is_taken_back_has_ended_while_the_database_does_not_answer(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 25: 503 says to repeat it; it holds already, and the repetition stores it."""
    await house.ask("anna", "POST", "/v1/cameras/door/shares", share())
    viewer = await house.watch("bert", "door")

    async def fail(*_: object) -> None:
        raise StoreUnavailable("gone")

    with monkeypatch.context() as broken:
        broken.setattr(house.database, "transact", fail)
        assert (await house.ask("anna", "DELETE", "/v1/cameras/door/shares/bert"))[0] == 503
    assert (viewer.end_reason, house.sees("bert")) == (EndReason.REVOKED, set())
    assert (await house.ask("anna", "DELETE", "/v1/cameras/door/shares/bert"))[0] == 204
    assert (await house.ask("anna", "DELETE", "/v1/cameras/door/shares/bert"))[0] == 404


async def test_a_links_secret_is_shown_once_and_not_kept(house: House) -> None:
    """Neither the list nor the database has it, nor its password."""
    _, link = await house.ask("anna", "POST", "/v1/cameras/door/links", {"password": "over the hedge"})
    _, shown = await house.ask("anna", "GET", "/v1/cameras/door/sharing")
    assert [(x["secret"], x["has_password"]) for x in shown["links"]] == [(None, True)]
    stored = b"".join(path.read_bytes() for path in house.folder.glob("camrelay.db*"))
    assert link["secret"].encode() not in stored
    assert b"over the hedge" not in stored


async def test_a_password_is_asked_for_and_guessing_gets_slow(house: House) -> None:
    """Missing and wrong are told apart from nothing else; after some guesses one has to wait."""
    _, link = await house.ask("anna", "POST", "/v1/cameras/door/links", {"password": "over the hedge"})
    status, problem = await open_link(house, link["secret"])
    assert (status, problem["code"]) == (403, "link_password")
    assert (await open_link(house, link["secret"], "over the hedge"))[0] == 201
    statuses = [(await open_link(house, link["secret"], f"guess {n}"))[0] for n in range(7)]
    assert statuses[:5] == [403] * 5
    assert statuses[-1] == 429
    assert (await open_link(house, link["secret"], "over the hedge"))[0] == 429


async def test_a_single_use_link_opened_by_many_at_once_lets_one_in(house: House) -> None:
    """Case 18."""
    _, link = await house.ask("anna", "POST", "/v1/cameras/door/links", {"max_uses": 1})
    answers = await asyncio.gather(*(open_link(house, link["secret"]) for _ in range(100)))
    assert sorted(status for status, _ in answers) == [201] + [404] * 99
    _, shown = await house.ask("anna", "GET", "/v1/cameras/door/sharing")
    assert [(x["uses"], x["max_uses"]) for x in shown["links"]] == [(1, 1)]


async def test_a_link_opens_while_its_terms_hold(house: House) -> None:
    """Too early says so, too late is as good as none."""
    for terms, status in (
        ({"not_before": 4_000_000_000}, 403),
        ({"expires": 1}, 404),
        ({"schedule": []}, 201),
    ):
        _, link = await house.ask("anna", "POST", "/v1/cameras/door/links", terms)
        assert (await open_link(house, link["secret"]))[0] == status


async def test_a_links_grant_lives_no_longer_than_the_link(house: House) -> None:
    """And by itself not longer than half a day."""
    for terms, longest in (({"expires": int(time.time()) + 90}, 90), ({}, 12 * 3600)):
        _, link = await house.ask("anna", "POST", "/v1/cameras/door/links", terms)
        _, opened = await open_link(house, link["secret"])
        assert longest - 5 <= opened["expires_at"] - time.time() <= longest


async def test_to_everybody_but_its_owner_sharing_is_unknown(house: House) -> None:
    """Case 38: not for whom it is shared with, another owner, another tenant's operator, or nobody."""
    await house.ask("anna", "POST", "/v1/cameras/door/shares", share())
    _, known = await house.ask("anna", "GET", "/v1/cameras/door/sharing")
    for person in ("bert", "carl", "dora", ""):
        for method, path, sent in (
            ("GET", "sharing", None),
            ("POST", "shares", {"email": "carl@cams.example"}),
            ("PUT", "shares/bert", {}),
            ("DELETE", "shares/bert", None),
            ("POST", "links", {}),
            ("DELETE", "links/1", None),
            ("PUT", "embed", {"allowed_origins": []}),
            ("GET", "watchers", None),
            ("DELETE", "watchers/1", None),
        ):
            foreign = await house.ask(person, method, f"/v1/cameras/door/{path}", sent)
            unknown = await house.ask(person, method, f"/v1/cameras/nowhere/{path}", sent)
            assert foreign[0] == unknown[0] == (404 if person else 401), (person, method, path)
    assert (await house.ask("anna", "GET", "/v1/cameras/door/sharing"))[1] == known


NONSENSE = [
    share(email="nobody@cams.example"),
    share(email="dora@cams.example"),
    share(email="no address"),
    share(actions=["manage"]),
    share(actions=[]),
    share(expires=5, not_before=5),
    share(schedule=[{"day": 0, "start": 60, "end": 60}]),
    share(schedule=[{"day": 7, "start": 0, "end": 60}]),
    share(owner="bert"),
    share(expires="tomorrow"),
    share(expires=1e300),
]


async def test_shares_that_make_no_sense(house: House) -> None:
    """Cases 13 and 37; another tenant's account is as unknown as none. Nothing changes."""
    for sent in NONSENSE:
        status, problem = await house.ask("anna", "POST", "/v1/cameras/door/shares", sent)
        assert (status, problem["code"]) == (400, "bad_request"), sent
    camera = house.lineup.camera("door")
    assert camera is not None
    assert (camera.visibility, house.book.shares("door")) == ("private", [])


async def test_trying_out_addresses_gets_slow(house: House) -> None:
    """Case 35: an owner learns about the people they know, not about a list of addresses."""
    statuses = [
        (await house.ask("anna", "POST", "/v1/cameras/door/shares", share(f"x{n}@cams.example")))[0]
        for n in range(23)
    ]
    assert set(statuses[:20]) == {400}
    assert statuses[-1] == 429


async def test_an_origin_is_a_site_and_nothing_more(house: House) -> None:
    """It stands in a header of the page, so it cannot carry anything else in."""
    origins: tuple[str, ...] | None = None
    for origin, status in (
        ("hotel.example", 400),
        ("https://hotel.example/", 400),
        ("https://hotel.example; script-src *", 400),
        ("https://*", 400),
        ("null", 400),
        ("https://hotel.example", 204),
        ("http://localhost:3000", 204),
        ("https://[::1]:8443", 204),
    ):
        sent = {"allowed_origins": [origin]}
        assert (await house.ask("anna", "PUT", "/v1/cameras/door/embed", sent))[0] == status, origin
        origins = (origin,) if status == 204 else origins
        assert house.book.origins("door") == origins


async def test_who_watches_now_can_be_seen_and_ended(house: House) -> None:
    """By name, for the owner alone; a session of another camera is not within reach."""
    await house.ask("anna", "POST", "/v1/cameras/door/shares", share())
    viewer, own = await house.watch("bert", "door"), await house.watch("anna", "yard")
    _, answer = await house.ask("anna", "GET", "/v1/cameras/door/watchers")
    (watcher,) = answer["watchers"]
    assert (watcher["who"], watcher["method"], watcher["network"]) == ("Bert", "share", "203.0.113.0/24")
    other = next(each.id for each in house.gate.sessions() if each.camera == "yard")
    assert (await house.ask("anna", "DELETE", f"/v1/cameras/door/watchers/{other}"))[0] == 404
    path = f"/v1/cameras/door/watchers/{watcher['session']}"
    assert (await house.ask("anna", "DELETE", path))[0] == 204
    assert (viewer.end_reason, own.end_reason) == (EndReason.REVOKED, None)
    with pytest.raises(SessionEnded):
        await house.watch("bert", "door")
    (mine,) = [
        x["session"] for x in (await house.ask("anna", "GET", "/v1/cameras/yard/watchers"))[1]["watchers"]
    ]
    assert (await house.ask("anna", "DELETE", f"/v1/cameras/yard/watchers/{mine}"))[0] == 204
    assert (await house.watch("anna", "yard")).end_reason is None


async def test_a_removed_camera_takes_its_sharing_along(house: House) -> None:
    """Another camera of the same id begins with nothing."""
    await house.ask("anna", "POST", "/v1/cameras/door/shares", share())
    _, link = await house.ask("anna", "POST", "/v1/cameras/door/links", {})
    await house.lineup.remove("door")
    assert (await open_link(house, link["secret"]))[0] == 404
    await house.add_camera("door", owner="carl")
    assert house.sees("bert") == set()
    assert (await house.ask("carl", "GET", "/v1/cameras/door/sharing"))[1]["shares"] == []


async def test_there_is_an_end_to_links(house: House) -> None:
    """What one owner can make us hold in memory is bounded."""
    for number in range(MAX_LINKS + 1):
        status, _ = await house.ask("anna", "POST", "/v1/cameras/door/links", {"name": str(number)})
    assert status == 400


async def test_a_matrix_of_twenty_by_twenty_is_what_people_see(house: House) -> None:
    """Random shares with 20 accounts of 20 cameras; every change holds for the next request, and cuts."""
    random_ = random.Random(20)
    people = [f"p{n}" for n in range(20)]
    cameras = [f"c{n}" for n in range(20)]
    for id in people:
        house.people[id] = account(id)
        await house.accounts.add(house.people[id], "hash")
    for id in cameras:
        await house.add_camera(id)
    wanted: dict[str, set[str]] = {id: set() for id in people}
    running: dict[tuple[str, str], Viewer] = {}
    for step in range(160):
        person, camera = random_.choice(people), random_.choice(cameras)
        if camera in wanted[person]:
            path = f"/v1/cameras/{camera}/shares/{person}"
            assert (await house.ask("anna", "DELETE", path))[0] == 204
            wanted[person].discard(camera)
            viewer = running.pop((person, camera), None)
            assert viewer is None or viewer.end_reason is EndReason.REVOKED
        else:
            sent = share(f"{person}@cams.example")
            assert (await house.ask("anna", "POST", f"/v1/cameras/{camera}/shares", sent))[0] == 201
            wanted[person].add(camera)
            running[person, camera] = await house.watch(person, camera)
        if step % 20 == 0:
            assert {id: house.sees(id) for id in people} == wanted
    assert {id: house.sees(id) for id in people} == wanted
    assert all(viewer.end_reason is None for viewer in running.values())
    assert len(running) == sum(map(len, wanted.values())) > 60


def account(id: str) -> Account:
    return make_account(id=id, role=Role.VIEWER, email=f"{id}@cams.example")
