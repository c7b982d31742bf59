"""`camrelay audit verify|key|check-proof` for somebody without the store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from audit_builders import make_start, write_log
from camrelay.audit.archive import log_files
from camrelay.audit.signer import CHECKPOINTS
from camrelay.cli import main


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["audit", *words])


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Of a relay with a log of two days."""
    write_log(
        tmp_path / "store", [[make_start(n) for n in range(10)], [make_start(n) for n in range(10, 20)]]
    )
    path = tmp_path / "camrelay.toml"
    path.write_text(f'[store]\ndirectory = "{tmp_path / "store"}"\n')
    return str(path)


def test_a_proof_is_checked_far_from_the_log(config: str, tmp_path: Path) -> None:
    """With the public key and the file; a changed one is told from it (exit status 1)."""
    key = run("key", "--config", config).output.strip()
    proof = tmp_path / "proof.json"
    proof.write_text(run("proof", "v13", "--config", config).output)
    shutil.rmtree(tmp_path / "store")
    result = run("check-proof", "--key", key, str(proof))
    assert result.exit_code == 0, result.output
    assert "2026-11-22 line 4: " in result.output
    assert "stream.start door allow v13" in result.output
    assert "1 of 1 records are proven" in result.output
    assert "anybody" not in result.output
    assert "anybody can have made" in run("check-proof", str(proof)).output
    proof.write_text(proof.read_text().replace("v13", "v14"))
    result = run("check-proof", "--key", key, str(proof))
    assert result.exit_code == 1
    assert "proof 0: " in result.output


def test_a_copy_is_verified_without_any_secret(config: str, tmp_path: Path) -> None:
    """Lines and checkpoints are all it takes; without the key it is said what is missing."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (*log_files(tmp_path / "store"), tmp_path / "store" / CHECKPOINTS):
        shutil.copy(path, copy)
    key = run("key", "--config", config).output.strip()
    shutil.rmtree(tmp_path / "store")
    result = run("verify", "--directory", str(copy), "--key", key)
    assert result.exit_code == 0, result.output
    assert "22 lines of 2 days" in result.output
    path = log_files(copy)[0]
    path.write_bytes(path.read_bytes().replace(b'"v4"', b'"v5"'))
    result = run("verify", "--directory", str(copy), "--key", key)
    assert result.exit_code == 1
    assert "access-2026-11-21.jsonl" in result.output
    assert "no access log with its key" in run("verify", "--directory", str(copy)).output
    assert "not a verifier key" in run("verify", "--directory", str(copy), "--key", "x").output
