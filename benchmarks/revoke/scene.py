"""A relay, the crowds that watch it, and everything that is done to their rights."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol

import aiohttp

from benchmarks.child import ChildFailed
from benchmarks.command import Run
from benchmarks.feed import Feed
from benchmarks.llhls import crowd as hls
from benchmarks.servers.camrelay import PrivateCamrelay
from benchmarks.whep import crowd as whep
from camrelay.auth.lease import HandleKind
from camrelay.auth.revocation import Revocation, RevocationFile
from camrelay.auth.token import Grant
from camrelay.model import Action
from camrelay.places import REVOCATIONS

#: Longer than everything that is done with a token before it is withdrawn.
LIFE_S = 3600

#: A camera of the configuration file cannot be removed; this one is registered through the API.
REGISTERED = "cam2"

_NUMBERS = itertools.count(1)


class Watcher(Protocol):
    """What viewers of both protocols have in common."""

    @property
    def last_media_at(self) -> float: ...


class Party(NamedTuple):
    """Sessions that end together, and when the call that ended them began."""

    watchers: Sequence[Watcher]
    cut_at: float = 0.0


class Guests(NamedTuple):
    """Sessions of one token."""

    grant: Grant
    watchers: Sequence[Watcher]

    def cut(self, at: float) -> Party:
        """The same, cut."""
        return Party(self.watchers, at)


class Scene:
    """A relay, and the crowds that watch it."""

    def __init__(self, run: Run, server: PrivateCamrelay, feed: Feed) -> None:
        self.run = run
        self.server = server
        self._feed = feed
        self._revocations = RevocationFile(server.store / REVOCATIONS)
        self.players = hls.Crowd()
        self.peers = whep.Crowd()

    async def join(self, camera: str, *, parties: int = 1, life_s: int = LIFE_S) -> list[Guests]:
        """Lets all sessions begin, an equal share by each of several tokens."""
        count = self.run.options.sessions // 2 // parties
        rate = self.run.options.join_rate / 2 / parties

        async def party(number: int) -> Guests:
            grant, token = self.server.token(life_s, f"viewer-{number}")
            return Guests(grant, await self.join_by(token, camera, count, rate))

        return await asyncio.gather(*map(party, range(parties)))

    async def join_by(self, token: str, camera: str, count: int, rate: float) -> list[Watcher]:
        """Lets `count` players and as many peers begin by a token."""
        headers = {"Authorization": f"Bearer {token}"}
        players, peers = await asyncio.gather(
            self.players.join(self.server.hls(camera), count, per_second=rate, headers=headers),
            self.peers.join(self.server.whep(camera), count, per_second=rate, headers=headers),
        )
        return [*players, *peers]

    async def join_as(self, person: aiohttp.ClientSession, camera: str) -> list[Watcher]:
        """Lets all sessions begin by media sessions of somebody who is signed in."""
        rate = self.run.options.join_rate

        async def begin(index: int) -> list[Watcher]:
            await asyncio.sleep(index / rate)
            paths = await post(person, f"{self.server.url}/v1/media/sessions", {"camera": camera})
            if index % 2:
                return list(await self.players.join(self.server.url + paths["hls"], 1, per_second=rate))
            return list(await self.peers.join(self.server.url + paths["whep"], 1, per_second=rate))

        begun = await asyncio.gather(*map(begin, range(self.run.options.sessions)))
        return [watcher for watchers in begun for watcher in watchers]

    @asynccontextmanager
    async def signed_in(self) -> AsyncIterator[tuple[aiohttp.ClientSession, Any]]:
        """Somebody new who is signed in, and their account."""
        number = next(_NUMBERS)
        body = {"email": f"viewer-{number}@cams.example", "password": secrets.token_urlsafe()}
        # An address of digits has no domain a cookie could be of, says aiohttp unless it is told otherwise.
        jar, headers = aiohttp.CookieJar(unsafe=True), {"Sec-Fetch-Site": "same-origin"}
        async with aiohttp.ClientSession(cookie_jar=jar, headers=headers) as person:
            await post(person, f"{self.server.url}/v1/accounts", body | {"name": f"Viewer {number}"})
            me = await post(person, f"{self.server.url}/v1/login", body)
            yield person, me["account"]

    async def withdraw(self, kind: HandleKind, id: str) -> float:
        """Stores a revocation; returns when that began."""
        began = time.monotonic()
        revocation = Revocation(kind, id, time.time_ns() // 1000)
        await asyncio.to_thread(self._revocations.append, revocation)
        return began

    async def ask(self, method: str, path: str, body: object = None) -> float:
        """A manager's request; returns when it began.

        Raises:
            ChildFailed: it was refused.
        """
        _, token = self.server.token(LIFE_S, "manager", (Action.WATCH, Action.MANAGE))
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            began = time.monotonic()
            async with http.request(method, f"{self.server.url}{path}", json=body) as response:
                if response.status >= 400:
                    raise ChildFailed(f"{method} {path} answered {response.status}")
        return began

    async def make(self, path: str, body: object) -> Any:
        """What a manager's POST makes.

        Raises:
            ChildFailed: it was refused.
        """
        _, token = self.server.token(LIFE_S, "manager", (Action.WATCH, Action.MANAGE))
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
            return await post(http, f"{self.server.url}{path}", body)

    async def register(self) -> None:
        """Adds the second camera and waits for its pictures."""
        await self.ask("POST", "/v1/cameras", {"id": REGISTERED, "url": self._feed.url(2)})
        await self.server.until_live([REGISTERED])

    async def settle(self) -> None:
        """Lets everybody watch for a while."""
        await asyncio.sleep(self.run.options.settle)


async def post(http: aiohttp.ClientSession, url: str, body: object) -> Any:
    """The answer to a POST; ChildFailed when it was refused."""
    async with http.post(url, json=body) as response:
        if response.status >= 400:
            raise ChildFailed(f"POST {response.url.path} answered {response.status}")
        return await response.json() if response.content_type == "application/json" else None
