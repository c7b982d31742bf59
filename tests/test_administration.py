"""Operators manage the accounts and tiers of their tenant; nobody else does, and nobody reaches another's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from account_site import PASSWORD, Browser, Site, ask, running_site, sign_in
from camrelay.auth.account import Role, Tier
from camrelay.auth.mint import mint
from camrelay.auth.token import EVERY_CAMERA
from camrelay.config import Auth, Server
from camrelay.model import Action

#: Ids as they are: hexadecimal.
OLGA, ANNA, OTTO, STAN = "0a", "0b", "0c", "0d"
CAMERA = {"id": "door", "url": "rtsp://192.168.1.2/live"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Olga operates the first tenant, where Anna owns cameras and Stan is staff; Otto operates another."""
    async with running_site(tmp_path) as site:
        await site.person(OLGA, role=Role.OPERATOR)
        await site.person(ANNA)
        await site.person(STAN, role=Role.STAFF)
        await site.person(OTTO, role=Role.OPERATOR, tenant="other")
        yield site


@pytest.fixture
async def olga(site: Site) -> AsyncIterator[Browser]:
    async with site.browser(OLGA) as browser:
        yield browser


async def test_a_made_up_password_is_shown_once_and_works(site: Site, olga: Browser) -> None:
    """A chosen one is not shown at all; a second account of an address is refused."""
    wanted = {"email": "carl@cams.example", "name": "Carl", "role": "owner"}
    made = await ask(olga, "POST", "/v1/admin/accounts", wanted)
    assert (made.status, made.body["account"]["role"]) == (201, "owner")
    chosen = await ask(
        olga, "POST", "/v1/admin/accounts", wanted | {"email": "dora@cams.example", "password": PASSWORD}
    )
    assert chosen.body["password"] is None
    assert (await ask(olga, "POST", "/v1/admin/accounts", wanted)).code == "name_taken"

    async with site.browser() as browser:
        assert (await sign_in(browser, "carl", made.body["password"])).status == 200
        assert (await sign_in(browser, "dora")).status == 200


async def test_a_lesser_right_ends_what_the_greater_one_began(site: Site, olga: Browser) -> None:
    """A new role and a suspension; a new name does not."""
    async with site.browser(ANNA) as anna:
        await ask(olga, "PATCH", f"/v1/admin/accounts/{ANNA}", {"name": "Anna B."})
        assert (await ask(anna, "GET", "/v1/me")).body["account"]["name"] == "Anna B."
        await ask(olga, "PATCH", f"/v1/admin/accounts/{ANNA}", {"role": "viewer"})
        assert (await ask(anna, "GET", "/v1/me")).status == 401
        await sign_in(anna, ANNA)
        assert (await ask(anna, "POST", "/v1/cameras", CAMERA)).status == 403
        await ask(olga, "PATCH", f"/v1/admin/accounts/{ANNA}", {"is_active": False})
        assert (await ask(anna, "GET", "/v1/me")).status == 401
        assert (await sign_in(anna, ANNA)).code == "sign_in_failed"


async def test_case_80_nobody_is_there_at_first(tmp_path: Path) -> None:
    """No account comes with the relay, so no password of one; and it listens to its own machine alone."""
    async with running_site(tmp_path) as fresh, fresh.browser() as browser:
        assert await fresh.store.accounts() == []
        wanted = {"email": "admin@cams.example", "password": "admin"}
        assert (await ask(browser, "POST", "/v1/login", wanted)).code == "sign_in_failed"
    assert Server().listen.startswith("127.0.0.1:")


async def test_nobody_changes_their_own_role(olga: Browser) -> None:
    """The last operator would be gone."""
    assert (await ask(olga, "PATCH", f"/v1/admin/accounts/{OLGA}", {"role": "viewer"})).code == "bad_request"


async def test_a_lost_password_is_replaced(site: Site, olga: Browser) -> None:
    """With the second factor, and everything that was begun with the old one."""
    await site.store.set_totp(ANNA, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    reset = await ask(olga, "POST", f"/v1/admin/accounts/{ANNA}/password")

    async with site.browser() as browser:
        assert (await sign_in(browser, ANNA)).code == "sign_in_failed"
        assert (await sign_in(browser, ANNA, reset.body["password"])).status == 200


async def test_whoever_is_removed_takes_their_cameras_along(site: Site, olga: Browser) -> None:
    """What is watched of them ends, and the record forgets whom it was about, by whoever removed them."""
    async with site.browser(ANNA) as anna:
        await ask(anna, "POST", "/v1/cameras", CAMERA)
        await ask(anna, "POST", "/v1/media/sessions", {"camera": "door"})
        assert (await ask(olga, "DELETE", f"/v1/admin/accounts/{ANNA}")).status == 204

        assert (await ask(anna, "GET", "/v1/me")).status == 401
    assert site.gate.sessions() == []
    assert site.lineup.camera("door") is None
    assert await site.store.account(ANNA) is None
    assert site.erased == [(ANNA, OLGA)]


async def test_tiers_are_set_and_removed(site: Site, olga: Browser) -> None:
    """While nobody has them."""
    limits = {"max_cameras": 1, "max_viewers": 2}
    assert (await ask(olga, "PUT", "/v1/admin/tiers/home", limits)).status == 200
    await ask(olga, "PATCH", f"/v1/admin/accounts/{ANNA}", {"tier": "home"})
    assert await site.store.tier_of(ANNA) == Tier("main", "home", 1, 2)
    assert (await ask(olga, "DELETE", "/v1/admin/tiers/home")).code == "bad_request"
    await ask(olga, "PATCH", f"/v1/admin/accounts/{ANNA}", {"tier": ""})
    assert (await ask(olga, "DELETE", "/v1/admin/tiers/home")).status == 204
    assert (await ask(olga, "GET", "/v1/admin/tiers")).body == {"tiers": []}
    assert (await ask(olga, "PUT", "/v1/admin/tiers/home", {**limits, "max_cameras": -1})).status == 400


async def test_staff_look_and_change_nothing(site: Site) -> None:
    """They see the accounts of their tenant."""
    async with site.browser(STAN) as stan:
        assert len((await ask(stan, "GET", "/v1/admin/accounts")).body["accounts"]) == 3
        assert (await ask(stan, "GET", "/v1/admin/tiers")).status == 200
        for method, path, body in (
            ("POST", "/v1/admin/accounts", {"email": "x@cams.example", "name": "X"}),
            ("PATCH", f"/v1/admin/accounts/{ANNA}", {"role": "operator"}),
            ("POST", f"/v1/admin/accounts/{ANNA}/password", None),
            ("DELETE", f"/v1/admin/accounts/{ANNA}", None),
            ("PUT", "/v1/admin/tiers/home", {"max_cameras": 1, "max_viewers": 1}),
            ("POST", "/v1/admin/invitations", {}),
        ):
            assert (await ask(stan, method, path, body)).code == "denied", (method, path)


async def test_an_operator_makes_nobody_in_another_tenant(site: Site, olga: Browser) -> None:
    """A grant to manage every camera does, as the command line has one."""
    wanted = {"email": "carl@cams.example", "name": "Carl", "tenant": "other"}
    assert (await ask(olga, "POST", "/v1/admin/accounts", wanted)).code == "bad_request"
    assert (await ask(olga, "POST", "/v1/admin/invitations", {"tenant": "other"})).code == "bad_request"

    _, token = mint(
        site.keys,
        Auth(),
        cameras=(EVERY_CAMERA,),
        actions=(Action.MANAGE,),
        life_s=60,
        now_us=site.clock.utc_us,
    )
    async with site.browser() as program:
        bearer = {"Authorization": f"Bearer {token}"}
        made = await ask(program, "POST", "/v1/admin/accounts", wanted, **bearer)
        assert made.body["account"]["tenant"] == "other"
        everybody = (await ask(program, "GET", "/v1/admin/accounts", **bearer)).body["accounts"]
        others = (await ask(program, "GET", "/v1/admin/accounts?tenant=other", **bearer)).body["accounts"]
        assert (len(everybody), len(others)) == (5, 2)


@pytest.mark.parametrize("id", ["", STAN, OTTO])
async def test_case_38_no_route_leads_to_what_is_others(site: Site, olga: Browser, id: str) -> None:
    """Each route with the ids of Anna's things, asked by nobody, by staff, by another tenant's operator."""
    async with site.browser(ANNA) as anna, site.browser(id) as stranger:
        await ask(anna, "POST", "/v1/cameras", CAMERA)
        await ask(olga, "PUT", "/v1/admin/tiers/home", {"max_cameras": 9, "max_viewers": 9})
        session = (await ask(anna, "GET", "/v1/me")).body["session"]
        ids = {"camera": "door", "account": ANNA, "session": session, "tier": "home"}
        places = [route for route in site.routes if "{" in route.path]
        assert len(places) >= 10
        for route in places:
            path = re.sub(r"\{(\w+)[^/]*\}", lambda match: ids[match[1]], route.path)
            answer = await ask(stranger, route.method, path, {"max_cameras": 0, "max_viewers": 0})
            is_own_tier = id == OTTO and route.path.startswith("/v1/admin/tiers")
            assert is_own_tier or answer.status in (401, 403, 404), (route.method, route.path, answer)

        assert (await ask(anna, "GET", "/v1/cameras/door")).status == 200
        assert await site.store.tiers("main") == [Tier("main", "home", 9, 9)]
