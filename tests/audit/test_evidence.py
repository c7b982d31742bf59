"""Proofs that were handed out, in the hands of somebody who has the log's public key and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from audit_builders import DAY_US, NOON_US, make_start, write_log
from camrelay.audit.evidence import check, read
from camrelay.audit.search import Manifest, prove, search
from camrelay.audit.signer import CHECKPOINTS, Signer, Verifier, read_notes
from camrelay.errors import ChainBroken


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of 20 records."""
    directory = tmp_path_factory.mktemp("log") / "store"
    write_log(
        directory,
        [[make_start(day * 20 + n, ts_us=NOON_US + day * DAY_US + n) for n in range(20)] for day in range(2)],
    )
    return directory


@pytest.fixture(scope="module")
def manifest(directory: Path) -> Manifest:
    """Proofs of all of them."""
    return prove(directory, Signer.load(directory), search(directory))


def test_every_record_is_shown_at_its_place(manifest: Manifest) -> None:
    """By the public key alone, after a way as bytes."""
    again = read(msgspec.json.encode(manifest))
    shown = list(check(again, Verifier.parse(manifest.key)))
    assert [each.record.viewing for each in shown] == [f"v{n}" for n in range(40)]
    assert [(each.day, each.position) for each in shown[19:21]] == [("2026-11-21", 20), ("2026-11-22", 1)]
    assert all(each.is_proven for each in shown)


def test_a_record_newer_than_every_checkpoint_is_not_called_proven(directory: Path, tmp_path: Path) -> None:
    """It is shown as what it is."""
    signer, (note, *_) = Signer.load(directory), read_notes(directory)
    for name in ("access-2026-11-21.jsonl", "access-2026-11-22.jsonl"):
        (tmp_path / name).write_bytes((directory / name).read_bytes())
    (tmp_path / CHECKPOINTS).write_text(note + "\n")
    shown = list(check(prove(tmp_path, signer, search(tmp_path)), signer))
    assert [each.is_proven for each in shown] == [n < 10 for n in range(40)]


def test_somebody_elses_key_proves_nothing(manifest: Manifest, tmp_path: Path) -> None:
    """Proofs of another log, made with a key of their own."""
    write_log(tmp_path / "other", [[make_start(1)]])
    with pytest.raises(ChainBroken, match="no known key"):
        list(check(manifest, Signer.load(tmp_path / "other")))


def line(proof: dict[str, object]) -> None:
    proof["line"] = str(proof["line"]).replace('"v5"', '"v6"')


def spelling(proof: dict[str, object]) -> None:
    proof["line"] = str(proof["line"]).replace(":", ": ")


def surrogate(proof: dict[str, object]) -> None:
    proof["line"] = "\udcff"


def position(proof: dict[str, object]) -> None:
    proof["position"] = 7


def outside(proof: dict[str, object]) -> None:
    proof["position"] = -1


def day(proof: dict[str, object]) -> None:
    proof["day"] = "2026-11-22"


def one_hash(proof: dict[str, object]) -> None:
    proof["hashes"] = ["00" * 32, *proof["hashes"][1:]]  # type: ignore[index]


def no_hash(proof: dict[str, object]) -> None:
    proof["hashes"] = ["x"]


def other_checkpoint(proof: dict[str, object]) -> None:
    proof["checkpoint"] = 1


def no_checkpoint(proof: dict[str, object]) -> None:
    proof["checkpoint"] = 2


@pytest.mark.parametrize(
    "change",
    [
        line,
        spelling,
        surrogate,
        position,
        outside,
        day,
        one_hash,
        no_hash,
        other_checkpoint,
        no_checkpoint,
    ],
)
def test_a_proof_that_was_changed_is_named(
    manifest: Manifest, change: Callable[[dict[str, object]], None]
) -> None:
    """Whatever of it was."""
    content = msgspec.to_builtins(manifest)
    change(content["proofs"][5])
    changed = msgspec.convert(content, Manifest)
    with pytest.raises(ChainBroken, match="proof 5: ") as raised:
        list(check(changed, Verifier.parse(manifest.key)))
    assert raised.value.first == 5


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"log": 1}'])
def test_what_is_no_file_of_proofs_is_said(data: bytes) -> None:
    """Somebody named the wrong one."""
    with pytest.raises(ChainBroken, match="no proofs"):
        read(data)
