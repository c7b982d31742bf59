"""The log's identity, and the file of what it has signed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from camrelay.audit.chain import Tree
from camrelay.audit.checkpoint import Checkpoint
from camrelay.audit.file import LogFile
from camrelay.audit.signer import (
    CHECKPOINTS,
    KEY,
    Signer,
    Verifier,
    append_note,
    cut_torn_note,
    one_line,
    read_notes,
    saved_notes,
)
from camrelay.errors import ChainBroken, ConfigError

DAY = "2026-11-21"


def make_signer(seed: int = 1) -> Signer:
    return Signer(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def make_notes(count: int = 3) -> list[str]:
    return [make_signer().sign(DAY, Tree([bytes([n]) * 32])) for n in range(count)]


def test_a_log_is_named_by_its_key(tmp_path: Path) -> None:
    """The key is made once, for its owner alone; another log has another name."""
    signer = Signer.load(tmp_path)
    assert Signer.load(tmp_path).name == signer.name
    assert stat.S_IMODE((tmp_path / KEY).stat().st_mode) == 0o600
    assert make_signer(1).name != make_signer(2).name
    assert signer.origin(DAY) == f"{signer.name}/2026-11-21"


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Case 80."""
    Signer.load(tmp_path)
    (tmp_path / KEY).chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by others"):
        Signer.load(tmp_path)


def test_what_is_signed_is_read_again() -> None:
    """Origin, size and root; another log's note is not this one's."""
    tree = Tree([b"x" * 32])
    note = make_signer(1).sign(DAY, tree)
    assert make_signer(1).read([note]) == [Checkpoint(make_signer(1).origin(DAY), 1, tree.root())]
    with pytest.raises(ChainBroken):
        make_signer(2).read([note])


def test_whoever_has_the_public_key_can_check() -> None:
    """Nothing else; a key that is not named after itself is no log's."""
    signer = make_signer(1)
    note = signer.sign(DAY, Tree([b"x" * 32]))
    verifier = Verifier.parse(signer.text)
    assert (verifier.name, verifier.text) == (signer.name, signer.text)
    assert verifier.read([note]) == signer.read([note])
    assert not hasattr(verifier, "sign")
    with pytest.raises(ChainBroken, match="no access log"):
        Verifier.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")


def test_notes_are_kept_in_order(tmp_path: Path) -> None:
    """In a file for its owner's eyes; without one there are none."""
    assert read_notes(tmp_path) == []
    notes = make_notes()
    for note in notes:
        append_note(tmp_path, note)
    assert read_notes(tmp_path) == notes
    assert stat.S_IMODE((tmp_path / CHECKPOINTS).stat().st_mode) == 0o600


def test_a_note_torn_at_any_byte_costs_itself_only(tmp_path: Path) -> None:
    """What is whole is kept, and the next note is whole as well."""
    one, two, three = make_notes()
    append_note(tmp_path, one)
    whole = (tmp_path / CHECKPOINTS).read_bytes()
    append_note(tmp_path, two)
    both = (tmp_path / CHECKPOINTS).read_bytes()
    for cut in range(len(whole), len(both)):
        (tmp_path / CHECKPOINTS).write_bytes(both[:cut])
        assert read_notes(tmp_path) == [one]
        cut_torn_note(tmp_path)
        append_note(tmp_path, three)
        assert read_notes(tmp_path) == [one, three]


def test_a_note_that_a_full_disk_took_half_of_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one stands on lines of its own."""
    one, two, _ = make_notes()
    append_note(tmp_path, one)

    def write_half(file: LogFile, data: bytes) -> None:
        os.write(file._fd, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(LogFile, "write", write_half)
        with pytest.raises(OSError, match="No space"):
            append_note(tmp_path, two)
    append_note(tmp_path, two)
    assert read_notes(tmp_path) == [one, two]


def test_saved_notes_come_in_any_form_they_were_seen_in(tmp_path: Path) -> None:
    """A copy of the file, one note, or the operators' log with other lines between."""
    notes = make_notes()
    for note in notes:
        append_note(tmp_path, note)
    assert saved_notes((tmp_path / CHECKPOINTS).read_text()) == notes
    assert saved_notes(notes[0]) == notes[:1]
    logged = "\n".join(f"12:00:00.000 INFO    audit    {one_line(note)}\nsomething else" for note in notes)
    assert saved_notes(logged) == notes
    assert saved_notes("") == []
