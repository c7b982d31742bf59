"""Signing in and out, and what must not come of it; cases have the numbers of the list of abuses."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from account_site import OWN_PAGE, PASSWORD, Answer, Browser, Site, ask, cookies, running_site, sign_in
from auth_builders import make_request
from camrelay.accounts import invitation_digest
from camrelay.auth.account import (
    ABSOLUTE_US,
    CONFIRMED_US,
    IDLE_US,
    KEPT_ABSOLUTE_US,
    KEPT_IDLE_US,
    Invitation,
    Role,
    Tier,
)
from camrelay.auth.common_password import COMMON_PASSWORDS
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.mint import mint
from camrelay.auth.password import QUEUE_LIMIT
from camrelay.auth.token import EVERY_CAMERA
from camrelay.config import Auth, Camera
from camrelay.errors import TokenRevoked
from camrelay.model import Action, Protocol

NEW_PASSWORD = "another horse battery"
CAMERA = {"id": "door", "url": "rtsp://192.168.1.2/live"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path) as site:
        await site.person("anna")
        await site.person("bert")
        yield site


@pytest.fixture
async def anna(site: Site) -> AsyncIterator[Browser]:
    """A browser where Anna, an owner, is signed in."""
    async with site.browser("anna") as browser:
        yield browser


async def is_signed_in(browser: Browser) -> bool:
    return (await ask(browser, "GET", "/v1/me")).status == 200


async def watch(browser: Browser) -> str:
    """The id of a new media session on the camera."""
    answer = await ask(browser, "POST", "/v1/media/sessions", {"camera": "door"})
    assert answer.status == 201, answer
    return str(answer.body["id"])


def watching(site: Site) -> list[str]:
    return [session.id for session in site.gate.sessions()]


def code_of(secret: str, now_us: int) -> str:
    totp = TOTP(base64.b32decode(secret), 6, SHA1(), 30)  # noqa: S303 - what authenticator apps know
    return totp.generate(now_us // 1_000_000).decode()


# Signing in.


async def test_a_session_is_a_cookie_that_scripts_and_other_sites_never_see(site: Site) -> None:
    """None before; on this machine it cannot have the prefix that wants TLS."""
    async with site.browser() as browser:
        assert not await is_signed_in(browser)
        assert cookies(browser) == {}
        answer = await sign_in(browser)

        assert answer.body["account"]["name"] == "Anna"
        assert cookies(browser).keys() == {"camrelay"}
        cookie = answer.headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert "Max-Age" not in cookie
        assert "Expires" not in cookie
        assert await is_signed_in(browser)


async def test_behind_tls_the_cookie_keeps_to_its_host(site: Site) -> None:
    """A trusted proxy says that the browser came over TLS; otherwise one elsewhere may not sign in."""
    body = {"email": "anna@cams.example", "password": PASSWORD}
    async with site.browser() as browser:
        refused = await ask(browser, "POST", "/v1/login", body, Host="cams.example")
        lying = await ask(browser, "POST", "/v1/login", body, Host="cams.example", X_Forwarded_Proto="https")
        assert (refused.status, lying.status) == (400, 400)
        assert cookies(browser) == {}

    request = make_request(headers=[("X-Forwarded-Proto", "https")], peer="192.0.2.77")
    response = web.Response()
    site.accounts._cookies.give(request, response, "value", None)
    assert response.cookies["__Host-camrelay"].output().count("Secure") == 1


async def test_signing_out_ends_what_is_watched(site: Site, anna: Browser) -> None:
    """In the same tick; the cookie is worth nothing afterwards, wherever it was copied to."""
    await ask(anna, "POST", "/v1/cameras", CAMERA)
    session, cookie = await watch(anna), cookies(anna)["camrelay"]
    assert watching(site) == [session]

    assert (await ask(anna, "POST", "/v1/logout")).status == 204

    assert watching(site) == []
    assert cookies(anna) == {}
    assert (await ask(anna, "GET", "/v1/me", Cookie=f"camrelay={cookie}")).code == "token_required"
    assert (await ask(anna, "POST", "/v1/logout")).status == 204


@pytest.mark.parametrize("limit_us", [IDLE_US, ABSOLUTE_US])
async def test_a_session_ends_by_itself(site: Site, anna: Browser, limit_us: int) -> None:
    """Half an hour after the last request, twelve hours after signing in; what is watched ends with it."""
    await ask(anna, "POST", "/v1/cameras", CAMERA)
    await watch(anna)
    for _ in range(limit_us // (20 * 60 * 1_000_000) if limit_us == ABSOLUTE_US else 0):
        site.clock.utc_us += 20 * 60 * 1_000_000 - 1_000_000
        assert await is_signed_in(anna)

    site.clock.utc_us += IDLE_US
    assert not await is_signed_in(anna)
    await site.sessions.sweep()
    assert watching(site) == []


async def test_a_browser_that_is_to_stay_signed_in_does_for_thirty_days(site: Site) -> None:
    """And a week without a request; its cookie outlives the browser, and no longer than the session."""
    async with site.browser() as anna:
        answer = await sign_in(anna, keep=True)
        assert f"Max-Age={KEPT_ABSOLUTE_US // 1_000_000};" in answer.headers["Set-Cookie"]
        for _ in range(4):
            site.clock.utc_us += KEPT_IDLE_US - 1_000_000
            await site.sessions.sweep()
            assert await is_signed_in(anna)
        confirmed = await ask(anna, "POST", "/v1/me/confirm", {"password": PASSWORD})
        left_s = (KEPT_ABSOLUTE_US - 4 * (KEPT_IDLE_US - 1_000_000)) // 1_000_000
        assert f"Max-Age={left_s};" in confirmed.headers["Set-Cookie"]
        site.clock.utc_us += left_s * 1_000_000
        assert not await is_signed_in(anna)
        await site.sessions.sweep()
        assert await site.store.sessions("anna") == []
        assert "Max-Age" not in (await sign_in(anna)).headers["Set-Cookie"]


async def test_media_last_as_long_as_the_session_that_they_hang_on(site: Site, anna: Browser) -> None:
    """Not longer."""
    await ask(anna, "POST", "/v1/cameras", CAMERA)
    await watch(anna)
    (session,) = site.gate.sessions()

    assert session.expires_us == site.clock.utc_us + ABSOLUTE_US
    assert (session.subject, session.method) == ("anna", "account")
    site.clock.pass_time(ABSOLUTE_US / 1e6)
    site.gate._sessions.tick()
    assert watching(site) == []


async def test_suspending_somebody_signs_them_out(site: Site, anna: Browser) -> None:
    """And keeps them out, with the same answer that a wrong password gets."""
    await ask(anna, "POST", "/v1/cameras", CAMERA)
    await watch(anna)
    account = await site.store.account("anna")
    assert account is not None
    await site.store.change(msgspec.structs.replace(account, is_active=False))
    await site.gate.revoke(Handle(HandleKind.ACCOUNT, "anna"))

    assert watching(site) == []
    assert not await is_signed_in(anna)
    assert (await sign_in(anna)).code == "sign_in_failed"


# Passwords, codes, addresses.


async def test_a_new_password_wants_the_old_one_lately(site: Site, anna: Browser) -> None:
    """Ten minutes after signing in it is asked for again; a wrong one does not do."""
    site.clock.utc_us += CONFIRMED_US
    change = ("POST", "/v1/me/password", {"password": NEW_PASSWORD})
    assert (await ask(anna, *change)).code == "confirm_required"
    assert (await ask(anna, "POST", "/v1/me/confirm", {"password": "wrong"})).code == "sign_in_failed"
    before = cookies(anna)["camrelay"]
    assert (await ask(anna, "POST", "/v1/me/confirm", {"password": PASSWORD})).status == 204
    assert cookies(anna)["camrelay"] != before

    assert (await ask(anna, *change)).status == 204
    assert (await sign_in(anna)).code == "sign_in_failed"
    assert (await sign_in(anna, password=NEW_PASSWORD)).status == 200


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaaaaaa", "x" * 257, "anna@cams.example"])
async def test_a_bad_password_is_not_taken(anna: Browser, password: str) -> None:
    """Too short, too long, a letter over and over, one's own address."""
    assert (await ask(anna, "POST", "/v1/me/password", {"password": password})).code == "bad_request"


async def test_case_23_what_was_given_before_a_new_password_is_void(site: Site, anna: Browser) -> None:
    """Other browsers, media sessions, and tokens for the account; this browser stays, with a new cookie."""
    _, token = mint(
        site.keys,
        Auth(),
        cameras=(EVERY_CAMERA,),
        actions=(Action.WATCH,),
        life_s=60,
        subject="anna",
        now_us=site.clock.utc_us,
    )
    await ask(anna, "POST", "/v1/cameras", CAMERA)
    async with site.browser("anna") as other:
        await watch(other)
        before = cookies(anna)["camrelay"]
        assert (await ask(anna, "POST", "/v1/me/password", {"password": NEW_PASSWORD})).status == 204

        assert not await is_signed_in(other)
    assert watching(site) == []
    assert cookies(anna)["camrelay"] != before
    assert await is_signed_in(anna)
    with pytest.raises(TokenRevoked):
        site.gate.permissions.may_watch(make_request(token=token))


async def test_a_second_factor(site: Site, anna: Browser) -> None:
    """Set with a code of it; from then on asked for; a code works once; gone when its owner says so."""
    offer = (await ask(anna, "POST", "/v1/me/totp")).body
    secret = offer["secret"]
    assert secret in offer["uri"]
    wrong = await ask(anna, "PUT", "/v1/me/totp", {"secret": secret, "code": "000000"})
    assert wrong.code == "bad_request"
    code = code_of(secret, site.clock.utc_us)
    assert (await ask(anna, "PUT", "/v1/me/totp", {"secret": secret, "code": code})).status == 204

    async with site.browser() as browser:
        assert (await sign_in(browser)).code == "code_required"
        assert (await sign_in(browser, code="000000")).code == "code_required"
        assert (await sign_in(browser, code=code)).code == "code_required"
        site.clock.pass_time(30)
        assert (await sign_in(browser, code=code_of(secret, site.clock.utc_us))).status == 200
    assert (await ask(anna, "GET", "/v1/me")).body["has_totp"]
    assert (await ask(anna, "DELETE", "/v1/me/totp")).status == 204
    assert (await sign_in(anna)).status == 200


async def test_a_new_address_signs_out_elsewhere_and_is_nobodys(site: Site, anna: Browser) -> None:
    """A name changes by itself."""
    async with site.browser("anna") as other:
        assert (await ask(anna, "PATCH", "/v1/me", {"name": " Anna  B. "})).body["account"][
            "name"
        ] == "Anna B."
        assert await is_signed_in(other)
        taken = await ask(anna, "PATCH", "/v1/me", {"email": "Bert@cams.example"})
        assert (taken.status, taken.code) == (409, "name_taken")
        assert (await ask(anna, "PATCH", "/v1/me", {"email": "anna.b@cams.example"})).status == 200

        assert not await is_signed_in(other)
    assert (await sign_in(anna, "anna.b")).status == 200


async def test_sessions_are_listed_and_ended_one_by_one(site: Site, anna: Browser) -> None:
    """Each browser by its family and its network, nothing closer; one's own are not others'."""
    async with site.browser("anna") as other, site.browser("bert") as bert:
        listed = (await ask(anna, "GET", "/v1/me/sessions")).body["sessions"]
        mine = next(each for each in listed if each["is_this"])
        theirs = next(each for each in listed if not each["is_this"])
        assert mine["network"] == "127.0.0.0/24"

        assert (await ask(bert, "DELETE", f"/v1/me/sessions/{theirs['id']}")).code == "not_found"
        assert await is_signed_in(other)
        assert (await ask(anna, "DELETE", f"/v1/me/sessions/{theirs['id']}")).status == 204
        assert not await is_signed_in(other)
        await sign_in(other)
        assert (await ask(anna, "DELETE", "/v1/me/sessions")).status == 204
        assert not await is_signed_in(other)
        assert await is_signed_in(anna)


async def test_an_account_is_signed_in_so_often_and_no_oftener(
    site: Site, anna: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser that signed in first is out when there are too many."""
    monkeypatch.setattr("camrelay.auth.websession.MAX_SESSIONS", 2)
    site.clock.utc_us += 1
    async with site.browser("anna") as second, site.browser() as third:
        site.clock.utc_us += 1
        await sign_in(third)

        assert [await is_signed_in(browser) for browser in (anna, second, third)] == [False, True, True]


# Making an account.


async def test_nobody_makes_an_account_where_that_is_closed(site: Site) -> None:
    """Which it is unless the operator opens it."""
    async with site.browser() as browser:
        wanted = {"email": "carl@cams.example", "name": "Carl", "password": PASSWORD}
        assert (await ask(browser, "POST", "/v1/accounts", wanted)).code == "denied"


async def test_case_35_registering_does_not_tell_who_has_an_account(tmp_path: Path) -> None:
    """The answer is one and the same; what was there stays as it was."""
    async with running_site(tmp_path, registration="open", registered_role="owner") as site:
        await site.person("anna")
        async with site.browser() as browser:
            answers = [
                await ask(
                    browser, "POST", "/v1/accounts", {"email": email, "name": "X", "password": NEW_PASSWORD}
                )
                for email in ("anna@cams.example", "carl@cams.example")
            ]
            assert [(a.status, a.body, "Set-Cookie" in a.headers) for a in answers] == [
                (202, None, False)
            ] * 2

            assert (await sign_in(browser, "anna", NEW_PASSWORD)).code == "sign_in_failed"
            assert (await sign_in(browser, "anna")).status == 200
            carl = await sign_in(browser, "carl", NEW_PASSWORD)
            assert (carl.body["account"]["role"], carl.body["account"]["tenant"]) == ("owner", "main")


async def test_an_invitation_is_for_one_account_of_its_kind(tmp_path: Path) -> None:
    """Without one nobody registers; with one, only what it says; not after its time."""
    async with running_site(tmp_path, registration="invite") as site:
        await site.person("olga", role=Role.OPERATOR)
        async with site.browser("olga") as olga, site.browser() as browser:

            async def register(id: str, invitation: str = "") -> Answer:
                wanted = {"email": f"{id}@cams.example", "name": id, "password": PASSWORD}
                return await ask(browser, "POST", "/v1/accounts", wanted | {"invitation": invitation})

            async def invite() -> str:
                answer = await ask(olga, "POST", "/v1/admin/invitations", {"role": "owner", "days": 1})
                return str(answer.body["page"]).removeprefix("/register#invitation=")

            assert (await register("carl")).code == "denied"
            assert (await register("carl", "made-up")).code == "denied"
            code, late = await invite(), await invite()
            assert (await register("olga", code)).status == 202, "it tells nobody who is here"
            assert (await register("carl", code)).status == 202
            assert (await register("dora", code)).code == "denied"
            assert (await sign_in(browser, "carl")).body["account"]["role"] == "owner"
            assert (await ask(browser, "POST", "/v1/admin/invitations", {})).status == 403
            site.clock.utc_us += 86_400 * 1_000_000
            assert await site.store.take_invitation(invitation_digest(late), site.clock.utc_us) is None


async def test_case_18_of_a_hundred_who_use_an_invitation_one_gets_in(site: Site) -> None:
    """At the same time, whoever is first."""
    invitation = Invitation("main", Role.VIEWER, "", site.clock.utc_us + 1)
    await site.store.add_invitation(invitation, b"digest")

    taken = await asyncio.gather(
        *(site.store.take_invitation(b"digest", site.clock.utc_us) for _ in range(100))
    )

    assert [each for each in taken if each is not None] == [invitation]


async def test_one_network_makes_few_accounts(tmp_path: Path) -> None:
    """The sixth waits; other networks do not."""
    async with running_site(tmp_path, registration="open") as site, site.browser() as browser:
        answers = [
            await ask(
                browser,
                "POST",
                "/v1/accounts",
                {"email": f"p{n}@cams.example", "name": "P", "password": PASSWORD},
            )
            for n in range(7)
        ]
        assert [answer.status for answer in answers] == [202] * 5 + [429] * 2
        assert int(answers[-1].headers["Retry-After"]) >= 1


# Abuse.


async def test_case_26_a_cookie_from_before_signing_in_is_not_used(site: Site) -> None:
    """Whoever planted it has nothing."""
    async with site.browser() as browser:
        browser.session.cookie_jar.update_cookies({"camrelay": "planted"})
        assert (await sign_in(browser)).status == 200

        assert cookies(browser)["camrelay"] != "planted"
    async with site.browser() as attacker:
        assert (await ask(attacker, "GET", "/v1/me", Cookie="camrelay=planted")).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},
    ],
)
async def test_case_28_another_sites_form_changes_nothing(
    site: Site, anna: Browser, headers: dict[str, str]
) -> None:
    """Neither as JSON nor as text, nor with another method in a header; signing somebody in neither."""
    for method, path in (
        ("POST", "/v1/me/password"),
        ("PATCH", "/v1/me"),
        ("POST", "/v1/cameras"),
        ("POST", "/v1/logout"),
        ("DELETE", "/v1/me/sessions"),
    ):
        async with anna.request(method, path, json={"name": "Eve"}, headers=headers) as answer:
            assert answer.status == 403, (method, path)
    async with anna.post(
        "/v1/me", data="{}", headers={**headers, "X-HTTP-Method-Override": "PATCH"}
    ) as answer:
        assert answer.status in (403, 404)
    if headers:
        body = {"email": "anna@cams.example", "password": PASSWORD}
        async with anna.post("/v1/login", json=body, headers=headers) as answer:
            assert answer.status == 403
    assert (await ask(anna, "GET", "/v1/me")).body["account"]["name"] == "Anna"


async def test_case_28_json_that_says_it_is_text_is_not_read(anna: Browser) -> None:
    """A form of another site can send that without asking first."""
    async with anna.post(
        "/v1/me/password", data='{"password": "x"}', headers={**OWN_PAGE, "Content-Type": "text/plain"}
    ) as answer:
        assert answer.status == 400


async def test_an_older_browser_shows_its_page_by_origin(anna: Browser) -> None:
    """Without fetch metadata, the origin has to be where the request goes."""
    origin = str(anna.make_url("/").origin())
    async with anna.patch("/v1/me", json={"name": "Anna C."}, headers={"Origin": origin}) as answer:
        assert answer.status == 200


async def test_case_33_no_cache_keeps_what_is_ones_own(anna: Browser) -> None:
    """Whatever a proxy on the way makes of the path or of headers."""
    for path in ("/v1/me", "/v1/me/sessions", "/v1/cameras", "/v1/admin/accounts"):
        answer = await ask(anna, "GET", f"{path}?x=.css", X_Original_URL="/static/a.css")
        assert answer.headers["Cache-Control"] == "no-store", path


async def test_case_34_no_site_reads_accounts(anna: Browser) -> None:
    """No leave is given to any origin."""
    answer = await ask(anna, "GET", "/v1/me", Origin="null")
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_case_35_signing_in_does_not_tell_who_has_an_account(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answer after the same work: an unknown address has its password hashed too, as does none."""
    hashed: list[str] = []
    matches = site.passwords._matches

    def counted(password_hash: str, password: str) -> bool:
        hashed.append(password_hash)
        return matches(password_hash, password)

    monkeypatch.setattr(site.passwords, "_matches", counted)
    answers = []
    async with site.browser() as browser:
        for email in ("anna@cams.example", "nobody@cams.example", "no address", ""):
            body = {"email": email, "password": "wrong"}
            answers.append(await ask(browser, "POST", "/v1/login", body))

    assert {(a.status, a.code, a.body["title"]) for a in answers} == {
        (401, "sign_in_failed", "That address and that password do not go together.")
    }
    assert len(hashed) == len(answers)
    assert len({hash.rpartition("$")[0].rpartition("$")[0] for hash in hashed}) == 1, "as costly"


@pytest.mark.parametrize("extra", ["role", "tenant", "tier", "id", "is_active"])
async def test_case_37_nobody_gives_themselves_a_role(tmp_path: Path, extra: str) -> None:
    """What a request may not set is an unknown field, registering and later."""
    async with running_site(tmp_path, registration="open") as site:
        await site.person("anna")
        async with site.browser("anna") as anna:
            wanted = {"email": "eve@cams.example", "name": "Eve", "password": PASSWORD, extra: "operator"}
            assert (await ask(anna, "POST", "/v1/accounts", wanted)).code == "bad_request"
            assert (await ask(anna, "PATCH", "/v1/me", {extra: "operator"})).code == "bad_request"
            assert await site.store.by_email("eve@cams.example") is None
            assert await site.store.account("anna") == (await site.store.accounts())[0]


async def test_case_37_a_camera_is_its_makers(site: Site, anna: Browser) -> None:
    """Whomever the body names as its owner."""
    await ask(anna, "POST", "/v1/cameras", CAMERA | {"owner": "bert", "tenant": "other"})

    camera = site.lineup.camera("door")
    assert camera is not None
    assert (camera.owner, camera.tenant) == ("anna", "main")
    assert (await ask(anna, "PATCH", "/v1/cameras/door", {"owner": "bert"})).code == "bad_request"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OWNER, Role.STAFF, None])
async def test_case_38_foreign_cameras_are_not_there(site: Site, anna: Browser, role: Role | None) -> None:
    """For nobody but their owner and the operators: the same answer as for one that does not exist."""
    await ask(anna, "POST", "/v1/cameras", CAMERA)
    if role is not None:
        await site.person("eve", role=role)
    async with site.browser("eve" if role else "") as eve:
        for method, body in (("GET", None), ("PATCH", {"title": "Eve's"}), ("DELETE", None)):
            found = [await ask(eve, method, f"/v1/cameras/{camera}", body) for camera in ("door", "none")]
            assert found[0].status == found[1].status in (401, 404), (method, found)
            assert found[0].body["title"] == found[1].body["title"]
        opened = [await ask(eve, "POST", "/v1/media/sessions", {"camera": c}) for c in ("door", "none")]
        assert opened[0].status == opened[1].status in (401, 404)
        assert (await ask(eve, "GET", "/v1/cameras")).body == {"cameras": []}
    assert site.lineup.camera("door") is not None


async def test_case_38_operators_reach_their_tenant_and_no_other(site: Site, anna: Browser) -> None:
    """Its cameras, and its accounts."""
    await ask(anna, "POST", "/v1/cameras", CAMERA)
    await site.person("olga", role=Role.OPERATOR)
    await site.person("otto", role=Role.OPERATOR, tenant="other")
    async with site.browser("olga") as olga, site.browser("otto") as otto:
        assert (await ask(olga, "GET", "/v1/cameras/door")).status == 200
        assert (await ask(olga, "PATCH", "/v1/cameras/door", {"title": "Door"})).status == 200
        assert (await ask(otto, "GET", "/v1/cameras/door")).status == 404
        assert (await ask(otto, "PATCH", "/v1/cameras/door", {"title": "Otto's"})).status == 404
        seen = {
            name: [
                each["name"] for each in (await ask(browser, "GET", "/v1/admin/accounts")).body["accounts"]
            ]
            for name, browser in (("olga", olga), ("otto", otto))
        }
        assert seen["otto"] == ["Otto"]
        assert "Otto" not in seen["olga"]


async def test_an_owner_has_room_for_so_many_cameras(site: Site) -> None:
    """As their tier says."""
    await site.store.set_tier(Tier("main", "home", 1, 10))
    await site.person("carl", tier="home")
    async with site.browser("carl") as carl:
        assert (await ask(carl, "POST", "/v1/cameras", CAMERA)).status == 201
        full = await ask(carl, "POST", "/v1/cameras", CAMERA | {"id": "yard"})
        assert (full.status, full.body["title"]) == (400, "your account has room for 1 cameras")


async def test_whoever_may_not_begin_a_viewing_learns_nothing_of_places(site: Site, anna: Browser) -> None:
    """Room is asked for a right that is there, and once for each viewing."""
    await ask(anna, "POST", "/v1/cameras", CAMERA)
    answer = await ask(anna, "POST", "/v1/media/sessions", {"camera": "door"})
    secret = answer.body["hls"].split("/")[2]

    def request(camera: str = "door", **match_info: str) -> web.Request:
        made = make_request()
        made.match_info.update(camera=camera, **match_info)
        return made

    assert site.gate.may_begin(request(secret=secret))
    assert not site.gate.may_begin(request(secret="another"))
    assert not site.gate.may_begin(request("yard", secret=secret))
    assert not site.gate.may_begin(request())
    assert not site.gate.may_begin(request("yard"))
    await site.gate.authorize(request(secret=secret), "door", Protocol.HLS)
    assert not site.gate.may_begin(request(secret=secret))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 10_000 + b"]" * 10_000,
        b'{"email": ' + b"9" * 5_000 + b"}",
        b'{"email": "\xff\xfe", "password": "x"}',
        b'{"email": "\\ud800", "password": "x"}',
        b'{"email": "a", "password": {}}',
        b"{" + b",".join(b'"k%d":1' % n for n in range(5_000)) + b"}",
        b"",
        b"null",
    ],
)
async def test_case_39_json_that_is_a_bomb_is_a_bad_request(site: Site, body: bytes) -> None:
    """Deep, long, not UTF-8, half a surrogate pair, the wrong type."""
    async with (
        site.browser() as browser,
        browser.post(
            "/v1/login", data=body, headers={**OWN_PAGE, "Content-Type": "application/json"}
        ) as answer,
    ):
        assert answer.status in (400, 401), await answer.text()
        assert b"Traceback" not in await answer.read()


async def test_case_42_an_invented_address_does_not_get_around_the_wait(site: Site) -> None:
    """Failures from one network make it wait, whatever it says of where it comes from."""
    async with site.browser() as browser:
        answers = []
        for n in range(8):
            body = {"email": "anna@cams.example", "password": "wrong"}
            answers.append(await ask(browser, "POST", "/v1/login", body, X_Forwarded_For=f"203.0.113.{n}"))

    assert [answer.status for answer in answers[:5]] == [401] * 5
    assert {answer.status for answer in answers[6:]} == {429}
    assert int(answers[-1].headers["Retry-After"]) >= 1


async def test_case_79_a_storm_of_passwords_is_turned_away(site: Site) -> None:
    """A bounded number is hashed; the rest is told to come back, and nothing is held up."""
    async with site.browser() as browser:
        answers = await asyncio.gather(
            *(sign_in(browser, f"nobody{n}", "wrong") for n in range(QUEUE_LIMIT * 3))
        )
    statuses = [answer.status for answer in answers]
    assert set(statuses) <= {401, 429}
    assert statuses.count(401) >= 1


def test_a_camera_has_an_owner_and_a_tenant() -> None:
    """Those of the file are the operators'."""
    camera = Camera(id="door", url="rtsp://192.0.2.1/")
    assert (camera.owner, camera.tenant) == ("", "main")


async def test_a_password_that_many_people_have_is_not_taken(tmp_path: Path) -> None:
    """Registering, changing it, and from an operator: 400 says that it is too easy to guess."""
    async with running_site(tmp_path, registration="open") as site:
        await site.person("olga", role=Role.OPERATOR)
        common = "123456789987654321"
        assert common in COMMON_PASSWORDS
        account = {"email": "eve@cams.example", "name": "Eve", "password": common}
        async with site.browser("olga") as olga:
            for path in ("/v1/accounts", "/v1/admin/accounts"):
                assert (await ask(olga, "POST", path, account)).code == "bad_request"
            assert (await ask(olga, "POST", "/v1/me/password", {"password": common})).code == "bad_request"
        assert await site.store.by_email("eve@cams.example") is None
