"""Veils: what lies under one is read with it, in its place, and never again once it is destroyed."""

from __future__ import annotations

from pathlib import Path

from camrelay.audit.people_store import KEYS_DATABASE
from camrelay.audit.veils import Veil, Veils

NONCE = bytes(12)


def test_a_veil_opens_what_it_closed_where_it_closed_it() -> None:
    """Another veil, another place and other bytes open nothing."""
    veil, other = Veil(b"a" * 32), Veil(b"b" * 32)
    sealed = veil.close(b"anna", "person", NONCE)
    assert veil.open(sealed, "person") == b"anna"
    assert veil.open(sealed, "7") is None
    assert veil.open(sealed[:-1] + b"x", "person") is None
    assert other.open(sealed, "person") is None


def test_veils_are_found_until_they_are_destroyed(tmp_path: Path) -> None:
    """Then they are in no file either; a new one takes the place of an old one."""
    veils = Veils(tmp_path, lambda: None)
    veils.file.open()
    with veils.file.transaction():
        first, _ = veils.make([b"1", b"2"])
        sealed = first.close(b"anna", "person", NONCE)
        rows = veils.file.execute("SELECT key FROM veils").fetchall()
    keys = [key for (key,) in rows]
    assert all(any(key in path.read_bytes() for path in tmp_path.iterdir()) for key in keys)
    with veils.file.transaction():
        found = veils.find([b"1", b"3"])
        assert found.keys() == {b"1"}
        assert found[b"1"].open(sealed, "person") == b"anna"
        (again,) = veils.make([b"1"])
        assert again.open(sealed, "person") is None
        veils.destroy([b"1", b"2", b"3"])
        assert veils.find([b"1", b"2"]) == {}
        assert veils.note_erasure("e1")
        assert not veils.note_erasure("e1")
    assert veils.file.empty_journal()
    assert (tmp_path / KEYS_DATABASE).exists()
    assert not any(key in path.read_bytes() for path in tmp_path.iterdir() for key in keys)
    veils.file.close()
