"""API keys at a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from camrelay.cli import main
from camrelay.commands import api_key as module

KEY = {
    "id": "9f86",
    "name": "billing",
    "cameras": ["door", "yard"],
    "actions": ["watch"],
    "expires_at": 1_795_262_400,
    "key": "cr_live_9f86_x",
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a relay with one key is asked."""
    asked: list[Any] = []

    def ask(_: Path, method: str, place: str, body: object = None) -> Any:
        asked.append((method, place, body))
        return {"keys": [KEY]} if method == "GET" else KEY

    monkeypatch.setattr(module, "ask", ask)
    return asked


def run(*words: str) -> Result:
    done = CliRunner().invoke(main, ["api-key", *words])
    assert done.exit_code == 0, done.output
    return done


def test_a_key_alone_is_on_standard_output(asked: list[Any]) -> None:
    """So that a script can keep it; how to remove it is said beside."""
    done = run("create", "--camera", "door", "--ttl", "1h", "billing")
    assert done.stdout == "cr_live_9f86_x\n"
    assert "camrelay api-key remove 9f86" in done.stderr
    body = {"name": "billing", "cameras": ("door",), "actions": ("watch",), "ttl_s": 3600}
    assert asked == [("POST", "/v1/api-keys", body)]


def test_keys_are_listed_and_removed(asked: list[Any]) -> None:
    """What for, and until when."""
    assert run("list").output == "9f86  billing: watch of door,yard until 2026-11-21\n"
    assert run("remove", "9f86").output == "key 9f86 is removed\n"
    assert asked[-1] == ("DELETE", "/v1/api-keys/9f86", None)
