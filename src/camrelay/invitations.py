"""Invitations by e-mail over HTTP: owners offer a camera, operators an account, and whoever was written to
accepts, declines, or has their address erased.

To the one who invites the answer is the same for every address: whether it has an account, whether its owner
wants letters, or had too many today. The pages that a letter links to show something and change nothing; that
takes their button, so no program that looks at links accepts or declines by it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from typing import Annotated, NamedTuple

import msgspec
from aiohttp import web
from msgspec import Meta

from camrelay import config
from camrelay.account_store import AccountStore
from camrelay.account_views import Language, Text
from camrelay.accounts import invitation_digest
from camrelay.auth import invitation
from camrelay.auth.account import Invitation, Role, normalise_email, normalise_name
from camrelay.auth.cookie import check_origin
from camrelay.auth.invitation import Purpose
from camrelay.auth.share import Visibility
from camrelay.auth.websession import signed_in
from camrelay.errors import AccessDenied, BadRequest, NotFound, TokenMissing, TooManyRequests
from camrelay.invitation_store import Entry, InvitationStore, Offer, Waiting
from camrelay.mail.letter import Envelope, Letter, Links, compose
from camrelay.server import Route, body, json_response
from camrelay.share_views import OfferView, TermsRequest, terms_of, terms_view
from camrelay.sharing import MAX_SHARES, Sharing

#: Letters that wait, of everybody: more than a day's, and no more than a stolen account can do harm with.
QUEUE_LIMIT = 1000
#: Letters to one address, whoever writes them.
ADDRESS_A_DAY = 3
#: How long an offer holds.
OFFER_DAYS = 7

_DAY_US = 86_400 * 1_000_000


class InvitationRequest(TermsRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/cameras/{camera}/invitations; `name` is a note that only the camera's owner sees."""

    email: Text
    name: Annotated[str, Meta(max_length=100)] = ""
    language: Language = "en"


class OfferList(msgspec.Struct, frozen=True):
    """What is offered of a camera, oldest first."""

    invitations: list[OfferView]


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of a letter's link."""

    token: Text


class AcceptedView(msgspec.Struct, frozen=True):
    """The camera that is shared now."""

    camera: str


class Post(NamedTuple):
    """What letters are written with."""

    envelope: Envelope
    words: Callable[[str], dict[str, str]]
    mark: invitation.Mark


def write(post: Post, waiting: Waiting) -> EmailMessage:
    """The message of a letter, with its links."""
    letter, site = waiting.letter, post.envelope.site
    accept = invitation.sign(post.mark, Purpose.ACCEPT, waiting.id)
    decline = invitation.sign(post.mark, Purpose.DECLINE, waiting.id)
    address = invitation.address_mark(post.mark, letter.email)
    erase = invitation.sign(post.mark, Purpose.ERASE, address)
    # Behind the # a token reaches no server's log, and no referrer.
    page = "invitation#accept" if letter.title else "register#invitation"
    links = Links(
        accept=f"{site}/{page}={accept}",
        decline=f"{site}/invitation#decline={decline}",
        erase=f"{site}/invitation#erase={erase}",
    )
    words = post.words(letter.language)
    return compose(letter, links, post.envelope, words, id=waiting.id, now_us=waiting.created_us)


class Invitations:
    """The handlers.

    Args:
        mark: makes keyed hashes.
        wake: says that there is a letter; None when no mail is sent here.
        registration: whether who is invited to a camera may make an account for it.
        tidy: leaves nothing of what was erased in the database's files.
        utc_us: the clock, microseconds of UTC.
    """

    def __init__(
        self,
        store: InvitationStore,
        accounts: AccountStore,
        sharing: Sharing,
        options: config.Mail,
        *,
        mark: invitation.Mark,
        wake: Callable[[], None] | None,
        registration: bool,
        tidy: Callable[[], Awaitable[None]],
        utc_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._sharing = sharing
        self._options = options
        self._mark = mark
        self._wake = wake
        self._registration = registration
        self._tidy = tidy
        self._utc_us = utc_us
        #: Nobody gets by a limit by asking twice at once.
        self._counting = asyncio.Lock()

    def routes(self) -> list[Route]:
        """The route table."""
        root = "/v1/cameras/{camera}/invitations"
        return [
            Route("GET", root, self.show, gives=OfferList),
            Route("POST", root, self.invite, InvitationRequest, OfferView, 202),
            Route("DELETE", f"{root}/{{invitation}}", self.take_back, status=204),
            Route("POST", "/v1/invitations/accept", self.accept, TokenRequest, AcceptedView),
            Route("POST", "/v1/invitations/decline", self.decline, TokenRequest, status=204),
            Route("POST", "/v1/invitations/erase", self.erase, TokenRequest, status=204),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """What is offered of a camera; addresses are not kept."""
        camera = self._sharing.own(request)
        offers = await self._store.offers(camera.id, self._utc_us())
        return json_response(OfferList([_view(camera, each) for each in offers]))

    async def invite(self, request: web.Request) -> web.Response:
        """Writes to an address that a camera is shared with it, if its owner accepts."""
        camera, wanted = self._sharing.own(request), await body(request, InvitationRequest)
        now_us, person = self._utc_us(), signed_in(request)
        if len(await self._store.offers(camera.id, now_us)) >= MAX_SHARES:
            raise BadRequest(f"{MAX_SHARES} people at most are invited to a camera")
        ends_us = now_us + OFFER_DAYS * _DAY_US
        name = normalise_name(wanted.name) if wanted.name else ""
        offer = Offer(secrets.token_hex(8), camera.id, name, terms_of(wanted), ends_us)
        letter = Letter(
            email=normalise_email(wanted.email),
            language=wanted.language,
            inviter=person.account.name if person else "",
            title=camera.title or camera.id,
            ends_us=ends_us,
        )
        if self._registration:
            right = Invitation(camera.tenant, Role.VIEWER, "", ends_us)
            await self._accounts.add_invitation(right, invitation_digest(self._code(offer.id)))
        await self._add(request, letter, offer.id, offer)
        await self._sharing.raise_to(camera, Visibility.SHARED)
        return json_response(_view(camera, offer), status=202)

    async def write_to(self, request: web.Request, email: str, language: str, right: Invitation) -> None:
        """Writes to an address that somebody may make an account there."""
        person, id = signed_in(request), secrets.token_hex(8)
        inviter = person.account.name if person else ""
        letter = Letter(normalise_email(email), language, inviter, "", right.expires_us)
        await self._accounts.add_invitation(right, invitation_digest(self._code(id)))
        await self._add(request, letter, id)

    async def take_back(self, request: web.Request) -> web.Response:
        """Takes an offer back."""
        camera, id = self._sharing.own(request), request.match_info["invitation"]
        if id not in [each.id for each in await self._store.offers(camera.id, self._utc_us())]:
            raise NotFound("no such invitation")
        await self._drop(id)
        return web.Response(status=204)

    async def accept(self, request: web.Request) -> web.Response:
        """Shares what was offered with the account that is signed in, whatever its address."""
        person, id = signed_in(request), await self._subject(request, Purpose.ACCEPT)
        if person is None:
            raise TokenMissing("not_signed_in")
        offer = await self._store.offer(id, self._utc_us())
        camera = None if offer is None else self._sharing.camera(offer.camera)
        is_open = camera is not None and Visibility(camera.visibility).admits(Visibility.SHARED)
        if offer is None or camera is None or not is_open or camera.tenant != person.account.tenant:
            raise NotFound("no such invitation")
        if not await self._store.take(id):
            raise NotFound("no such invitation")
        await self._sharing.give(camera, person.account, offer.terms)
        await self._drop(id)
        return json_response(AcceptedView(camera.id))

    async def decline(self, request: web.Request) -> web.Response:
        """Ends an invitation; the answer is the same whether it was still there."""
        await self._drop(await self._subject(request, Purpose.DECLINE))
        return web.Response(status=204)

    async def erase(self, request: web.Request) -> web.Response:
        """Forgets an address everywhere but in the account that it may have, and writes to it no more."""
        await self.forget_address(await self._subject(request, Purpose.ERASE), refuse=True)
        await self._tidy()
        return web.Response(status=204)

    async def forget(self, email: str) -> None:
        """Forgets what was written to an address."""
        await self.forget_address(invitation.address_mark(self._mark, email), refuse=False)

    async def forget_address(self, mark: str, *, refuse: bool) -> None:
        """Forgets what was written to the address of a mark; `refuse`: and writes to it no more."""
        for id in await self._store.erase(mark, refuse=refuse):
            await self._drop(id)

    async def _add(self, request: web.Request, letter: Letter, id: str, offer: Offer | None = None) -> None:
        if self._wake is None:
            raise BadRequest("no e-mail is sent here; see [mail]")
        person, now_us = signed_in(request), self._utc_us()
        writer = person.account.id if person else None
        mark, day_us = invitation.address_mark(self._mark, letter.email), now_us - _DAY_US
        async with self._counting:
            if await self._store.written_by(writer, day_us) >= self._options.invitations_a_day:
                raise TooManyRequests("no more invitations today", retry_after_s=3600)
            if await self._store.waiting() >= QUEUE_LIMIT:
                raise TooManyRequests("too many letters wait", retry_after_s=600)
            is_wanted = not await self._store.is_refused(mark)
            is_wanted &= await self._store.written_to(mark, day_us) < ADDRESS_A_DAY
            entry = Entry(id, writer, mark, now_us, letter.ends_us)
            await self._store.add(entry, letter if is_wanted else None, offer)
        self._wake()

    async def _drop(self, id: str) -> None:
        """Ends an invitation, with the right to make an account and the letter, if that still waits."""
        await self._store.take(id)
        await self._store.close(id)
        await self._accounts.take_invitation(invitation_digest(self._code(id)), self._utc_us())

    def _code(self, id: str) -> str:
        return invitation.sign(self._mark, Purpose.ACCEPT, id)

    async def _subject(self, request: web.Request, purpose: Purpose) -> str:
        check_origin(request, has_cookie=False)
        wanted = await body(request, TokenRequest)
        subject = invitation.subject_of(self._mark, purpose, wanted.token)
        if subject is None:
            raise AccessDenied("unknown_invitation")
        return subject


def _view(camera: config.Camera, offer: Offer) -> OfferView:
    return OfferView(
        id=offer.id, name=offer.name, ends_at=offer.ends_us // 1_000_000, **terms_view(camera, offer.terms)
    )
