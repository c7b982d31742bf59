"""Two relays on one PostgreSQL: what one takes away ends on the other, and silence closes."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from auth_builders import FakeLog, make_grant, make_request
from camrelay import metrics, rights_feed
from camrelay.auth.gate import Gate
from camrelay.auth.keys import KeyRing
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.revocation import RevocationFile
from camrelay.auth.share import Book, Link
from camrelay.auth.token import sign
from camrelay.config import Auth, Camera
from camrelay.database import Database
from camrelay.errors import NotReady, Overloaded, TokenRevoked
from camrelay.model import EndReason, Protocol, Viewer
from camrelay.news_store import CHANNEL, NewsStore
from camrelay.rights_feed import RightsFeed
from camrelay.share_store import ShareStore

CAMERAS = {
    "door": Camera(id="door", url="rtsp://192.0.2.1/"),
    "lobby": Camera(id="lobby", url="rtsp://192.0.2.2/", visibility="public"),
}

#: Whatever is waited for comes in a moment; this is for machines that do other things.
LIMIT_S = 60.0


class Node:
    """A relay's gate and feed."""

    def __init__(self, folder: Path, url: str, keys: Path, **options: Any) -> None:
        # A machine that stands still for a while must not close by itself.
        self.options = Auth(**{"lost_feed_refuse_s": 3600.0, "lost_feed_end_s": 7200.0} | options)
        self.ahead_s = 0.0
        self.keys = KeyRing(keys)
        self.database = Database(url)
        self.news = NewsStore(self.database)
        self.shares = ShareStore(self.database)
        self.book = Book()
        self.reloaded = 0
        self.gate = Gate(
            self.options,
            self.keys,
            RevocationFile(folder / "revocations.jsonl"),
            CAMERAS.get,
            FakeLog().append,
            book=self.book,
            publish=self.news.publish,
            is_fed=lambda: self.feed.is_fed,
        )
        self.feed = RightsFeed(
            self.options,
            self.database,
            self.news,
            learn=self.gate.learn,
            reload=self._reload,
            end_private=self.gate.cut_private,
            now=lambda: time.monotonic() + self.ahead_s,
        )

    async def start(self) -> None:
        await self.gate.start()
        await self.database.open()
        await self.feed.start()

    async def close(self) -> None:
        await self.feed.close()
        await self.gate.close()
        await self.database.close()

    def token(self, id: str = "t1") -> str:
        now_us = time.time_ns() // 1_000_000_000 * 1_000_000
        times = {"issued_us": now_us, "not_before_us": now_us, "expires_us": now_us + 600_000_000}
        grant = make_grant(id=id, key=self.keys.signing.kid, **times)
        return sign(grant, self.keys.signing, self.options)

    async def watch(self, id: str = "t1", camera: str = "door") -> Viewer:
        token = None if camera == "lobby" else self.token(id)
        return await self.gate.authorize(make_request(token=token), camera, Protocol.WEBRTC)

    async def _reload(self) -> None:
        fresh = Book()
        await self.shares.read(fresh)
        for handle in self.book.become(fresh):
            self.gate.cut(handle)
        self.reloaded += 1


MakeNode = Callable[..., Awaitable[Node]]


@pytest.fixture
async def server(postgres: Path) -> AsyncIterator[asyncpg.Connection]:
    """Whoever runs the database server."""
    connection = await asyncpg.connect(host=str(postgres), user="postgres", database="postgres")
    yield connection
    await connection.close()


@pytest.fixture
async def name(server: asyncpg.Connection) -> str:
    """A new database."""
    made = f"t{uuid.uuid4().hex}"
    await server.execute(f"CREATE DATABASE {made}")
    return made


@pytest.fixture
async def make_node(postgres: Path, name: str, tmp_path: Path) -> AsyncIterator[MakeNode]:
    """Starts relays on the database."""
    nodes: list[Node] = []

    async def make(**options: Any) -> Node:
        folder = tmp_path / f"node{len(nodes)}"
        folder.mkdir()
        url = f"postgresql+asyncpg:///{name}?host={postgres}&user=postgres"
        node = Node(folder, url, tmp_path / "keys", **options)
        nodes.append(node)
        await node.start()
        return node

    yield make
    for node in nodes:
        await node.close()


async def end_of(viewer: Viewer) -> EndReason:
    """Why a viewing ended, when it has."""
    ended = asyncio.get_running_loop().create_future()
    viewer.on_end(ended.set_result)
    async with asyncio.timeout(LIMIT_S):
        return EndReason(await ended)


async def until(is_so: Callable[[], bool]) -> None:
    """Returns when something has come about that has no event."""
    async with asyncio.timeout(LIMIT_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def listeners(server: asyncpg.Connection, name: str) -> list[int]:
    """The connections that wait for notifications."""
    rows = await server.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND query LIKE 'LISTEN%'", name
    )
    return [row["pid"] for row in rows]


async def test_what_one_relay_revokes_ends_on_the_other(make_node: MakeNode) -> None:
    """By each kind of handle that both know, people's names included; what goes on elsewhere goes on."""
    one, two = await make_node(), await make_node()
    public = await two.watch(camera="lobby")
    for kind, id in ((HandleKind.TOKEN, "t1"), (HandleKind.CAMERA, "door"), (HandleKind.ACCOUNT, "anna")):
        viewer = await two.watch("t1" if kind is HandleKind.TOKEN else "t2")
        await one.gate.revoke(Handle(kind, id))
        assert await end_of(viewer) is EndReason.REVOKED
        with pytest.raises(TokenRevoked):
            await two.watch("t1")
    assert public.end_reason is None


async def test_a_relay_that_starts_knows_what_was_revoked_before(
    make_node: MakeNode,
) -> None:
    """Its own file does not: it was another relay's doing."""
    one = await make_node()
    await one.gate.revoke(Handle(HandleKind.TOKEN, "t1"))
    two = await make_node()
    with pytest.raises(TokenRevoked):
        await two.watch("t1")
    assert (await two.watch("t2")).end_reason is None


async def test_a_notification_wakes_it(
    make_node: MakeNode,
    server: asyncpg.Connection,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits for the next look: here it would be long in coming."""
    monkeypatch.setattr(rights_feed, "POLL_S", 3600.0)
    one, two = await make_node(), await make_node()
    async with asyncio.timeout(LIMIT_S):
        while len(await listeners(server, name)) < 2:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.02)
    viewer = await two.watch()
    await one.gate.revoke(Handle(HandleKind.TOKEN, "t1"))
    assert await end_of(viewer) is EndReason.REVOKED


async def test_a_lost_connection_costs_a_second(
    make_node: MakeNode, server: asyncpg.Connection, name: str
) -> None:
    """Revocations made while nobody listens are found by looking, and it listens again."""
    one, two = await make_node(), await make_node()
    viewer = await two.watch()
    await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    await one.gate.revoke(Handle(HandleKind.TOKEN, "t1"))
    assert await end_of(viewer) is EndReason.REVOKED
    async with asyncio.timeout(LIMIT_S):
        while len(await listeners(server, name)) < 2:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.02)
    again = await two.watch("t2")
    await one.gate.revoke(Handle(HandleKind.TOKEN, "t2"))
    assert await end_of(again) is EndReason.REVOKED


async def test_what_a_driver_does_when_its_server_goes_does_not_end_the_listening(
    make_node: MakeNode, server: asyncpg.Connection, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is lost while it is made may say anything."""
    calls = []
    listening = Database.listening

    def fails_first(database: Database, *where: Any) -> Any:
        calls.append(where)
        if len(calls) == 1:
            raise RuntimeError("the driver is in no state for that")
        return listening(database, *where)

    monkeypatch.setattr(rights_feed, "LISTEN_AGAIN_S", 0.01)
    monkeypatch.setattr(Database, "listening", fails_first)
    await make_node()
    async with asyncio.timeout(LIMIT_S):
        while not await listeners(server, name):  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.02)
    assert len(calls) == 2


async def test_what_one_relay_changes_the_other_reads_again(
    make_node: MakeNode,
) -> None:
    """A share or a link that is new, and one that is gone, with what runs by it."""
    one, two = await make_node(), await make_node()
    link = Link("l1", "door", b"digest")
    await one.shares.add_link(link)
    await until(lambda: two.book.link("door", "l1") is not None)
    await one.shares.drop_link("door", "l1")
    await until(lambda: two.book.link("door", "l1") is None)
    assert one.reloaded >= 1


async def test_a_change_that_could_not_be_read_is_read_later(
    make_node: MakeNode,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A failure is told and does not lose it."""
    one, two = await make_node(), await make_node()
    failed = asyncio.Event()
    read = two.shares.read

    async def fail_once(book: Book) -> None:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError
        await read(book)

    monkeypatch.setattr(two.shares, "read", fail_once)
    await one.shares.add_link(Link("l1", "door", b"digest"))
    await until(lambda: two.book.link("door", "l1") is not None)
    assert failed.is_set()
    assert "could not be taken in" in caplog.text


async def test_silence_closes_and_news_opens(
    make_node: MakeNode,
    server: asyncpg.Connection,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody begins what is not public, then nobody goes on; probes and metrics say so until it is over."""
    monkeypatch.setattr(rights_feed, "POLL_S", 0.05)
    node = await make_node()
    private, public = await node.watch(), await node.watch(camera="lobby")
    node.feed.check()
    await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    node.ahead_s = 3700.0
    await until(lambda: metrics.REGISTRY.get_sample_value("camrelay_rights_feed_up") == 0)
    assert private.end_reason is None
    with pytest.raises(Overloaded):
        await node.watch("t2")
    node.ahead_s = 7300.0
    assert await end_of(private) is EndReason.RIGHTS_UNKNOWN
    assert public.end_reason is None
    with pytest.raises(Overloaded):
        await node.watch("t2")
    with pytest.raises(NotReady, match="database"):
        node.feed.check()
    assert (await node.watch(camera="lobby")).end_reason is None
    await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await until(lambda: node.feed.is_fed)
    assert (await node.watch("t2")).end_reason is None
    await until(lambda: metrics.REGISTRY.get_sample_value("camrelay_rights_feed_up") == 1)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert sum("nothing is heard" in text for text in told) == 1
    assert sum("heard of again" in text for text in told) == 1


async def test_a_revocation_that_others_cannot_hear_of_says_so(
    make_node: MakeNode, server: asyncpg.Connection, name: str
) -> None:
    """It holds here all the same, after a restart too."""
    node = await make_node()
    viewer = await node.watch()
    await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    with pytest.raises(NotReady):
        await node.gate.revoke(Handle(HandleKind.TOKEN, "t1"))
    assert viewer.end_reason is EndReason.REVOKED
    await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


async def test_a_database_of_ones_own_is_never_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite: there is nobody to hear of."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'camrelay.db'}")
    now = 1000.0
    feed = RightsFeed(
        Auth(),
        database,
        NewsStore(database),
        learn=lambda _: None,
        reload=lambda: asyncio.sleep(0),
        end_private=lambda: 0,
        now=lambda: now,
    )
    await feed.start()
    now += 3600
    feed.check()
    assert feed.is_fed
    await feed.close()
    await database.close()


def test_the_channel_is_a_name_that_postgresql_takes() -> None:
    """LISTEN quotes it, NOTIFY is given it as text: both must mean the same."""
    assert CHANNEL.isidentifier()
    assert CHANNEL.lower() == CHANNEL
