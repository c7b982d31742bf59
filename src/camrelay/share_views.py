"""What sharing looks like on the wire: bodies, answers, and the way between them and what is kept."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from camrelay.auth.schedule import Hours, zone_of
from camrelay.auth.share import SHAREABLE, Terms, Visibility, edge
from camrelay.config import Camera
from camrelay.errors import BadRequest
from camrelay.model import Action
from camrelay.rights import TokenView

#: A site, as browsers name it (RFC 6454 §6.1).
ORIGIN = re.compile(r"https?://(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")

_Seconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]


class TermsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one may do and when: seconds of UTC, and hours of the camera's own week."""

    actions: Annotated[tuple[Action, ...], Meta(min_length=1, max_length=4)] = (Action.WATCH,)
    not_before: _Seconds | None = None
    expires: _Seconds | None = None
    schedule: Annotated[tuple[Hours, ...], Meta(max_length=50)] = ()


class ShareRequest(TermsRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/cameras/{camera}/shares: whom, by the address of their account."""

    email: Annotated[str, Meta(max_length=254)]


class LinkRequest(TermsRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """POST /v1/cameras/{camera}/links."""

    name: Annotated[str, Meta(max_length=100)] = ""
    password: Annotated[str, Meta(max_length=256)] = ""
    max_uses: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class OpenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/links/open."""

    secret: Annotated[str, Meta(max_length=64)]
    password: Annotated[str, Meta(max_length=256)] = ""


class EmbedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /v1/cameras/{camera}/embed: origins such as "https://hotel.example"; null is every site."""

    allowed_origins: Annotated[tuple[str, ...], Meta(max_length=20)] | None


class TermsView(msgspec.Struct, frozen=True, kw_only=True):
    """What holds, whether it does so now, and the second of UTC when that changes next."""

    actions: tuple[Action, ...]
    not_before: int | None
    expires: int | None
    schedule: tuple[Hours, ...]
    holds: bool
    changes_at: int | None


class ShareView(TermsView, frozen=True, kw_only=True):
    """A share with an account."""

    account: str
    name: str
    email: str


class LinkView(TermsView, frozen=True, kw_only=True):
    """A link; `secret` is shown to whoever made it, once."""

    id: str
    name: str
    has_password: bool
    max_uses: int | None
    uses: int
    secret: str | None = None


class OfferView(TermsView, frozen=True, kw_only=True):
    """A camera that is offered to somebody by e-mail, until they accept or the second `ends_at` of UTC."""

    id: str
    name: str
    ends_at: int


class SharingView(msgspec.Struct, frozen=True):
    """Everything that is given of a camera."""

    camera: str
    title: str
    time_zone: str
    visibility: Visibility
    shares: list[ShareView]
    links: list[LinkView]
    allowed_origins: tuple[str, ...] | None


class WatcherView(msgspec.Struct, frozen=True):
    """Somebody who watches now. `who` is a name as far as there is one; times are microseconds of UTC."""

    session: str
    who: str
    method: str
    protocols: list[str]
    network: str
    agent: str
    since_us: int
    until_us: int | None


class WatcherList(msgspec.Struct, frozen=True):
    """Who watches a camera now, oldest first."""

    watchers: list[WatcherView]


class OpenedLink(TokenView, frozen=True):
    """What a link opens: a grant token for its camera."""

    camera: str


def terms_of(wanted: TermsRequest) -> Terms:
    """The terms that are asked for; BadRequest when they can never hold."""
    if not SHAREABLE.issuperset(wanted.actions):
        raise BadRequest("only watch and snapshot can be shared")
    if any(hours.start >= hours.end for hours in wanted.schedule):
        raise BadRequest("hours end after they start; a night is two of them")
    if wanted.expires is not None and wanted.expires <= (wanted.not_before or 0):
        raise BadRequest("it would end before it begins")
    return Terms(
        actions=tuple(dict.fromkeys(wanted.actions)),
        not_before_us=(wanted.not_before or 0) * 1_000_000,
        expires_us=None if wanted.expires is None else wanted.expires * 1_000_000,
        schedule=wanted.schedule,
    )


def terms_view(camera: Camera, terms: Terms) -> dict[str, Any]:
    holds, at_us = edge(terms, zone_of(camera.time_zone), time.time_ns() // 1000)
    return {
        "actions": terms.actions,
        "not_before": terms.not_before_us // 1_000_000 or None,
        "expires": None if terms.expires_us is None else terms.expires_us // 1_000_000,
        "schedule": terms.schedule,
        "holds": holds,
        "changes_at": None if at_us is None else at_us // 1_000_000,
    }
