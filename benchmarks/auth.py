"""What the gate costs: each HLS request, a grant token, a media session.

No network and no media: a gate with many sessions, as it stands in the relay, is asked in this process, and
every call is timed by itself. An HLS request comes the short way (`Gate.running`) or the ordinary one
(`Gate.authorize`, its request as small as the gate allows). The log keeps nothing, so what a media session
costs here is without its record; the database is not there at all, and nothing misses it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from aiohttp import web
from multidict import CIMultiDict, MultiDict

from benchmarks.command import Run, execute
from benchmarks.percentile import percentile
from benchmarks.result import Cell, Table
from camrelay.auth.gate import Gate
from camrelay.auth.keys import KeyRing
from camrelay.auth.mint import mint
from camrelay.auth.revocation import RevocationFile
from camrelay.auth.token import verify
from camrelay.config import Auth, Camera
from camrelay.model import AccessEvent, Action, Protocol

OWED = {
    "auth_hls_p50_us": "us",
    "auth_hls_p99_us": "us",
    "auth_hls_short_p99_us": "us",
    "auth_token_p50_us": "us",
    "auth_token_again_p50_us": "us",
    "auth_session_p50_us": "us",
}

QUICK = ["--sessions", "500", "--calls", "5000", "--tokens", "200"]

T = TypeVar("T")

_CAMERA = Camera(id="cam1", url="rtsp://192.0.2.1/")
_LIFE_S = 3600


class Scene:
    """A gate, its tokens and the secrets of its sessions."""

    def __init__(self, run: Run) -> None:
        self.options = Auth()
        self.keys = KeyRing(run.directory / "keys")
        self.gate = Gate(
            self.options,
            self.keys,
            RevocationFile(run.directory / "revocations.jsonl"),
            {_CAMERA.id: _CAMERA}.get,
            _keep_nothing,
            hls_idle_timeout_s=_LIFE_S,
        )
        self.secrets: list[str] = []

    def token(self, number: int) -> str:
        """A grant of somebody's own."""
        _, raw = mint(
            self.keys,
            self.options,
            cameras=[_CAMERA.id],
            actions=[Action.WATCH],
            life_s=_LIFE_S,
            subject=f"viewer-{number}",
            now_us=time.time_ns() // 1000,
        )
        return raw

    async def open(self, raw: str) -> None:
        """A media session that plays."""
        opened = await self.gate.open_session(_request(token=raw), _CAMERA.id)
        self.secrets.append(opened.secret)
        await self.ask(_request(secret=opened.secret))

    async def ask(self, request: web.Request) -> None:
        """One HLS request, the ordinary way."""
        await self.gate.authorize(request, _CAMERA.id, Protocol.HLS)


async def body(run: Run) -> None:
    """Opens the sessions, then asks for media in random order."""
    scene = Scene(run)
    await scene.gate.start()
    try:
        tokens = [scene.token(number) for number in range(run.options.tokens)]
        opened = await timed(scene.open, [tokens[n % len(tokens)] for n in range(run.options.sessions)])
        chosen = random.Random(run.options.seed).choices(scene.secrets, k=run.options.calls)
        gc.collect()
        gc.freeze()
        ordinary = await timed(scene.ask, [_request(secret=secret) for secret in chosen])
        short = quick_calls(lambda secret: scene.gate.running(secret, _CAMERA.id), chosen)
        now_us = time.time_ns() // 1000
        fresh = quick_calls(lambda raw: verify(raw, scene.keys.verification, scene.options, now_us), tokens)
        # What the gate does with a token that it has seen.
        again = quick_calls(lambda raw: scene.gate.permissions.may_watch(_request(token=raw)), tokens)
    finally:
        await scene.gate.close()
    rows: list[list[Cell]] = []
    for what, seconds in (
        ("an HLS request", ordinary),
        ("an HLS request, the short way", short),
        ("a token, the first time", fresh),
        ("a token, seen before, with its request", again),
        ("a media session, without its record", opened),
    ):
        rows.append([what, len(seconds), *(percentile(seconds, percent) * 1e6 for percent in (50, 99))])
    run.result.tables = [Table("What the gate costs", ["what", "calls", "p50 us", "p99 us"], rows)]
    for name, row, column in (
        ("auth_hls_p50_us", 0, 2),
        ("auth_hls_p99_us", 0, 3),
        ("auth_hls_short_p99_us", 1, 3),
        ("auth_token_p50_us", 2, 2),
        ("auth_token_again_p50_us", 3, 2),
        ("auth_session_p50_us", 4, 2),
    ):
        value = rows[row][column]
        assert isinstance(value, float)
        run.result.figure(name, value, "us")


async def timed(call: Callable[[T], Awaitable[None]], arguments: Sequence[T]) -> list[float]:
    """Seconds of each call; the loop gets its turn in between, outside of what is timed."""
    seconds = []
    for number, argument in enumerate(arguments):
        began = time.perf_counter_ns()
        await call(argument)
        seconds.append((time.perf_counter_ns() - began) / 1e9)
        if number % 256 == 0:
            await asyncio.sleep(0)
    return seconds


def quick_calls(call: Callable[[T], object], arguments: Sequence[T]) -> list[float]:
    """Seconds of each call that waits for nothing."""
    seconds = []
    for argument in arguments:
        began = time.perf_counter_ns()
        call(argument)
        seconds.append((time.perf_counter_ns() - began) / 1e9)
    return seconds


async def _keep_nothing(_: AccessEvent) -> None:
    return None


class _Request:
    """What the gate reads of a request; a real one is aiohttp's to make."""

    remote = "203.0.113.9"
    query = MultiDict[str]()

    def __init__(self, headers: dict[str, str], match_info: dict[str, str]) -> None:
        self.headers = CIMultiDict(headers)
        self.match_info = match_info


def _request(*, token: str = "", secret: str = "") -> web.Request:
    headers = {"User-Agent": "VLC/3.0.21"} | ({"Authorization": f"Bearer {token}"} if token else {})
    return cast(web.Request, _Request(headers, {"secret": secret} if secret else {}))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of this command."""
    parser.add_argument("--sessions", type=int, default=10_000, help="media sessions that play")
    parser.add_argument("--calls", type=int, default=200_000, help="HLS requests")
    parser.add_argument("--tokens", type=int, default=2000, help="different grant tokens")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return execute("auth", __doc__, body, OWED, add_options, argv, quick=QUICK)


if __name__ == "__main__":
    sys.exit(main())
