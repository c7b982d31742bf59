"""What a request may do besides watching, by the token that it shows."""

from __future__ import annotations

from typing import Any

import pytest

from auth_builders import KEYS, NOW_US, SIGNING_KEY, make_grant, make_person, make_request
from camrelay.auth.account import Role
from camrelay.auth.permission import Permissions
from camrelay.auth.share import NOTHING_SHARED
from camrelay.auth.token import sign
from camrelay.auth.verifier import Verifier
from camrelay.auth.websession import remember
from camrelay.config import Auth, Camera
from camrelay.errors import AccessDenied, TokenExpired, TokenMalformed, TokenMissing
from camrelay.model import Action

CAMERAS = [
    Camera(id="door", url="rtsp://192.0.2.1/"),
    Camera(id="yard", url="rtsp://192.0.2.2/"),
    Camera(id="lobby", url="rtsp://192.0.2.3/", visibility="public"),
]

MANAGE = (Action.MANAGE,)


@pytest.fixture
def permissions() -> Permissions:
    options = Auth()
    return Permissions(
        Verifier(options, lambda: KEYS), options, NOTHING_SHARED, lambda: 1000.0, lambda: NOW_US
    )


def token(**overrides: Any) -> str:
    return sign(make_grant(**overrides), SIGNING_KEY, Auth())


@pytest.mark.parametrize(
    ("grant", "cameras"),
    [
        (None, ["lobby"]),
        ({}, ["door", "lobby"]),
        ({"cameras": ("*",)}, ["door", "yard", "lobby"]),
        ({"cameras": ("*",), "actions": (Action.SNAPSHOT,)}, ["lobby"]),
    ],
)
def test_which_cameras_are_listed(
    permissions: Permissions, grant: dict[str, Any] | None, cameras: list[str]
) -> None:
    """A list of cameras shows what the request could watch, and nothing else exists."""
    reaches = permissions.may_watch(make_request(token=None if grant is None else token(**grant)))
    assert [camera.id for camera in CAMERAS if reaches(camera)] == cameras
    with pytest.raises(TokenMalformed):
        permissions.may_watch(make_request(token="x"))


def test_who_runs_the_relay(permissions: Permissions) -> None:
    """Only a grant for that, over every camera."""
    permissions.check_manager(make_request(token=token(cameras=("*",), actions=MANAGE)))
    with pytest.raises(TokenMissing):
        permissions.check_manager(make_request())
    for overrides in ({"actions": MANAGE}, {"cameras": ("*",)}):
        with pytest.raises(AccessDenied):
            permissions.check_manager(make_request(token=token(**overrides)))


def test_case_68_staff_needs_a_grant_that_is_not_over(permissions: Permissions) -> None:
    """Being on the staff opens no record, and a grant opens it until its end."""
    staff = make_request()
    remember(staff, make_person(role=Role.STAFF))
    with pytest.raises(AccessDenied):
        permissions.check_manager(staff)
    assert [camera for camera in CAMERAS if permissions.manages(staff)(camera)] == []
    hours_ago = {f"{name}_us": NOW_US - 7200 * 1_000_000 for name in ("issued", "not_before")}
    past = token(cameras=("*",), actions=MANAGE, expires_us=NOW_US - 3600 * 1_000_000, **hours_ago)
    with pytest.raises(TokenExpired):
        permissions.check_manager(make_request(token=past))


def test_who_may_change_which_cameras(permissions: Permissions) -> None:
    """A grant to manage some changes those; to add any it takes one for all."""
    of_some = make_request(token=token(actions=MANAGE))
    manages = permissions.manages(of_some)
    assert [camera.id for camera in CAMERAS if manages(camera)] == ["door"]
    with pytest.raises(AccessDenied):
        permissions.adder(of_some)
    assert permissions.adder(make_request(token=token(cameras=("*",), actions=MANAGE))) is None
    with pytest.raises(TokenMissing):
        permissions.manages(make_request())


def test_who_asks(permissions: Permissions) -> None:
    """By the name that the record has of them; nobody is nobody."""
    assert permissions.subject(make_request(token=token(subject="anna"))) == "anna"
    with pytest.raises(TokenMissing):
        permissions.subject(make_request())
