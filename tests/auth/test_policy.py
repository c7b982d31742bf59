"""Every combination of token, camera and action."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from auth_builders import NOW_US, make_grant, make_person
from camrelay.auth.account import Role
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.policy import (
    ACCOUNT_ACTIONS,
    PUBLIC_ACTIONS,
    Authority,
    decide,
    grant_manages,
    members_of,
)
from camrelay.auth.schedule import Hours
from camrelay.auth.share import Book, Link, Share, Terms
from camrelay.config import Camera
from camrelay.errors import AccessDenied, ScopeDenied, TokenMissing, TokenRevoked
from camrelay.model import Action, CameraId

DOOR = CameraId("door")
PRIVATE = Camera(id="door", url="rtsp://192.0.2.1/", owner="anna")
PUBLIC = Camera(id="door", url="rtsp://192.0.2.1/", visibility="public")
FOUND = {"private": PRIVATE, "public": PUBLIC, None: None}
GRANT = make_grant()
ALL = make_grant(cameras=("*",))
YARD = make_grant(cameras=("yard", "garage"))
SNAPSHOTS = make_grant(actions=(Action.SNAPSHOT,))


def test_a_grant_carries_its_subject_its_end_and_its_handles() -> None:
    """What ends the grant ends what was built on it."""
    authority = decide(
        DOOR, msgspec.structs.replace(PRIVATE, tenant="b"), Action.WATCH, make_grant(tenant="b")
    )
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
    authority = decide(DOOR, PUBLIC, Action.WATCH, None)
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
        assert decide(DOOR, FOUND[visibility], action, grant).method == outcome
        return
    error, reason = outcome
    with pytest.raises(AccessDenied) as caught:
        decide(DOOR, FOUND[visibility], action, grant)
    assert (type(caught.value), caught.value.reason) == (error, reason)


def test_a_foreign_camera_and_no_camera_look_alike() -> None:
    """Case 1: the code that reaches the viewer is the same."""
    codes = set()
    for visibility in ("private", None):
        with pytest.raises(AccessDenied) as caught:
            decide(DOOR, FOUND[visibility], Action.WATCH, YARD)
        codes.add(caught.value.code)
    assert codes == {"not_found"}


def test_a_star_among_ids_is_no_wildcard() -> None:
    """Only a star alone means every camera."""
    with pytest.raises(ScopeDenied):
        decide(DOOR, PRIVATE, Action.WATCH, make_grant(cameras=("yard", "*")))


@pytest.mark.parametrize(
    ("role", "id", "tenant", "reaches"),
    [
        (Role.OPERATOR, "olga", "main", True),
        (Role.OPERATOR, "olga", "other", False),
        (Role.OWNER, "anna", "main", True),
        (Role.OWNER, "anna", "other", False),
        (Role.OWNER, "bert", "main", False),
        (Role.VIEWER, "anna", "main", False),
        (Role.STAFF, "anna", "main", False),
    ],
)
def test_an_account_reaches_its_own_cameras(role: Role, id: str, tenant: str, reaches: bool) -> None:
    """An operator's are those of the tenant; to everybody else they are unknown."""
    person = make_person(role=role, id=id, tenant=tenant)
    if not reaches:
        with pytest.raises(ScopeDenied):
            decide(DOOR, PRIVATE, Action.WATCH, None, person)
        return

    assert decide(DOOR, PRIVATE, Action.WATCH, None, person) == Authority(
        subject=id,
        method="account",
        actions=ACCOUNT_ACTIONS,
        handles=(
            Handle(HandleKind.CAMERA, "door"),
            Handle(HandleKind.ACCOUNT, id),
            Handle(HandleKind.TENANT, tenant),
            Handle(HandleKind.WEB_SESSION, person.session.id),
        ),
        expires_us=person.session.expires_us,
    )


def test_an_account_sees_public_cameras_as_anybody_does() -> None:
    """And no camera that is not there."""
    assert decide(DOOR, PUBLIC, Action.WATCH, None, make_person(role=Role.VIEWER)).method == "public"
    with pytest.raises(ScopeDenied, match="unknown_camera"):
        decide(DOOR, None, Action.WATCH, None, make_person(role=Role.OPERATOR))


@pytest.mark.parametrize(
    ("actions", "cameras", "every", "door"),
    [
        (("manage",), ("*",), True, True),
        (("manage",), ("door", "yard"), False, True),
        (("manage",), ("yard",), False, False),
        (("watch",), ("*",), False, False),
    ],
)
def test_a_grant_manages_what_it_names(actions: Any, cameras: Any, every: bool, door: bool) -> None:
    """Every camera only by a star."""
    grant = make_grant(actions=tuple(map(Action, actions)), cameras=cameras)

    assert (grant_manages(grant), grant_manages(grant, "door")) == (every, door)
    assert not grant_manages(None)


HOUR_US = 3_600_000_000
BERT = make_person(role=Role.VIEWER, id="bert")
#: A Saturday, 12:00 of UTC.
OPEN, CLOSED = (Hours(5, 0, 13 * 60),), (Hours(5, 13 * 60, 1440),)


def shared(visibility: str, **terms: Any) -> tuple[Camera, Book]:
    """The door at this visibility, shared with Bert and by a link on the same terms."""
    camera = msgspec.structs.replace(PRIVATE, visibility=visibility)
    made = Terms(**terms)
    return camera, Book([Share("s1", "door", "bert", made)], [Link("l1", "door", b"1", made)])


@pytest.mark.parametrize(
    ("visibility", "method"),
    [("private", None), ("shared", "share"), ("link", "share"), ("members", "share"), ("public", "share")],
)
def test_a_share_holds_while_the_camera_is_shared(visibility: str, method: str | None) -> None:
    """It hangs on its own handle besides those of the person; a private camera is at nobody's disposal."""
    camera, book = shared(visibility, expires_us=NOW_US + HOUR_US)
    if method is None:
        with pytest.raises(ScopeDenied):
            decide(DOOR, camera, Action.WATCH, None, BERT, book, NOW_US)
        return
    authority = decide(DOOR, camera, Action.WATCH, None, BERT, book, NOW_US)
    assert (authority.subject, authority.method, authority.expires_us) == ("bert", method, NOW_US + HOUR_US)
    assert Handle(HandleKind.SHARE, "s1") in authority.handles
    assert Handle(HandleKind.WEB_SESSION, BERT.session.id) in authority.handles


@pytest.mark.parametrize(
    ("terms", "end_us"),
    [
        ({}, BERT.session.expires_us),
        ({"expires_us": NOW_US + 1}, NOW_US + 1),
        ({"schedule": OPEN}, NOW_US + HOUR_US),
        ({"schedule": CLOSED}, None),
        ({"expires_us": NOW_US}, None),
        ({"not_before_us": NOW_US + 1}, None),
        ({"actions": (Action.SNAPSHOT,)}, None),
    ],
)
def test_every_edge_of_a_share_ends_the_lease(terms: dict[str, Any], end_us: int | None) -> None:
    """End, hours and the web session, whichever is first; what does not hold now is as good as none."""
    camera, book = shared("shared", **terms)
    if end_us is None:
        with pytest.raises(ScopeDenied):
            decide(DOOR, camera, Action.WATCH, None, BERT, book, NOW_US)
        return
    assert decide(DOOR, camera, Action.WATCH, None, BERT, book, NOW_US).expires_us == end_us


def test_members_are_the_accounts_of_the_tenant() -> None:
    """They need no share; an account of another tenant is a stranger, and so is anybody else."""
    camera = msgspec.structs.replace(PRIVATE, visibility="members")
    carl = make_person(role=Role.VIEWER, id="carl")
    authority = decide(DOOR, camera, Action.WATCH, None, carl)
    assert (authority.subject, authority.method) == ("carl", "member")
    assert members_of("door") in authority.handles
    for action, person in (
        (Action.MANAGE, carl),
        (Action.WATCH, make_person(role=Role.VIEWER, id="carl", tenant="other")),
    ):
        with pytest.raises(ScopeDenied):
            decide(DOOR, camera, action, None, person)
    with pytest.raises(TokenMissing):
        decide(DOOR, camera, Action.WATCH)


@pytest.mark.parametrize("visibility", ["link", "members", "public"])
def test_a_links_grant_holds_as_long_as_the_link(visibility: str) -> None:
    """It hangs on the link, and ends with the first of both."""
    camera, book = shared(visibility, expires_us=NOW_US + HOUR_US)
    grant = make_grant(link="l1")
    authority = decide(DOOR, camera, Action.WATCH, grant, None, book, NOW_US)
    assert (authority.method, authority.expires_us) == ("link", grant.expires_us)
    assert Handle(HandleKind.LINK, "l1") in authority.handles
    camera, book = shared(visibility, expires_us=NOW_US + 1)
    assert decide(DOOR, camera, Action.WATCH, grant, None, book, NOW_US).expires_us == NOW_US + 1


def test_a_link_that_is_gone_takes_its_grants_along() -> None:
    """Removed, or at rest because its camera is not for links; outside its hours it only waits."""
    for camera, book in ((shared("link")[0], Book()), shared("shared"), shared("private")):
        with pytest.raises(TokenRevoked, match="link_withdrawn"):
            decide(DOOR, camera, Action.WATCH, make_grant(link="l1"), None, book, NOW_US)
    camera, book = shared("link", schedule=CLOSED)
    with pytest.raises(AccessDenied, match="action_not_granted"):
        decide(DOOR, camera, Action.WATCH, make_grant(link="l1"), None, book, NOW_US)


def test_a_tenants_key_speaks_for_its_own_cameras() -> None:
    """Case 3: even a grant of every camera ends at the tenant's fence; the relay's own keys know none."""
    other = msgspec.structs.replace(PRIVATE, tenant="other")
    for cameras in (("*",), ("door",)):
        with pytest.raises(ScopeDenied, match="camera_not_granted"):
            decide(DOOR, other, Action.WATCH, make_grant(cameras=cameras, tenant="main"))
        assert decide(DOOR, other, Action.WATCH, make_grant(cameras=cameras)).method == "grant"
