"""How long media goes on after the right to it has ended.

LL-HLS and WHEP viewers of private cameras, half of them each, watch by grant tokens; then their right is
taken away in each way there is. For a share and a web session they watch as somebody who is signed in, for a
link by what the link opens. A session's time runs from the start of the call that takes the right (for an
expiry, from the moment the token names) to the last byte of media that arrived: for WHEP a packet, for HLS
a byte of a media response, whole or not. The load client's own lateness is in it. Tokens, keys and accounts
are withdrawn as `camrelay token revoke` does it, which the relay learns by reading a file; all else through
the API. The figures are those of the slowest way. See P8.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol

import aiohttp

from benchmarks.child import ChildFailed
from benchmarks.command import Run, execute
from benchmarks.feed import Feed
from benchmarks.llhls import crowd as hls
from benchmarks.percentile import percentile, spread
from benchmarks.result import Cell, Table
from benchmarks.servers.camrelay import PrivateCamrelay
from benchmarks.whep import crowd as whep
from benchmarks.whep.viewer import Viewer as Peer
from camrelay.auth.gate import POLL_S
from camrelay.auth.lease import HandleKind
from camrelay.auth.revocation import Revocation, RevocationFile
from camrelay.auth.token import Grant
from camrelay.model import Action
from camrelay.places import REVOCATIONS
from camrelay.simulate.options import Picture

OWED = {
    "p8_revocation_p50_s": "s",
    "p8_revocation_p99_s": "s",
    "p8_revocation_max_s": "s",
    "p8_sessions": "sessions",
    "p8_sessions_not_cut": "sessions",
}

QUICK = [
    "--rounds", "1", "--ways", "token,expiry,share", "--sessions", "4", "--join-rate", "20",
    "--settle", "0.5", "--watch", "2",
]  # fmt: skip

#: A session counts when it got media this shortly before it was cut, and as not cut when it still does.
_FRESH_S = 1.0

#: Longer than everything that is done with a token before it is withdrawn.
_LIFE_S = 3600

#: What a joining crowd may take beyond its rate; a token must not expire before everybody is there.
_JOIN_MARGIN_S = 3.0

#: A camera of the configuration file cannot be removed; this one is registered through the API.
_REGISTERED = "cam2"

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


class Cut(NamedTuple):
    """One way in one round: seconds of media after the cut, by protocol; sessions that went on."""

    way: str
    after_s: dict[str, list[float]]
    not_cut: int


class Scene:
    """A relay, and the crowds that watch it."""

    def __init__(self, run: Run, server: PrivateCamrelay, feed: Feed) -> None:
        self.run = run
        self.server = server
        self._feed = feed
        self._revocations = RevocationFile(server.store / REVOCATIONS)
        self.players = hls.Crowd()
        self.peers = whep.Crowd()

    async def join(self, camera: str, *, parties: int = 1, life_s: int = _LIFE_S) -> list[Guests]:
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
        _, token = self.server.token(_LIFE_S, "manager", (Action.WATCH, Action.MANAGE))
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
        _, token = self.server.token(_LIFE_S, "manager", (Action.WATCH, Action.MANAGE))
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
            return await post(http, f"{self.server.url}{path}", body)

    async def register(self) -> None:
        """Adds the second camera and waits for its pictures."""
        await self.ask("POST", "/v1/cameras", {"id": _REGISTERED, "url": self._feed.url(2)})
        await self.server.until_live([_REGISTERED])

    async def settle(self) -> None:
        """Lets everybody watch for a while."""
        await asyncio.sleep(self.run.options.settle)


async def post(http: aiohttp.ClientSession, url: str, body: object) -> Any:
    """The answer to a POST; ChildFailed when it was refused."""
    async with http.post(url, json=body) as response:
        if response.status >= 400:
            raise ChildFailed(f"POST {response.url.path} answered {response.status}")
        return await response.json() if response.content_type == "application/json" else None


async def one_token(scene: Scene) -> list[Party]:
    """One token of all sessions is withdrawn."""
    (guests,) = await scene.join("cam1")
    await scene.settle()
    return [guests.cut(await scene.withdraw(HandleKind.TOKEN, guests.grant.id))]


async def many_tokens(scene: Scene) -> list[Party]:
    """Ten tokens of a tenth each are withdrawn, at random moments."""
    crowd = await scene.join("cam1", parties=10)
    await scene.settle()
    moments, cut = random.Random(scene.run.options.seed), list[Party]()
    for guests in crowd:
        # One withdrawal meets one phase of the relay's reading; ten meet most of them.
        await asyncio.sleep(moments.uniform(0, POLL_S))
        cut.append(guests.cut(await scene.withdraw(HandleKind.TOKEN, guests.grant.id)))
    return cut


async def account(scene: Scene) -> list[Party]:
    """Everything that one account was given is withdrawn."""
    (guests,) = await scene.join("cam1")
    await scene.settle()
    return [guests.cut(await scene.withdraw(HandleKind.ACCOUNT, guests.grant.subject))]


async def key(scene: Scene) -> list[Party]:
    """The key that signed the tokens is withdrawn; after this no token of the relay works."""
    (guests,) = await scene.join("cam1")
    await scene.settle()
    return [guests.cut(await scene.withdraw(HandleKind.KEY, guests.grant.key))]


async def expiry(scene: Scene) -> list[Party]:
    """The token of all sessions expires."""
    options = scene.run.options
    life_s = round(options.sessions / options.join_rate + options.settle + _JOIN_MARGIN_S)
    (guests,) = await scene.join("cam1", life_s=life_s)
    left_s = guests.grant.expires_us / 1e6 - time.time()
    cut_at = time.monotonic() + left_s
    await asyncio.sleep(max(0.0, left_s))
    return [guests.cut(cut_at)]


async def camera(scene: Scene) -> list[Party]:
    """The camera that all sessions watch is removed."""
    await scene.register()
    (guests,) = await scene.join(_REGISTERED)
    await scene.settle()
    return [guests.cut(await scene.ask("DELETE", f"/v1/cameras/{_REGISTERED}"))]


async def link(scene: Scene) -> list[Party]:
    """The link by which all came is taken back."""
    await scene.register()
    made = await scene.make(f"/v1/cameras/{_REGISTERED}/links", {})
    opened = await scene.make("/v1/links/open", {"secret": made["secret"]})
    count, rate = scene.run.options.sessions // 2, scene.run.options.join_rate / 2
    watchers = await scene.join_by(opened["token"], _REGISTERED, count, rate)
    await scene.settle()
    cut_at = await scene.ask("DELETE", f"/v1/cameras/{_REGISTERED}/links/{made['id']}")
    await scene.ask("DELETE", f"/v1/cameras/{_REGISTERED}")
    return [Party(watchers, cut_at)]


async def share(scene: Scene) -> list[Party]:
    """The camera is no longer shared with the account of all sessions."""
    await scene.register()
    async with scene.signed_in() as (person, account):
        await scene.make(f"/v1/cameras/{_REGISTERED}/shares", {"email": account["email"]})
        watchers = await scene.join_as(person, _REGISTERED)
        await scene.settle()
        cut_at = await scene.ask("DELETE", f"/v1/cameras/{_REGISTERED}/shares/{account['id']}")
    await scene.ask("DELETE", f"/v1/cameras/{_REGISTERED}")
    return [Party(watchers, cut_at)]


async def web_session(scene: Scene) -> list[Party]:
    """Who watches in all sessions signs out."""
    await scene.register()
    await scene.ask("PATCH", f"/v1/cameras/{_REGISTERED}", {"visibility": "members"})
    async with scene.signed_in() as (person, _):
        watchers = await scene.join_as(person, _REGISTERED)
        await scene.settle()
        cut_at = time.monotonic()
        await post(person, f"{scene.server.url}/v1/logout", None)
    await scene.ask("DELETE", f"/v1/cameras/{_REGISTERED}")
    return [Party(watchers, cut_at)]


async def tenant(scene: Scene) -> list[Party]:
    """Everything that one tenant was given is withdrawn."""
    (guests,) = await scene.join("cam1")
    await scene.settle()
    return [guests.cut(await scene.withdraw(HandleKind.TENANT, guests.grant.tenant))]


#: In this order: what the key has signed ends with it.
WAYS: dict[str, Callable[[Scene], Awaitable[list[Party]]]] = {
    "token": one_token,
    "tokens": many_tokens,
    "account": account,
    "expiry": expiry,
    "camera": camera,
    "link": link,
    "share": share,
    "web_session": web_session,
    "tenant": tenant,
    "key": key,
}


async def cut(run: Run, server: PrivateCamrelay, feed: Feed, way: str) -> Cut:
    """Everybody joins, is cut, and is watched for a while longer."""
    scene = Scene(run, server, feed)
    async with scene.players, scene.peers:
        parties = await WAYS[way](scene)
        await asyncio.sleep(run.options.watch)
        end = time.monotonic()
        after_s: dict[str, list[float]] = {"LL-HLS": [], "WHEP": []}
        not_cut = 0
        for party in parties:
            for watcher in party.watchers:
                if watcher.last_media_at > party.cut_at - _FRESH_S:
                    protocol = "WHEP" if isinstance(watcher, Peer) else "LL-HLS"
                    after_s[protocol].append(max(0.0, watcher.last_media_at - party.cut_at))
                    not_cut += watcher.last_media_at > end - _FRESH_S
        if scene.peers.failures:
            run.say(f"{way}: refused {dict(scene.peers.failures)}")
    seconds = [each for found in after_s.values() for each in found]
    run.say(f"{way}: {len(seconds)} sessions, the last byte after {max(seconds, default=0.0):.2f} s")
    return Cut(way, after_s, not_cut)


async def body(run: Run) -> None:
    """Every way in every round, a new relay for each round."""
    wanted = run.options.ways.split(",")
    cuts: list[Cut] = []
    picture = Picture(bitrate_bps=run.options.bitrate)
    async with Feed(run.directory, run.cores.load, cameras=2, picture=picture) as feed:
        for number in range(run.options.rounds):
            server = PrivateCamrelay(run.directory / f"round{number}", run.cores.server)
            await server.start({"cam1": feed.url()})
            run.result.servers["camrelay"] = server.settings
            try:
                for way in WAYS:
                    if way in wanted:
                        cuts.append(await cut(run, server, feed, way))
                        summarize(run, cuts)
            finally:
                await server.stop()


def summarize(run: Run, cuts: Sequence[Cut]) -> None:
    """Figures and table of what there is so far."""
    result, rows = run.result, list[list[Cell]]()
    shown: list[list[float]] = []
    for way in dict.fromkeys(each.way for each in cuts):
        mine = [each for each in cuts if each.way == way]
        about = (WAYS[way].__doc__ or "").removesuffix(".")
        for protocol in ("LL-HLS", "WHEP"):
            seconds = [s for each in mine for s in each.after_s[protocol]]
            if seconds:
                values = [percentile(seconds, 50), percentile(seconds, 99), max(seconds)]
                rows.append([about, protocol, len(seconds), *values])
                shown.append(values)
    result.tables = [
        Table(
            "Seconds from taking the right away to the last byte of media",
            ["what happens", "protocol", "sessions", "p50 s", "p99 s", "max s"],
            rows,
        )
    ]
    if not shown:
        return
    for index, name in enumerate(("p50", "p99", "max")):
        result.figure(f"p8_revocation_{name}_s", max(values[index] for values in shown), "s")
    sessions = [sum(map(len, each.after_s.values())) for each in cuts]
    result.figure("p8_sessions", spread(sessions), "sessions")
    result.figure("p8_sessions_not_cut", sum(each.not_cut for each in cuts), "sessions")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--ways", default=",".join(WAYS), help="comma-separated; all of them by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=1000, help="half of them HLS, half WHEP")
    parser.add_argument("--join-rate", type=float, default=50.0, help="sessions that begin per second")
    parser.add_argument("--settle", type=float, default=3.0, help="seconds from the last join to the cut")
    parser.add_argument("--watch", type=float, default=5.0, help="seconds watched after the cut")
    parser.add_argument("--bitrate", type=int, default=2_000_000, help="of the camera, bits per second")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("revoke", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
