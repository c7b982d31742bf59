"""Invitations by e-mail over HTTP: what is written, and what comes of an answer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from account_site import Answer, Browser, Site, ask
from camrelay import config
from camrelay.auth.account import Role
from camrelay.auth.share import Book
from camrelay.database import Database
from camrelay.invitation_store import LETTERS, OFFERS, REFUSED_ADDRESSES
from camrelay.invitations import ADDRESS_A_DAY
from camrelay.mail.postman import Postman
from camrelay.mailing import Mailing
from camrelay.pages import Pages
from camrelay.sealing import Seal
from camrelay.share_store import ShareStore
from camrelay.sharing import Sharing

SITE = "https://cams.example"


class Post:
    """A site with sharing and letters, which end up in a folder."""

    def __init__(self, folder: Path, database: Database, **options: Any) -> None:
        self.database = database
        self.site = Site(folder, database)
        seal = Seal(bytes(32))
        self.book = Book()
        self.outbox = folder / "outbox"
        self.options = config.Config(
            accounts=config.Accounts(registration="invite"),
            mail=config.Mail(outbox=str(self.outbox), sender="relay@cams.example", site=SITE, **options),
        )
        self.sharing = Sharing(
            ShareStore(database), self.book, self.site.lineup, self.site.store, self.site.passwords,
            self.site.gate, self.site.keys, config.Auth(),
        )  # fmt: skip
        self.mailing = Mailing(
            self.options, database, seal, self.site.store, self.sharing, Pages().letter_words
        )
        # Letters go by the time of day; so does whoever asks for one.
        self.site.clock.utc_us = time.time_ns() // 1000
        self.site.administration._write_to = self.mailing.invitations.write_to
        self.site.routes += [*self.sharing.routes(), *self.mailing.invitations.routes()]
        accounts = self.site.accounts
        accounts._options = self.options.accounts
        # Who is told of a letter sends it before the answer: no test waits for a round.
        self.postman = self.mailing._postman
        assert isinstance(self.postman, Postman)

    async def letters(self) -> list[tuple[str, str, dict[str, str]]]:
        """Recipient, text and tokens by purpose, of every letter written so far and not read yet."""
        assert self.postman is not None
        await self.postman.round()
        found = []
        for path in sorted(self.outbox.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns):
            message = message_from_bytes(path.read_bytes(), policy=policy.default)
            path.unlink()
            text = message.get_content()
            tokens = dict(re.findall(rf"{SITE}/(?:invitation|register)#(\w+)=([\w-]+)", text))
            found.append((str(message["To"]), text, tokens))
        return found

    async def letter(self) -> dict[str, str]:
        """The tokens of the only letter."""
        ((_, _, tokens),) = await self.letters()
        return tokens


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    """Anna owns the camera `door`, Bert watches, Olga is an operator."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'camrelay.db'}")
    await database.open()
    post = Post(tmp_path, database, invitations_a_day=5)
    await post.site.gate.start()
    for id, role in (("anna", Role.OWNER), ("bert", Role.VIEWER), ("olga", Role.OPERATOR)):
        await post.site.person(id, role=role)
    camera = config.Camera(id="door", url="rtsp://192.168.1.2/", title="Front door", owner="anna")
    await post.site.lineup.add(camera)
    yield post
    await post.site.gate.close()
    post.site.passwords.close()
    await database.close()


async def invite(browser: Browser, email: str = "bert@cams.example", **more: Any) -> Answer:
    return await ask(browser, "POST", "/v1/cameras/door/invitations", {"email": email} | more)


async def answer(browser: Browser, purpose: str, tokens: dict[str, str]) -> Answer:
    return await ask(browser, "POST", f"/v1/invitations/{purpose}", {"token": tokens[purpose]})


async def test_an_offer_is_accepted_once_by_whoever_has_the_letter(post: Post) -> None:
    """Signed in with whatever account of the tenant; until then nothing is shared."""
    async with post.site.browser("anna") as anna, post.site.browser("bert") as bert:
        made = await invite(anna, "other@post.example", name="Bert", language="ru", expires=2**31)
        assert (made.status, made.body["name"], made.body["expires"]) == (202, "Bert", 2**31)
        ((to, text, tokens),) = await post.letters()
        assert (to, "Front door" in text, "Anna" in text) == ("other@post.example", True, True)
        assert "Здравствуйте" in text
        assert post.book.shares("door") == []
        shown = await ask(anna, "GET", "/v1/cameras/door/invitations")
        assert [each["name"] for each in shown.body["invitations"]] == ["Bert"]
        assert "post.example" not in str(shown.body)

        assert (await answer(bert, "accept", tokens)).body == {"camera": "door"}

        assert [share.account for share in post.book.shares("door")] == ["bert"]
        assert post.site.lineup.camera("door").visibility == "shared"  # type: ignore[union-attr]
        assert (await answer(bert, "accept", tokens)).status == 404
        assert (await ask(anna, "GET", "/v1/cameras/door/invitations")).body == {"invitations": []}


async def test_a_look_accepts_nothing_and_a_stranger_signs_in_first(post: Post) -> None:
    """The pages of the letter are the same for everybody; GET is no way to answer."""
    async with post.site.browser("anna") as anna, post.site.browser() as stranger:
        await invite(anna)
        tokens = await post.letter()
        for purpose in ("accept", "decline", "erase"):
            assert (await ask(stranger, "GET", f"/v1/invitations/{purpose}")).status == 404
        assert (await answer(stranger, "accept", tokens)).code == "token_required"
        elsewhere = {"Sec_Fetch_Site": "cross-site"}
        for purpose in ("decline", "erase"):
            body = {"token": tokens[purpose]}
            refused = await ask(stranger, "POST", f"/v1/invitations/{purpose}", body, **elsewhere)
            assert refused.status == 403
        assert len((await ask(anna, "GET", "/v1/cameras/door/invitations")).body["invitations"]) == 1


async def test_an_offer_is_a_right_to_one_account(post: Post) -> None:
    """With the token of accepting, as a viewer of the camera's tenant; then it is accepted."""
    async with post.site.browser("anna") as anna, post.site.browser() as new:
        await invite(anna, "dora@post.example")
        tokens = await post.letter()
        wanted = {"name": "Dora", "password": "one long enough to be", "invitation": tokens["accept"]}
        assert (await ask(new, "POST", "/v1/accounts", wanted | {"email": "dora@cams.example"})).status == 202
        again = await ask(new, "POST", "/v1/accounts", wanted | {"email": "eve@cams.example"})
        assert again.status == 403
        dora = await post.site.store.by_email("dora@cams.example")
        assert dora is not None
        assert dora.role is Role.VIEWER
        login = {"email": "dora@cams.example", "password": wanted["password"]}
        assert (await ask(new, "POST", "/v1/login", login)).status == 200
        assert (await answer(new, "accept", tokens)).status == 200


async def test_case_36_of_many_who_accept_at_once_one_does(post: Post) -> None:
    """Whoever was first; nobody else is given anything."""
    async with (
        post.site.browser("anna") as anna,
        post.site.browser("bert") as bert,
        post.site.browser("olga") as olga,
    ):
        await invite(anna)
        tokens = await post.letter()
        answers = await asyncio.gather(
            *(answer(browser, "accept", tokens) for browser in (bert, olga) for _ in range(20))
        )
    assert sorted({each.status for each in answers}) == [200, 404]
    assert [each.status for each in answers].count(200) == 1
    assert len(post.book.shares("door")) == 1


@pytest.mark.parametrize("how", ["decline", "withdraw", "camera", "tenant", "late", "private"])
async def test_an_offer_that_is_over_opens_nothing(post: Post, how: str) -> None:
    """Declined, withdrawn, of a camera that is gone or private again, late, or of another tenant."""
    async with post.site.browser("anna") as anna:
        made = await invite(anna)
        tokens = await post.letter()
        if how == "decline":
            for _ in range(2):
                assert (await answer(anna, "decline", tokens)).status == 204
        elif how == "withdraw":
            path = f"/v1/cameras/door/invitations/{made.body['id']}"
            assert [(await ask(anna, "DELETE", path)).status for _ in range(2)] == [204, 404]
        elif how == "camera":
            await post.mailing.forget_camera("door")
        elif how == "tenant":
            await post.site.person("tina", tenant="other", role=Role.OPERATOR)
        elif how == "private":
            await post.site.lineup.change("door", {"visibility": "private"})
        else:
            post.mailing.invitations._utc_us = lambda: time.time_ns() // 1000 + 8 * 86_400_000_000
    async with post.site.browser("tina" if how == "tenant" else "bert") as browser:
        assert (await answer(browser, "accept", tokens)).status == 404
    assert post.book.shares("door") == []


async def test_tokens_are_for_their_purpose_and_made_here(post: Post) -> None:
    """403 for every other, whatever it looks like."""
    async with post.site.browser("anna") as anna:
        await invite(anna)
        tokens = await post.letter()
        for token in (tokens["decline"], "x", "", tokens["erase"][:-1] + "x"):
            for purpose in ("accept", "erase"):
                assert (await answer(anna, purpose, {purpose: token})).code == "denied"


async def test_an_erased_address_is_nowhere_and_never_written_to_again(post: Post, tmp_path: Path) -> None:
    """Its invitations end with it, also the letter that still waits; what stays is a keyed hash."""
    async with post.site.browser("anna") as anna, post.site.browser() as stranger:
        await invite(anna, "bert@post.example")
        tokens = await post.letter()
        await invite(anna, "bert@post.example")
        for _ in range(2):
            assert (await answer(stranger, "erase", tokens)).status == 204

        assert await post.letters() == []
        assert (await ask(anna, "GET", "/v1/cameras/door/invitations")).body == {"invitations": []}
        assert await post.database.fetch(sa.select(OFFERS)) == []
        assert {row["mark"] for row in await post.database.fetch(sa.select(LETTERS))} == {None}
        assert len(await post.database.fetch(sa.select(REFUSED_ADDRESSES))) == 1
        wanted = {"name": "B", "password": "one long enough to be", "invitation": tokens["accept"]}
        refused = await ask(stranger, "POST", "/v1/accounts", wanted | {"email": "b@post.example"})
        assert refused.status == 403
        kept = b"".join(path.read_bytes() for path in tmp_path.glob("camrelay.db*"))
        assert b"bert@post.example" not in kept

        # Case 75: whoever invites again is answered as ever, and sees what they would see.
        again = await invite(anna, "bert@post.example")
        assert again.status == 202
        assert len((await ask(anna, "GET", "/v1/cameras/door/invitations")).body["invitations"]) == 1
        assert await post.letters() == []


async def test_case_35_an_answer_does_not_tell_who_has_an_account_or_wants_no_letters(post: Post) -> None:
    """The same answer for a known address, an unknown one, and one that was written to too often."""
    async with post.site.browser("olga") as olga:
        path, shapes = "/v1/cameras/door/invitations", set()
        known = ["bert@cams.example", "nobody@post.example", *["often@post.example"] * (ADDRESS_A_DAY - 1)]
        for email in known:
            made = await ask(olga, "POST", path, {"email": email})
            shapes.add((made.status, tuple(made.body), made.body["name"], made.body["holds"]))
        assert len(shapes) == 1
        texts = {re.sub(r"=[\w-]+|<\S+>", "", text).replace(to, "") for to, text, _ in await post.letters()}
        assert len(texts) == 1


async def test_case_74_nobody_writes_to_many(post: Post) -> None:
    """Five letters a day of one account here, and three to one address by everybody together."""
    async with post.site.browser("anna") as anna, post.site.browser("olga") as olga:
        for number in range(5):
            assert (await invite(anna, "one@post.example" if number else "two@post.example")).status == 202
        refused = await invite(anna, "three@post.example")
        assert (refused.status, "Retry-After" in refused.headers) == (429, True)
        # Withdrawing gives nothing back, and another account is not kept from writing.
        for each in (await ask(anna, "GET", "/v1/cameras/door/invitations")).body["invitations"]:
            await ask(anna, "DELETE", f"/v1/cameras/door/invitations/{each['id']}")
        assert (await invite(anna, "three@post.example")).status == 429
        assert (await invite(olga, "one@post.example")).status == 202
        assert (await invite(olga, "three@post.example")).status == 202
    assert sorted(to for to, _, _ in await post.letters()) == ["three@post.example"]
    # All others were withdrawn before they were sent, and one@ had its three.


async def test_the_queue_is_bounded(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many accounts there are."""
    monkeypatch.setattr("camrelay.invitations.QUEUE_LIMIT", 1)
    async with post.site.browser("anna") as anna:
        assert (await invite(anna, "one@post.example")).status == 202
        assert (await invite(anna, "two@post.example")).status == 429


async def test_an_operator_writes_to_whoever_may_make_an_account(post: Post) -> None:
    """The page is in the letter and in no answer."""
    async with post.site.browser("olga") as olga, post.site.browser() as new:
        wanted = {"role": "owner", "email": "dora@post.example"}
        made = await ask(olga, "POST", "/v1/admin/invitations", wanted)
        assert (made.status, made.body["page"]) == (201, "")
        tokens = await post.letter()
        account = {"name": "Dora", "email": "dora@post.example", "password": "one long enough to be"}
        account["invitation"] = tokens["invitation"]
        assert (await ask(new, "POST", "/v1/accounts", account)).status == 202
        dora = await post.site.store.by_email("dora@post.example")
        assert dora is not None
        assert dora.role is Role.OWNER


async def test_a_declined_invitation_makes_no_account(post: Post) -> None:
    """Nor does one whose owner had the address erased."""
    async with post.site.browser("olga") as olga:
        for purpose in ("decline", "erase"):
            await ask(olga, "POST", "/v1/admin/invitations", {"email": f"{purpose}@post.example"})
            tokens = await post.letter()
            assert (await answer(olga, purpose, tokens)).status == 204
            account = {"name": "Dora", "email": "dora@post.example", "password": "one long enough to be"}
            account["invitation"] = tokens["invitation"]
            assert (await ask(olga, "POST", "/v1/accounts", account)).status == 403


async def test_whose_record_is_erased_is_forgotten_here_too(post: Post) -> None:
    """Without being refused: they may be invited again."""
    async with post.site.browser("anna") as anna:
        await invite(anna)
        await post.mailing.invitations.forget("bert@cams.example")
        assert await post.letters() == []
        await invite(anna)
        assert len(await post.letters()) == 1


@pytest.mark.parametrize("body", [{"email": "x"}, {"email": "a@b.example", "actions": ["manage"]}])
async def test_what_cannot_be_offered_is_refused(post: Post, body: dict[str, Any]) -> None:
    """No address, or terms that no share may have; and nothing at all of somebody else's camera."""
    async with post.site.browser("anna") as anna, post.site.browser("bert") as bert:
        path = "/v1/cameras/door/invitations"
        assert (await ask(anna, "POST", path, body)).status == 400
        for method, where in (("POST", path), ("GET", path), ("DELETE", f"{path}/x")):
            assert (await ask(bert, method, where, body)).status in (403, 404)
    assert await post.letters() == []


async def test_case_32_links_begin_with_the_configured_site_alone(post: Post) -> None:
    """Whatever a request says about its host, in every header that proxies use."""
    async with post.site.browser("anna") as anna:
        evil = "evil.example"
        names = {"Host": evil, "X_Forwarded_Host": evil, "X_Original_Host": evil, "Forwarded": f"host={evil}"}
        path = "/v1/cameras/door/invitations"
        assert (await ask(anna, "POST", path, {"email": "b@post.example"}, **names)).status == 202
    ((_, text, _),) = await post.letters()
    assert evil not in text
    assert set(re.findall(r"https?://[^/\s:,]+", text)) == {SITE}


async def test_without_mail_nobody_is_invited(tmp_path: Path) -> None:
    """The answer says where to set it up."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'camrelay.db'}")
    await database.open()
    post = Post(tmp_path, database)
    silent = Mailing(config.Config(), database, Seal(bytes(32)), post.site.store, post.sharing, lambda _: {})
    silent.start()
    await silent.stop()
    await post.site.gate.start()
    await post.site.person("olga", role=Role.OPERATOR)
    post.site.administration._write_to = silent.invitations.write_to
    async with post.site.browser("olga") as olga:
        refused = await ask(olga, "POST", "/v1/admin/invitations", {"email": "a@post.example"})
        assert refused.code == "bad_request"
    await post.site.gate.close()
    post.site.passwords.close()
    await database.close()
