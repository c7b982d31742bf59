"""Sharing over HTTP: what a camera's owner gives to others, who watches by it now, and the way in by a link.

What is given is stored first. What is taken away has ended before the answer, also while the database does
not answer: then it holds until a restart, and the answer says to repeat it. To everybody but its owner a
camera's sharing is as unknown as the camera.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence

from aiohttp import web

from camrelay.account_store import AccountStore
from camrelay.auth.account import Account, normalise_email
from camrelay.auth.gate import Gate
from camrelay.auth.keys import KeyRing
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.mint import mint
from camrelay.auth.password import Passwords
from camrelay.auth.patience import Patience
from camrelay.auth.policy import members_of
from camrelay.auth.schedule import zone_of
from camrelay.auth.session import SessionInfo
from camrelay.auth.share import Book, Link, Share, Terms, Visibility, edge
from camrelay.config import Auth, Camera
from camrelay.errors import AccessDenied, BadRequest, LinkPassword, NotFound, TooManyRequests
from camrelay.lineup import Lineup
from camrelay.server import Route, body, json_response
from camrelay.share_store import ShareStore
from camrelay.share_views import (
    ORIGIN,
    EmbedRequest,
    LinkRequest,
    LinkView,
    OpenedLink,
    OpenRequest,
    ShareRequest,
    ShareView,
    SharingView,
    TermsRequest,
    WatcherList,
    WatcherView,
    terms_of,
    terms_view,
)

#: More people than anybody keeps in mind, and a bound on what a camera's owner can make us hold in memory.
MAX_SHARES = 500
MAX_LINKS = 50
#: How long a browser that came by a link may watch before it has to open the link again.
LINK_S = 12 * 3600


class Sharing:
    """The handlers."""

    def __init__(
        self,
        store: ShareStore,
        book: Book,
        lineup: Lineup,
        accounts: AccountStore,
        passwords: Passwords,
        gate: Gate,
        keys: KeyRing,
        options: Auth,
    ) -> None:
        self._store = store
        self._book = book
        self._lineup = lineup
        self._accounts = accounts
        self._passwords = passwords
        self._gate = gate
        self._keys = keys
        self._options = options
        #: Wrong passwords of links, by link and network; and addresses without an account, by who tries them.
        self._guesses = Patience(free=5, longest_s=900.0)
        self._lookups = Patience(free=20, longest_s=900.0)

    def routes(self) -> list[Route]:
        """The route table."""
        root = "/v1/cameras/{camera}"
        return [
            Route("GET", f"{root}/sharing", self.show, gives=SharingView),
            Route("POST", f"{root}/shares", self.share, ShareRequest, ShareView, 201),
            Route("PUT", f"{root}/shares/{{account}}", self.change_share, TermsRequest, ShareView),
            Route("DELETE", f"{root}/shares/{{account}}", self.stop_share, status=204),
            Route("POST", f"{root}/links", self.add_link, LinkRequest, LinkView, 201),
            Route("DELETE", f"{root}/links/{{link}}", self.stop_link, status=204),
            Route("PUT", f"{root}/embed", self.set_embed, EmbedRequest, status=204),
            Route("GET", f"{root}/watchers", self.list_watchers, gives=WatcherList),
            Route("DELETE", f"{root}/watchers/{{session}}", self.end_watcher, status=204),
            Route("POST", "/v1/links/open", self.open_link, OpenRequest, OpenedLink, 201),
        ]

    async def open(self) -> None:
        """Reads what is given; after that no request waits for the database."""
        await self._store.read(self._book)

    async def camera_changed(self, camera: Camera) -> None:
        """Ends what runs by a step that the camera's visibility no longer has."""
        visibility = Visibility(camera.visibility)
        ended = [] if visibility is Visibility.MEMBERS else [members_of(camera.id)]
        if not visibility.admits(Visibility.SHARED):
            ended += [Handle(HandleKind.SHARE, share.id) for share in self._book.shares(camera.id)]
        if not visibility.admits(Visibility.LINK):
            ended += [Handle(HandleKind.LINK, link.id) for link in self._book.links(camera.id)]
        for handle in ended:
            await self._gate.revoke(handle)

    async def camera_removed(self, camera: str) -> None:
        """Forgets what was given of a camera: another of the same id begins with nothing."""
        await self._store.forget(camera)
        self._book.drop_camera(camera)

    async def show(self, request: web.Request) -> web.Response:
        """Everything that is given of a camera."""
        camera = self.own(request)
        shares = [
            self._share_view(camera, share, account)
            for share in self._book.shares(camera.id)
            if (account := await self._accounts.account(share.account)) is not None
        ]
        links = [self._link_view(camera, link) for link in self._book.links(camera.id)]
        visibility, origins = Visibility(camera.visibility), self._book.origins(camera.id)
        title = camera.title or camera.id
        return json_response(
            SharingView(camera.id, title, camera.time_zone, visibility, shares, links, origins)
        )

    async def share(self, request: web.Request) -> web.Response:
        """Shares a camera with an account of its tenant; one that is private is shared from now on."""
        camera, wanted = self.own(request), await body(request, ShareRequest)
        terms, account = terms_of(wanted), await self._by_email(request, camera, wanted.email)
        if len(self._book.shares(camera.id)) >= MAX_SHARES:
            raise BadRequest(f"a camera is shared with {MAX_SHARES} people at most")
        await self.raise_to(camera, Visibility.SHARED)
        share = await self.give(camera, account, terms)
        return json_response(self._share_view(camera, share, account), status=201)

    async def change_share(self, request: web.Request) -> web.Response:
        """Gives a share other terms. Whoever watches by the old ones begins again by the new."""
        camera, wanted = self.own(request), await body(request, TermsRequest)
        account = await self._accounts.account(request.match_info["account"])
        if account is None or self._book.share(camera.id, account.id) is None:
            raise NotFound("no such share")
        share = await self.give(camera, account, terms_of(wanted))
        return json_response(self._share_view(camera, share, account))

    async def stop_share(self, request: web.Request) -> web.Response:
        """Takes a camera away from an account; what runs by it has ended before the answer."""
        camera, account = self.own(request), request.match_info["account"]
        share = self._book.drop_share(camera.id, account)
        if share is not None:
            await self._gate.revoke(Handle(HandleKind.SHARE, share.id))
        # Also after a database that did not answer: then it holds already, and is repeated to be stored.
        if not await self._store.drop_share(camera.id, account):
            raise NotFound("no such share")
        return web.Response(status=204)

    async def add_link(self, request: web.Request) -> web.Response:
        """Makes a link that opens a camera for whoever has it."""
        camera, wanted = self.own(request), await body(request, LinkRequest)
        terms = terms_of(wanted)
        if len(self._book.links(camera.id)) >= MAX_LINKS:
            raise BadRequest(f"a camera has {MAX_LINKS} links at most")
        await self.raise_to(camera, Visibility.LINK)
        secret = secrets.token_urlsafe(20)
        link = Link(
            id=secrets.token_hex(8),
            camera=camera.id,
            digest=_digest(secret),
            terms=terms,
            password_hash=await self._passwords.hash(wanted.password) if wanted.password else "",
            max_uses=wanted.max_uses,
            name=wanted.name,
        )
        await self._store.add_link(link)
        self._book.put_link(link)
        return json_response(self._link_view(camera, link, secret), status=201)

    async def stop_link(self, request: web.Request) -> web.Response:
        """Takes a link back; what runs by it has ended before the answer."""
        camera, id = self.own(request), request.match_info["link"]
        if self._book.drop_link(camera.id, id) is not None:
            await self._gate.revoke(Handle(HandleKind.LINK, id))
        if not await self._store.drop_link(camera.id, id):
            raise NotFound("no such link")
        return web.Response(status=204)

    async def open_link(self, request: web.Request) -> web.Response:
        """Exchanges a link, with its password if it has one, for a grant that ends with it."""
        wanted = await body(request, OpenRequest)
        link = self._book.by_digest(_digest(wanted.secret))
        camera = self._lineup.camera(link.camera) if link else None
        if link is None or camera is None or not Visibility(camera.visibility).admits(Visibility.LINK):
            raise NotFound("no such link")
        now_us = time.time_ns() // 1000
        holds, until_us = edge(link.terms, zone_of(camera.time_zone), now_us)
        if not holds:
            raise AccessDenied("link_not_now") if until_us else NotFound("no such link")
        await self._check_password(request, link, wanted.password)
        used = await self._store.use_link(link.id)
        if used is None or self._book.link(link.camera, link.id) is None:
            raise NotFound("no such link")
        self._book.put_link(used)
        life_s = min(LINK_S, self._options.max_token_life_s)
        if until_us is not None:
            life_s = max(1, min(life_s, (until_us - now_us) // 1_000_000))
        grant, raw = mint(
            self._keys,
            self._options,
            cameras=[camera.id],
            actions=link.terms.actions,
            life_s=life_s,
            subject=f"link-{link.id}",
            link=link.id,
            now_us=now_us,
        )
        opened = OpenedLink(grant.id, raw, grant.expires_us // 1_000_000, camera.id)
        return json_response(opened, status=201)

    async def set_embed(self, request: web.Request) -> web.Response:
        """Says which sites may embed a camera."""
        camera, wanted = self.own(request), await body(request, EmbedRequest)
        origins = wanted.allowed_origins
        if origins is not None and not all(map(ORIGIN.fullmatch, origins)):
            raise BadRequest("an origin looks like https://hotel.example, without a path")
        await self._store.set_origins(camera.id, origins)
        self._book.set_origins(camera.id, origins)
        return web.Response(status=204)

    async def list_watchers(self, request: web.Request) -> web.Response:
        """Who watches a camera now."""
        watching = self._watching(self.own(request))
        names = {each.subject: await self._name(each) for each in watching}
        return json_response(
            WatcherList(
                [
                    WatcherView(
                        session=each.id,
                        who=names[each.subject],
                        method=each.method,
                        protocols=sorted({viewing.protocol for viewing in each.viewings}),
                        network=each.ip_prefix,
                        agent=each.agent,
                        since_us=each.opened_us,
                        until_us=each.expires_us,
                    )
                    for each in watching
                ]
            )
        )

    async def end_watcher(self, request: web.Request) -> web.Response:
        """Ends one viewing of a camera, and keeps whom it was from the camera for ten minutes."""
        id = request.match_info["session"]
        is_here = id in [each.id for each in self._watching(self.own(request))]
        if not (is_here and await self._gate.send_away(id)):
            raise NotFound("no such session")
        return web.Response(status=204)

    def camera(self, camera_id: str) -> Camera | None:
        """A camera, whoever asks; None when there is none."""
        return self._lineup.camera(camera_id)

    def own(self, request: web.Request) -> Camera:
        """The camera of a request, whose owner sends it; NotFound for everybody else."""
        manages = self._gate.permissions.manages(request)
        camera = self._lineup.camera(request.match_info["camera"])
        if camera is None or not manages(camera):
            raise NotFound("no such camera")
        return camera

    async def raise_to(self, camera: Camera, step: Visibility) -> None:
        """Lets a camera be given to whom `step` lets in."""
        if not Visibility(camera.visibility).admits(step):
            await self._lineup.change(camera.id, {"visibility": step.value})

    async def give(self, camera: Camera, account: Account, terms: Terms) -> Share:
        """Shares a camera with an account, in place of what it had of it."""
        share = Share(secrets.token_hex(8), camera.id, account.id, terms)
        before = self._book.share(camera.id, account.id)
        await self._store.put_share(share)
        self._book.put_share(share)
        if before is not None:
            await self._gate.revoke(Handle(HandleKind.SHARE, before.id))
        return share

    def _watching(self, camera: Camera) -> Sequence[SessionInfo]:
        return [each for each in self._gate.sessions() if each.camera == camera.id and each.viewings]

    async def _name(self, session: SessionInfo) -> str:
        if session.method == "link":
            link = self._book.link(session.camera, session.subject.removeprefix("link-"))
            return link.name if link else ""
        if session.method in ("account", "share", "member"):
            account = await self._accounts.account(session.subject)
            return account.name if account else ""
        return session.subject

    async def _by_email(self, request: web.Request, camera: Camera, email: str) -> Account:
        """The account of an address; whoever tries out many addresses has to wait longer each time."""
        key, now = self._gate.client(request).ip_prefix, time.monotonic()
        wait_s = self._lookups.wait_s(key, now)
        if wait_s > 0:
            raise TooManyRequests("too many unknown addresses", retry_after_s=int(wait_s) + 1)
        account = await self._accounts.by_email(normalise_email(email))
        if account is None or account.tenant != camera.tenant:
            self._lookups.fail(key, now)
            raise BadRequest("nobody has an account with this address")
        return account

    async def _check_password(self, request: web.Request, link: Link, password: str) -> None:
        if not link.password_hash:
            return
        if not password:
            raise LinkPassword("password_missing")
        key, now = (link.id, self._gate.client(request).ip_prefix), time.monotonic()
        wait_s = self._guesses.wait_s(key, now)
        if wait_s > 0:
            raise TooManyRequests("too many wrong passwords", retry_after_s=int(wait_s) + 1)
        if not await self._passwords.verify(link.password_hash, password):
            self._guesses.fail(key, now)
            raise LinkPassword("password_wrong")

    def _share_view(self, camera: Camera, share: Share, account: Account) -> ShareView:
        view = terms_view(camera, share.terms)
        return ShareView(account=account.id, name=account.name, email=account.email, **view)

    def _link_view(self, camera: Camera, link: Link, secret: str | None = None) -> LinkView:
        return LinkView(
            id=link.id,
            name=link.name,
            has_password=bool(link.password_hash),
            max_uses=link.max_uses,
            uses=link.uses,
            secret=secret,
            **terms_view(camera, link.terms),
        )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
