"""Who may do what by their role, how long a sign-in holds, and when two names are one."""

from __future__ import annotations

import pytest

from auth_builders import NOW_US, make_account, make_person
from camrelay.auth.account import (
    ABSOLUTE_US,
    CONFIRMED_US,
    IDLE_US,
    KEPT_ABSOLUTE_US,
    KEPT_IDLE_US,
    Role,
    check_password,
    may_add,
    normalise_email,
    normalise_name,
    normalise_password,
    owns,
    runs_relay,
)
from camrelay.config import Camera
from camrelay.errors import BadRequest

COMMON = {"password", "password1234567", "sunny"}
CAMERA = Camera(id="door", url="rtsp://192.0.2.1/", owner="anna")


@pytest.mark.parametrize(
    ("role", "own", "others", "adds"),
    [
        (Role.OPERATOR, True, True, True),
        (Role.OWNER, True, False, True),
        (Role.VIEWER, False, False, False),
        (Role.STAFF, False, False, False),
    ],
)
def test_a_role_says_whose_cameras_are_managed(role: Role, own: bool, others: bool, adds: bool) -> None:
    """And nobody manages a camera of another tenant, operators neither."""
    assert owns(make_account(role=role), CAMERA) is own
    assert owns(make_account(role=role, id="bert"), CAMERA) is others
    assert not owns(make_account(role=role, tenant="other"), CAMERA)
    assert may_add(make_account(role=role)) is adds


def test_operators_of_the_first_tenant_run_the_relay() -> None:
    """What concerns every tenant is not for those of another."""
    assert runs_relay(make_account(role=Role.OPERATOR))
    assert not runs_relay(make_account(role=Role.OPERATOR, tenant="other"))
    assert not runs_relay(make_account(role=Role.OWNER))


def test_a_session_ends_unused_or_old() -> None:
    """Whichever comes first; using it moves only the one."""
    session = make_person().session

    assert session.is_alive(NOW_US + IDLE_US - 1)
    assert not session.is_alive(NOW_US + IDLE_US)
    used = type(session)("w", "anna", NOW_US, NOW_US + ABSOLUTE_US - 1, NOW_US, "", "")
    assert used.expires_us == NOW_US + ABSOLUTE_US
    assert used.is_alive(NOW_US + ABSOLUTE_US - 1)
    assert not used.is_alive(NOW_US + ABSOLUTE_US)
    kept = type(session)("w", "anna", NOW_US, NOW_US, NOW_US, "", "", is_kept=True)
    assert kept.expires_us == NOW_US + KEPT_ABSOLUTE_US
    assert [kept.is_alive(NOW_US + KEPT_IDLE_US - left) for left in (1, 0)] == [True, False]


def test_a_password_given_lately_is_enough_for_a_while() -> None:
    """Then it is asked for again."""
    session = make_person().session

    assert session.is_confirmed(NOW_US + CONFIRMED_US - 1)
    assert not session.is_confirmed(NOW_US + CONFIRMED_US)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Anna@Cams.Example", "anna@cams.example"),
        (" anna@cams.example ", "anna@cams.example"),
        ("anna@cams.example.", "anna@cams.example"),
        ("\uff21nna@cams.example", "anna@cams.example"),  # a full-width A
        ("anna@b\u00fccher.example", "anna@xn--bcher-kva.example"),
        ("anna@bu\u0308cher.example", "anna@xn--bcher-kva.example"),
        ("a.b+c@cams.example", "a.b+c@cams.example"),
    ],
)
def test_case_41_addresses_that_look_alike_are_one(typed: str, kept: str) -> None:
    """However they are typed."""
    assert normalise_email(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "anna",
        "@cams.example",
        "anna@",
        "anna@localhost",
        "anna@cams..example",
        "an na@cams.example",
        "anna\u200b@cams.example",  # a zero-width space
        "\u0430nna@cams.example",  # a Cyrillic a
        "anna@cams.example\r\nBcc: all@cams.example",
        "anna@-cams.example",
        "anna@" + "a" * 64 + ".example",
        "a" * 65 + "@cams.example",
        "a@" + "b.".join(["c" * 50] * 6) + ".example",
    ],
)
def test_case_41_what_cannot_be_told_apart_is_no_address(typed: str) -> None:
    """Invisible letters, letters of two scripts, lines, and what is too long."""
    with pytest.raises(BadRequest):
        normalise_email(typed)


def test_case_41_names_are_composed_and_visible() -> None:
    """Two ways of typing one name are one name; a name cannot hide or reverse anything."""
    assert normalise_name("  Ren\u0065\u0301e   O'Hara ") == "Ren\u00e9e O'Hara"
    for typed in ("", "   ", "a" * 101, "anna\u200b", "a\u202enna", "a\x00b", "a\ud800"):
        with pytest.raises(BadRequest):
            normalise_name(typed)


def test_passwords_are_long_and_not_the_address() -> None:
    """No rules about their letters; less length where a second factor is asked for.

    What many people have is refused, in capitals and over and over, too.
    """
    email = "anna@cams.example"
    check_password("correct horse battery", email, has_totp=False, common=COMMON)
    check_password(
        "\u043c\u043e\u0439 \u0434\u043b\u0438\u043d\u043d\u044b\u0439 \u043f\u0430\u0440\u043e\u043b\u044c",
        email,
        has_totp=False,
        common=COMMON,
    )
    check_password("8 letter", email, has_totp=True, common=COMMON)
    for password in ("too short", "a" * 20, "x" * 300, email, "abababababababab"):
        with pytest.raises(BadRequest):
            check_password(password, email, has_totp=False, common=COMMON)
    with pytest.raises(BadRequest):
        check_password("annaanna1", "annaanna1@cams.example", has_totp=True, common=COMMON)
    for password in ("password1234567", "PASSWORD1234567", "password", "PasswordPassword", "sunnysunnysunny"):
        with pytest.raises(BadRequest):
            check_password(password, email, has_totp=True, common=COMMON)
    check_password("a password1234567", email, has_totp=False, common=COMMON)
    assert normalise_password("re\u0301") == normalise_password("r\u00e9")
