"""Finding records and proving them to somebody who has nothing but the proof."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from audit_builders import DAY_US, NOON_US, make_start, write_log
from camrelay.audit.archive import log_files
from camrelay.audit.chain import leaf_hash, verify_inclusion
from camrelay.audit.search import Manifest, prove, search
from camrelay.audit.signer import CHECKPOINTS, Signer, Verifier
from camrelay.errors import ChainBroken


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Two days of 25 records, two cameras, three people."""
    days = [
        [
            make_start(
                day * 25 + n,
                ts_us=NOON_US + day * DAY_US + n,
                camera=("door", "yard")[n % 2],
                person=("anna", "boris", "eve")[n % 3],
            )
            for n in range(25)
        ]
        for day in range(2)
    ]
    write_log(tmp_path / "store", days)
    return tmp_path / "store"


def verify(manifest: Manifest, signer: Signer) -> int:
    """What somebody with the public key does; how many lines are proven."""
    assert manifest.key == signer.text
    proven = 0
    for proof in manifest.proofs:
        if proof.checkpoint is None:
            continue
        (checkpoint,) = Verifier.parse(manifest.key).read([manifest.checkpoints[proof.checkpoint]])
        assert checkpoint.origin == f"{manifest.log}/{proof.day}"
        hashes = [bytes.fromhex(each) for each in proof.hashes]
        leaf = leaf_hash(proof.line.encode())
        verify_inclusion(leaf, proof.position, checkpoint.size, hashes, checkpoint.root)
        proven += 1
    return proven


def test_records_are_found_by_what_they_say(directory: Path) -> None:
    """Camera, person, name, time, and all of these together."""
    assert len(list(search(directory))) == 50
    assert {f.record.camera for f in search(directory, camera="yard")} == {"yard"}
    assert {f.record.person for f in search(directory, people={"eve"})} == {"eve"}
    assert [f.record.viewing for f in search(directory, name="v7")] == ["v7"]
    found = search(directory, camera="door", from_us=NOON_US + DAY_US, to_us=NOON_US + DAY_US + 4)
    assert [(f.day, f.position, f.record.viewing) for f in found] == [
        ("2026-11-22", 1, "v25"),
        ("2026-11-22", 3, "v27"),
    ]


def test_what_is_found_can_be_proven(directory: Path) -> None:
    """All of it, across days, with nothing but the public key."""
    signer = Signer.load(directory)
    manifest = prove(directory, signer, search(directory, people={"anna"}))
    assert len(manifest.proofs) == 18
    assert len(manifest.checkpoints) == 2
    assert verify(msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest), signer) == 18
    assert prove(directory, signer, []).proofs == []


def test_what_no_checkpoint_covers_is_not_proven(directory: Path) -> None:
    """The line is given, and that it is too new."""
    notes = (directory / CHECKPOINTS).read_text()
    (directory / CHECKPOINTS).write_text(notes[: notes.index("/2026-11-22")].rpartition("\n")[0] + "\n")
    signer = Signer.load(directory)
    manifest = prove(directory, signer, search(directory))
    assert verify(manifest, signer) == 25
    assert [proof.checkpoint for proof in manifest.proofs] == [0] * 25 + [None] * 25


def test_nothing_is_proven_of_a_day_that_was_changed(directory: Path) -> None:
    """Somebody who wants a proof of another line hears so."""
    path = log_files(directory)[0]
    path.write_bytes(path.read_bytes().replace(b'"v3"', b'"v4"'))
    with pytest.raises(ChainBroken, match="access-2026-11-21"):
        prove(directory, Signer.load(directory), search(directory, name="v7"))


def test_damage_is_passed_over(directory: Path) -> None:
    """A search finds what can be read; verify is who tells of the rest."""
    path = log_files(directory)[0]
    path.write_bytes(path.read_bytes().replace(b'"v3"', b'"v3'))
    assert len(list(search(directory))) == 49
