"""Every way to take a right away. Each lets everybody begin, and returns when their right began to end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from benchmarks.revoke.scene import REGISTERED, Party, Scene, post
from camrelay.auth.lease import HandleKind

#: What a joining crowd may take beyond its rate; a token must not expire before everybody is there.
_JOIN_MARGIN_S = 3.0

#: One withdrawal meets one phase of the relay's looking for them, twice a second; ten meet most of them.
_PHASE_S = 0.5


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
        await asyncio.sleep(moments.uniform(0, _PHASE_S))
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
    (guests,) = await scene.join(REGISTERED)
    await scene.settle()
    return [guests.cut(await scene.ask("DELETE", f"/v1/cameras/{REGISTERED}"))]


async def link(scene: Scene) -> list[Party]:
    """The link by which all came is taken back."""
    await scene.register()
    made = await scene.make(f"/v1/cameras/{REGISTERED}/links", {})
    opened = await scene.make("/v1/links/open", {"secret": made["secret"]})
    count, rate = scene.run.options.sessions // 2, scene.run.options.join_rate / 2
    watchers = await scene.join_by(opened["token"], REGISTERED, count, rate)
    await scene.settle()
    cut_at = await scene.ask("DELETE", f"/v1/cameras/{REGISTERED}/links/{made['id']}")
    await scene.ask("DELETE", f"/v1/cameras/{REGISTERED}")
    return [Party(watchers, cut_at)]


async def share(scene: Scene) -> list[Party]:
    """The camera is no longer shared with the account of all sessions."""
    await scene.register()
    async with scene.signed_in() as (person, account):
        await scene.make(f"/v1/cameras/{REGISTERED}/shares", {"email": account["email"]})
        watchers = await scene.join_as(person, REGISTERED)
        await scene.settle()
        cut_at = await scene.ask("DELETE", f"/v1/cameras/{REGISTERED}/shares/{account['id']}")
    await scene.ask("DELETE", f"/v1/cameras/{REGISTERED}")
    return [Party(watchers, cut_at)]


async def web_session(scene: Scene) -> list[Party]:
    """Who watches in all sessions signs out."""
    await scene.register()
    await scene.ask("PATCH", f"/v1/cameras/{REGISTERED}", {"visibility": "members"})
    async with scene.signed_in() as (person, _):
        watchers = await scene.join_as(person, REGISTERED)
        await scene.settle()
        cut_at = time.monotonic()
        await post(person, f"{scene.server.url}/v1/logout", None)
    await scene.ask("DELETE", f"/v1/cameras/{REGISTERED}")
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
