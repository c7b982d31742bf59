"""What a camera's owner gives to others, and on which terms: shares with accounts, and links.

A camera's visibility is a step on a stair; each step lets in whom the one below lets in, and some more.
Nothing here knows who asks: a share or a link holds at a moment or does not, and says when that changes.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterable

import msgspec

from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.schedule import Edge, Hours, state
from camrelay.model import Action

#: What may be given to others. Whoever may manage a camera may give it away, so that is not among them.
SHAREABLE = frozenset({Action.WATCH, Action.SNAPSHOT})


class Visibility(enum.StrEnum):
    """Who may watch a camera, besides its owner."""

    PRIVATE = "private"
    SHARED = "shared"
    LINK = "link"
    MEMBERS = "members"
    PUBLIC = "public"

    def admits(self, step: Visibility) -> bool:
        """Whether this visibility lets in whom `step` lets in."""
        return _STAIR.index(self) >= _STAIR.index(step)


_STAIR = tuple(Visibility)


class Terms(msgspec.Struct, frozen=True):
    """What one may do, and when; times are microseconds of UTC, the hours those of the camera."""

    actions: tuple[Action, ...] = (Action.WATCH,)
    not_before_us: int = 0
    expires_us: int | None = None
    schedule: tuple[Hours, ...] = ()


class Share(msgspec.Struct, frozen=True):
    """One camera, given to one account."""

    id: str
    camera: str
    account: str
    terms: Terms = Terms()


class Link(msgspec.Struct, frozen=True):
    """One camera, given to whoever has the secret of the link.

    `digest` is the secret's hash, `password_hash` "" without a password. `max_uses` is how many media
    sessions may begin by it, None without a limit; `uses` is how many have.
    """

    id: str
    camera: str
    digest: bytes
    terms: Terms = Terms()
    password_hash: str = ""
    max_uses: int | None = None
    uses: int = 0
    name: str = ""

    @property
    def is_used_up(self) -> bool:
        """Whether no media session may begin by it any more."""
        return self.max_uses is not None and self.uses >= self.max_uses


def edge(terms: Terms, zone: datetime.tzinfo, now_us: int) -> Edge:
    """Whether terms hold at `now_us`, and when that may change next; None: never."""
    if terms.expires_us is not None and now_us >= terms.expires_us:
        return Edge(False, None)
    if now_us < terms.not_before_us:
        return Edge(False, terms.not_before_us)
    is_open, at_us = state(terms.schedule, zone, now_us)
    return Edge(is_open, _first(at_us, terms.expires_us))


def _first(*moments: int | None) -> int | None:
    return min((moment for moment in moments if moment is not None), default=None)


class Book:
    """All that owners have given, in memory: what a request needs to know costs no database call."""

    def __init__(self, shares: Iterable[Share] = (), links: Iterable[Link] = ()) -> None:
        self._shares: dict[str, dict[str, Share]] = {}
        self._links: dict[str, dict[str, Link]] = {}
        self._by_digest: dict[bytes, Link] = {}
        self._origins: dict[str, tuple[str, ...]] = {}
        for share in shares:
            self.put_share(share)
        for link in links:
            self.put_link(link)

    def share(self, camera: str, account: str) -> Share | None:
        """What was given to an account of a camera."""
        return self._shares.get(camera, {}).get(account)

    def link(self, camera: str, link_id: str) -> Link | None:
        """A link of a camera, by its id."""
        return self._links.get(camera, {}).get(link_id)

    def by_digest(self, digest: bytes) -> Link | None:
        """The link of a secret's hash."""
        return self._by_digest.get(digest)

    def origins(self, camera: str) -> tuple[str, ...] | None:
        """The sites that may embed a camera; None: every site."""
        return self._origins.get(camera)

    def shares(self, camera: str) -> list[Share]:
        """Every share of a camera, oldest first."""
        return list(self._shares.get(camera, {}).values())

    def links(self, camera: str) -> list[Link]:
        """Every link of a camera, oldest first."""
        return list(self._links.get(camera, {}).values())

    def put_share(self, share: Share) -> None:
        """Adds a share, or replaces that of the same camera and account."""
        self._shares.setdefault(share.camera, {})[share.account] = share

    def drop_share(self, camera: str, account: str) -> Share | None:
        """Takes a share away; None when there is none."""
        return self._shares.get(camera, {}).pop(account, None)

    def put_link(self, link: Link) -> None:
        """Adds a link, or replaces the one of the same id."""
        self._links.setdefault(link.camera, {})[link.id] = link
        self._by_digest[link.digest] = link

    def drop_link(self, camera: str, link_id: str) -> Link | None:
        """Takes a link away; None when there is none."""
        link = self._links.get(camera, {}).pop(link_id, None)
        if link is not None:
            del self._by_digest[link.digest]
        return link

    def set_origins(self, camera: str, origins: tuple[str, ...] | None) -> None:
        """Lets these sites embed a camera; None: every site."""
        self._origins.pop(camera, None)
        if origins is not None:
            self._origins[camera] = origins

    def become(self, other: Book) -> list[Handle]:
        """Takes over all of another book; what hangs on these handles is given no more, or otherwise."""
        gone = self._handles() - other._handles()
        self._shares, self._links = other._shares, other._links
        self._by_digest, self._origins = other._by_digest, other._origins
        return sorted(gone)

    def _handles(self) -> set[Handle]:
        shares = (share.id for of_camera in self._shares.values() for share in of_camera.values())
        links = (id for of_camera in self._links.values() for id in of_camera)
        return {
            *(Handle(HandleKind.SHARE, id) for id in shares),
            *(Handle(HandleKind.LINK, id) for id in links),
        }

    def drop_camera(self, camera: str) -> None:
        """Forgets everything of a camera."""
        self._shares.pop(camera, None)
        self._origins.pop(camera, None)
        for link in self._links.pop(camera, {}).values():
            del self._by_digest[link.digest]


#: For whoever asks where nothing is shared.
NOTHING_SHARED = Book()
