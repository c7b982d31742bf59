"""Sharing at a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from camrelay.cli import main
from camrelay.commands import share as module

SHARE = {"account": "a1", "name": "Ana", "email": "ana@cams.example", "expires": 1_795_262_400}
LINK = {"id": "l1", "name": "", "expires": None, "has_password": True, "secret": "x"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a relay is asked about a camera with one share and one link."""
    asked: list[Any] = []

    def ask(_: Path, method: str, place: str, body: object = None) -> Any:
        asked.append((method, place, body))
        if method == "GET":
            return {"camera": "door", "visibility": "link", "shares": [SHARE], "links": [LINK]}
        return LINK if place.endswith("/links") else SHARE

    monkeypatch.setattr(module, "ask", ask)
    return asked


def run(*words: str, typed: str = "") -> Result:
    done = CliRunner().invoke(main, ["share", *words], input=typed)
    assert done.exit_code == 0, done.output
    return done


def test_what_is_given_of_a_camera(asked: list[Any]) -> None:
    """Its visibility, people and links, each with its end."""
    assert run("list", "door").output.splitlines() == [
        "door is link",
        "a1  Ana <ana@cams.example> until 2026-11-21 12:00 UTC",
        "l1  link without a name, with a password",
    ]


def test_a_share_until_a_day_and_its_end(asked: list[Any]) -> None:
    """Days are those of UTC; a name is never a way to another place of the API."""
    run("add", "door", "ana@cams.example", "--until", "2026-11-21", "--snapshots")
    terms = {"email": "ana@cams.example", "expires": 1_795_219_200, "actions": ["watch", "snapshot"]}
    assert asked == [("POST", "/v1/cameras/door/shares", terms)]
    run("stop", "door", "../a1")
    assert asked[-1] == ("DELETE", "/v1/cameras/door/shares/..%2Fa1", None)


def test_a_link_alone_is_on_standard_output(asked: list[Any]) -> None:
    """Its password is typed, and never an argument that others could see."""
    done = run("link", "door", "--ask-password", "--max-uses", "3", typed="over the hedge\n")
    assert done.stdout.splitlines()[-1] == "/shared#x"
    assert "over the hedge" not in done.output
    (_, _, body) = asked[0]
    assert (body["password"], body["max_uses"], body["expires"]) == ("over the hedge", 3, None)
    run("take-back", "door", "l1")
    assert asked[-1] == ("DELETE", "/v1/cameras/door/links/l1", None)
