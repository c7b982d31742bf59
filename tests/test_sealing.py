"""Sealed secrets open with their key, for their owner, and for nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from camrelay.errors import ConfigError
from camrelay.sealing import Seal, load_key

KEY = bytes(range(32))


def test_a_secret_opens_for_its_owner() -> None:
    """Round trip, non-ASCII included; two seals of one secret differ."""
    seal = Seal(KEY)
    sealed = seal.close("pässword", "camera/a/password")

    assert seal.open(sealed, "camera/a/password") == "pässword"
    assert sealed != seal.close("pässword", "camera/a/password")


@pytest.mark.parametrize(("key", "owner"), [(bytes(32), "a"), (KEY, "b")])
def test_another_key_or_owner_opens_nothing(key: bytes, owner: str) -> None:
    """A value copied to another row, or a database without its key, stays closed."""
    sealed = Seal(KEY).close("secret", "a")

    with pytest.raises(ConfigError):
        Seal(key).open(sealed, owner)


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    """The first start makes it with mode 0600; later ones find it."""
    path = tmp_path / "data" / "store.key"

    key = load_key(path)

    assert load_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("content", "mode"), [(KEY, 0o644), (b"short", 0o600)])
def test_a_key_that_others_can_read_or_that_is_none_is_refused(
    tmp_path: Path, content: bytes, mode: int
) -> None:
    """Abuse case 80: no start with a key that is not one."""
    path = tmp_path / "store.key"
    path.write_bytes(content)
    path.chmod(mode)

    with pytest.raises(ConfigError):
        load_key(path)
