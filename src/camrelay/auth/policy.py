"""Whether an authority reaches a camera. No I/O: what is asked comes in, an Authority or a denial comes out.

Who may not watch a camera does not learn whether it exists: without a token every camera that is not public
asks for one, and to a token that does not reach it every camera is unknown.
"""

from __future__ import annotations

import msgspec

from camrelay.auth.account import SignedIn, owns
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.schedule import zone_of
from camrelay.auth.share import NOTHING_SHARED, Book, Visibility, edge
from camrelay.auth.token import EVERY_CAMERA, Grant
from camrelay.config import Camera
from camrelay.errors import AccessDenied, ScopeDenied, TokenMissing, TokenRevoked
from camrelay.model import Action, CameraId

#: What anybody may do with a public camera, and an account with one for members.
PUBLIC_ACTIONS = (Action.WATCH, Action.SNAPSHOT)

#: What an account may do by itself with a camera that is its own; the rest is the API's to decide.
ACCOUNT_ACTIONS = (Action.WATCH, Action.SNAPSHOT)


class Authority(msgspec.Struct, frozen=True):
    """Why a viewer may use a camera, and what can take that away again.

    `subject` is "" for anybody. `method` says which rule allowed it: "grant", "link", "account", "share",
    "member", "callback" or "public". `expires_us` is microseconds of UTC, None when only a revocation by one
    of the `handles` ends it.
    """

    subject: str
    method: str
    actions: tuple[Action, ...]
    handles: tuple[Handle, ...]
    expires_us: int | None = None


def decide(
    camera: CameraId,
    found: Camera | None,
    action: Action,
    grant: Grant | None = None,
    person: SignedIn | None = None,
    book: Book = NOTHING_SHARED,
    now_us: int = 0,
) -> Authority:
    """The authority for `action` on `camera`.

    Args:
        camera: what was asked for.
        found: that camera, None when there is none.
        action: what is to be done with it.
        grant: from a verified token, None when there was no token.
        person: who is signed in, None when there was a token.
        book: what owners have given to others; `now_us`, UTC, decides which of it holds.

    Raises:
        TokenMissing: no token, nobody signed in, and not public.
        TokenRevoked: the token's link is gone.
        ScopeDenied: the authority does not reach this camera, or there is none.
        AccessDenied: the token reaches the camera and does not allow the action.
    """
    visibility = Visibility(found.visibility) if found else None
    reached = grant is not None and _reaches(grant, camera, found)
    # An authority of one's own comes before public visibility: then the record can say who watched.
    authority = None
    if grant is not None and found is not None and reached and action in grant.actions:
        authority = _by_grant(grant, found, book, now_us)
    elif person is not None and found is not None:
        authority = _by_person(person, found, action, book, now_us)
    if authority is not None:
        return authority
    if visibility is Visibility.PUBLIC and action in PUBLIC_ACTIONS:
        return Authority(
            subject="", method="public", actions=PUBLIC_ACTIONS, handles=(Handle(HandleKind.CAMERA, camera),)
        )
    if grant is None and person is None:
        raise TokenMissing("no_token")
    if visibility is None:
        raise ScopeDenied("unknown_camera")
    if not reached:
        raise ScopeDenied("camera_not_granted")
    raise AccessDenied("action_not_granted")


def members_of(camera: str) -> Handle:
    """What the viewings of members hang on, who watch because the camera is for all of them."""
    return Handle(HandleKind.SHARE, f"members of {camera}")


def _reaches(grant: Grant, camera: CameraId, found: Camera | None) -> bool:
    # Keys of a tenant's own speak for that tenant's cameras; the relay's own speak for all.
    if found is not None and grant.tenant not in ("", found.tenant):
        return False
    return camera in grant.cameras or grant.cameras == (EVERY_CAMERA,)


def _by_grant(grant: Grant, found: Camera, book: Book, now_us: int) -> Authority | None:
    handles = (Handle(HandleKind.CAMERA, found.id), *grant_handles(grant))
    if not grant.link:
        return Authority(grant.subject, "grant", grant.actions, handles, grant.expires_us)
    link = book.link(found.id, grant.link)
    if link is None or not Visibility(found.visibility).admits(Visibility.LINK):
        raise TokenRevoked("link_withdrawn")
    holds, until_us = edge(link.terms, zone_of(found.time_zone), now_us)
    if not holds:
        return None
    return Authority(
        subject=grant.subject,
        method="link",
        actions=grant.actions,
        handles=(*handles, Handle(HandleKind.LINK, link.id)),
        expires_us=_first(grant.expires_us, until_us),
    )


def _by_person(person: SignedIn, found: Camera, action: Action, book: Book, now_us: int) -> Authority | None:
    account, visibility = person.account, Visibility(found.visibility)
    handles = (Handle(HandleKind.CAMERA, found.id), *person_handles(person))
    until_us = person.session.expires_us
    if action in ACCOUNT_ACTIONS and owns(account, found):
        return Authority(account.id, "account", ACCOUNT_ACTIONS, handles, until_us)
    share = book.share(found.id, account.id)
    if share is not None and visibility.admits(Visibility.SHARED) and action in share.terms.actions:
        holds, edge_us = edge(share.terms, zone_of(found.time_zone), now_us)
        if holds:
            by_share = (*handles, Handle(HandleKind.SHARE, share.id))
            return Authority(account.id, "share", share.terms.actions, by_share, _first(until_us, edge_us))
    # Who watches a public camera is nobody's business, signed in or not.
    is_member = account.tenant == found.tenant and visibility is Visibility.MEMBERS
    if is_member and action in PUBLIC_ACTIONS:
        return Authority(account.id, "member", PUBLIC_ACTIONS, (*handles, members_of(found.id)), until_us)
    return None


def _first(known_us: int, other_us: int | None) -> int:
    return known_us if other_us is None else min(known_us, other_us)


def person_handles(person: SignedIn) -> tuple[Handle, ...]:
    """By what the authority of somebody who is signed in can be withdrawn."""
    return (
        Handle(HandleKind.ACCOUNT, person.account.id),
        Handle(HandleKind.TENANT, person.account.tenant),
        Handle(HandleKind.WEB_SESSION, person.session.id),
    )


def grant_manages(grant: Grant | None, camera: str = EVERY_CAMERA) -> bool:
    """Whether a grant allows to change a camera, or every one."""
    return (
        grant is not None
        and Action.MANAGE in grant.actions
        and (camera in grant.cameras or grant.cameras == (EVERY_CAMERA,))
    )


def grant_handles(grant: Grant) -> tuple[Handle, ...]:
    """By what a grant can be withdrawn."""
    return (
        Handle(HandleKind.TOKEN, grant.id),
        Handle(HandleKind.KEY, grant.key),
        Handle(HandleKind.ACCOUNT, grant.subject),
        Handle(HandleKind.TENANT, grant.tenant),
    )
