"""Every combination of token, camera and action."""

from __future__ import annotations

from typing import Any

import pytest

from auth_builders import NOW_US, make_grant
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.policy import PUBLIC_ACTIONS, Authority, decide
from camrelay.errors import AccessDenied, ScopeDenied, TokenMissing
from camrelay.model import Action, CameraId

DOOR = CameraId("door")
GRANT = make_grant()
ALL = make_grant(cameras=("*",))
YARD = make_grant(cameras=("yard", "garage"))
SNAPSHOTS = make_grant(actions=(Action.SNAPSHOT,))


def test_a_grant_carries_its_subject_its_end_and_its_handles() -> None:
    """What ends the grant ends what was built on it."""
    authority = decide(DOOR, "private", Action.WATCH, make_grant(tenant="b"))
    assert authority == Authority(
        subject="anna",
        method="grant",
        actions=(Action.WATCH,),
        handles=(
            Handle(HandleKind.CAMERA, "door"),
            Handle(HandleKind.TOKEN, "t1"),
            Handle(HandleKind.KEY, "k1"),
            Handle(HandleKind.ACCOUNT, "anna"),
            Handle(HandleKind.TENANT, "b"),
        ),
        expires_us=NOW_US + 300_000_000,
    )


def test_public_is_for_anybody_and_has_no_end() -> None:
    """No subject on record, and only the camera's own handle takes it away."""
    authority = decide(DOOR, "public", Action.WATCH, None)
    assert authority == Authority("", "public", PUBLIC_ACTIONS, (Handle(HandleKind.CAMERA, "door"),))


@pytest.mark.parametrize(
    ("visibility", "action", "grant", "outcome"),
    [
        ("private", Action.WATCH, GRANT, "grant"),
        ("private", Action.WATCH, ALL, "grant"),
        ("private", Action.SNAPSHOT, SNAPSHOTS, "grant"),
        ("public", Action.WATCH, GRANT, "grant"),
        ("public", Action.WATCH, YARD, "public"),
        ("public", Action.WATCH, SNAPSHOTS, "public"),
        ("public", Action.SNAPSHOT, None, "public"),
        ("public", Action.MANAGE, None, (TokenMissing, "no_token")),
        ("public", Action.MANAGE, GRANT, (AccessDenied, "action_not_granted")),
        ("private", Action.WATCH, None, (TokenMissing, "no_token")),
        (None, Action.WATCH, None, (TokenMissing, "no_token")),
        ("private", Action.WATCH, YARD, (ScopeDenied, "camera_not_granted")),
        (None, Action.WATCH, YARD, (ScopeDenied, "unknown_camera")),
        (None, Action.WATCH, ALL, (ScopeDenied, "unknown_camera")),
        ("private", Action.SNAPSHOT, GRANT, (AccessDenied, "action_not_granted")),
        ("private", Action.WATCH, SNAPSHOTS, (AccessDenied, "action_not_granted")),
    ],
)
def test_who_may_do_what(visibility: str | None, action: Action, grant: Any, outcome: Any) -> None:
    """Cases 1 and 2. The error's class is what the viewer learns, its reason what the record says."""
    if isinstance(outcome, str):
        assert decide(DOOR, visibility, action, grant).method == outcome
        return
    error, reason = outcome
    with pytest.raises(AccessDenied) as caught:
        decide(DOOR, visibility, action, grant)
    assert (type(caught.value), caught.value.reason) == (error, reason)


def test_a_foreign_camera_and_no_camera_look_alike() -> None:
    """Case 1: the code that reaches the viewer is the same."""
    codes = set()
    for visibility in ("private", None):
        with pytest.raises(AccessDenied) as caught:
            decide(DOOR, visibility, Action.WATCH, YARD)
        codes.add(caught.value.code)
    assert codes == {"not_found"}


def test_a_star_among_ids_is_no_wildcard() -> None:
    """Only a star alone means every camera."""
    with pytest.raises(ScopeDenied):
        decide(DOOR, "private", Action.WATCH, make_grant(cameras=("yard", "*")))
