"""Keys at a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from camrelay.auth.keys import KeyRing
from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.revocation import RevocationFile
from camrelay.cli import main
from camrelay.places import KEYS, REVOCATIONS


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "camrelay.toml"
    path.write_text(f'[store]\ndirectory = "{tmp_path / "store"}"\n')
    return path


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["key", words[0], "--config", str(config), "--", *words[1:]])


def test_a_rotation_adds_a_key_and_a_retirement_withdraws_one(config: Path) -> None:
    """The key that signs cannot be retired; another one can, and its tokens are revoked for good."""
    store = config.parent / "store"
    first = KeyRing(store / KEYS).signing.kid
    second = run(config, "rotate").output.split()[0]
    assert run(config, "list").output == f"{first}  signs\n{second}  is believed\n"
    refused = run(config, "retire", first)
    assert (refused.exit_code, "rotate first" in refused.output) == (1, True)
    assert run(config, "retire", second).exit_code == 0
    assert list(KeyRing(store / KEYS).verification) == [first]
    (revocation,) = RevocationFile(store / REVOCATIONS).read_new()
    assert revocation.handle == Handle(HandleKind.KEY, second)
