"""Whether an authority reaches a camera. No I/O: what is asked comes in, an Authority or a denial comes out.

Who may not watch a camera does not learn whether it exists: without a token every camera that is not public
asks for one, and to a token that does not reach it every camera is unknown.
"""

from __future__ import annotations

import msgspec

from camrelay.auth.account import SignedIn, owns
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.token import EVERY_CAMERA, Grant
from camrelay.config import Camera
from camrelay.errors import AccessDenied, ScopeDenied, TokenMissing
from camrelay.model import Action, CameraId

#: What anybody may do with a public camera.
PUBLIC_ACTIONS = (Action.WATCH, Action.SNAPSHOT)


#: What an account may do by itself with a camera that is its own; the rest is the API's to decide.
ACCOUNT_ACTIONS = (Action.WATCH, Action.SNAPSHOT)


class Authority(msgspec.Struct, frozen=True):
    """Why a viewer may use a camera, and what can take that away again.

    `subject` is "" for anybody. `method` says which rule allowed it: "grant", "account" or
    "public". `expires_us` is
    microseconds of UTC, None when only a revocation by one of the `handles` ends it.
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
) -> Authority:
    """The authority for `action` on `camera`.

    Args:
        camera: what was asked for.
        found: that camera, None when there is none.
        action: what is to be done with it.
        grant: from a verified token, None when there was no token.
        person: who is signed in, None when there was a token.

    Raises:
        TokenMissing: no token, nobody signed in, and not public.
        ScopeDenied: the authority does not reach this camera, or there is none.
        AccessDenied: the token reaches the camera and does not allow the action.
    """
    visibility = found.visibility if found else None
    reached = grant is not None and (camera in grant.cameras or grant.cameras == (EVERY_CAMERA,))
    # A grant that allows it comes before public visibility: then the record can say who watched.
    if grant is not None and visibility is not None and reached and action in grant.actions:
        return Authority(
            subject=grant.subject,
            method="grant",
            actions=grant.actions,
            handles=(Handle(HandleKind.CAMERA, camera), *grant_handles(grant)),
            expires_us=grant.expires_us,
        )
    if person is not None and found is not None and action in ACCOUNT_ACTIONS and owns(person.account, found):
        return Authority(
            subject=person.account.id,
            method="account",
            actions=ACCOUNT_ACTIONS,
            handles=(Handle(HandleKind.CAMERA, camera), *person_handles(person)),
            expires_us=person.session.expires_us,
        )
    if visibility == "public" and action in PUBLIC_ACTIONS:
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
