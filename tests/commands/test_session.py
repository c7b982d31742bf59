"""Who is watching, at a terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from camrelay.cli import main
from camrelay.commands import session as module

SESSION = {
    "id": "9f86d081884c7d65",
    "camera": "door",
    "subject": "",
    "ip_prefix": "203.0.113.0/24",
    "agent": "VLC",
    "opened_us": 0,
    "expires_us": 1_795_262_400_000_000,
    "viewings": [{"protocol": "webrtc"}, {"protocol": "hls"}],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What a relay with one session is asked."""
    asked = []

    def ask(_: Path, method: str, place: str) -> Any:
        asked.append((method, place))
        opened_us = time.time_ns() // 1000 - 61_000_000
        found = [] if "nobody" in place else [SESSION | {"opened_us": opened_us}]
        return {"sessions": found} if method == "GET" else None

    monkeypatch.setattr(module, "ask", ask)
    return asked


def run(*words: str) -> str:
    done = CliRunner().invoke(main, ["session", *words])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_table_of_who_is_watching(asked: list[tuple[str, str]]) -> None:
    """One line for each session; nobody is said in words."""
    head, row = run("list").splitlines()
    assert head.split()[:4] == ["ID", "CAMERA", "WHO", "HOW"]
    fields = ["9f86d081884c7d65", "door", "anybody", "hls+webrtc", "203.0.113.0/24", "VLC"]
    assert row.split()[:6] == fields
    assert row.endswith("2026-11-21 12:00:00")
    assert run("list", "--camera", "nobody") == "nobody is watching\n"
    assert asked[-1] == ("GET", "/v1/sessions?camera=nobody")
    assert run("list", "--json").startswith('[{"id":"9f86d081884c7d65"')


def test_an_end(asked: list[tuple[str, str]]) -> None:
    """An id is a name and never a way to another place of the API."""
    assert run("end", "a/../b") == "session a/../b has ended\n"
    assert asked == [("DELETE", "/v1/sessions/a%2F..%2Fb")]
