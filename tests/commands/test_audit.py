"""`camrelay audit` at a terminal."""

from __future__ import annotations

import csv
import datetime
import io
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from audit_builders import NOON_US, make_event, write_log
from camrelay.audit import holds, sqlite_file
from camrelay.audit.archive import log_files
from camrelay.audit.erasure import LEDGER
from camrelay.audit.holds import Hold
from camrelay.audit.people import opened
from camrelay.audit.signer import CHECKPOINTS, KEY
from camrelay.cli import main
from camrelay.commands import audit


class Terminal:
    """Runs commands on a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        (folder / "camrelay.toml").write_text(f'[store]\ndirectory = "{self.store}"\n')

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(main, ["audit", *words, "--config", str(self.folder / "camrelay.toml")])


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    terminal = Terminal(tmp_path)
    with opened(terminal.store) as people:
        events = [make_event(n, subject=("anna", "=boris")[n % 2]) for n in range(6)]
        records = people.separate(events, NOON_US)
    write_log(terminal.store, [records[:3], records[3:]])
    return terminal


def test_a_sound_log_is_said_to_be(terminal: Terminal) -> None:
    """Exit status 0; and that it takes a checkpoint from elsewhere to mean much."""
    result = terminal.run("verify")
    assert result.exit_code == 0
    assert "8 lines of 2 days" in result.output
    assert "no checkpoint from elsewhere" in result.output
    result = terminal.run(
        "verify", "--checkpoint", str(terminal.store / CHECKPOINTS), "--since", "2026-11-22"
    )
    assert result.exit_code == 0
    assert "4 lines of 1 days" in result.output
    assert "elsewhere" not in result.output


def test_the_first_bad_line_is_named(terminal: Terminal) -> None:
    """With exit status 1, for scripts."""
    path = log_files(terminal.store)[1]
    path.write_bytes(path.read_bytes().replace(b'"v4"', b'"v7"'))
    result = terminal.run("verify")
    assert result.exit_code == 1
    assert "access-2026-11-22.jsonl: line 2 is not as it was signed" in result.output


def test_a_rollback_is_found_with_what_was_kept(terminal: Terminal) -> None:
    """The folder of the day before, checkpoints and all, put back in its place."""
    saved = terminal.folder / "saved.txt"
    notes = (terminal.store / CHECKPOINTS).read_text()
    saved.write_text(notes)
    log_files(terminal.store)[1].unlink()
    (terminal.store / CHECKPOINTS).write_text(notes[: notes.index("/2026-11-22")].rpartition("\n")[0] + "\n")
    assert terminal.run("verify").exit_code == 0
    result = terminal.run("verify", "--checkpoint", str(saved))
    assert result.exit_code == 1
    assert "access-2026-11-22.jsonl is missing" in result.output


def test_lines_without_a_checkpoint_are_counted(terminal: Terminal) -> None:
    """They are not called wrong."""
    path = log_files(terminal.store)[1]
    path.write_bytes(path.read_bytes() + b"{}\n")
    result = terminal.run("verify")
    assert result.exit_code == 0
    assert "the last 1 lines are newer" in result.output


def test_a_file_without_checkpoints_proves_nothing(terminal: Terminal) -> None:
    """Somebody named the wrong file."""
    result = terminal.run("verify", "--checkpoint", str(terminal.folder / "camrelay.toml"))
    assert result.exit_code == 1
    assert "no checkpoint in" in result.output


def test_without_a_log_no_key_is_made(tmp_path: Path) -> None:
    """Checking changes nothing."""
    terminal = Terminal(tmp_path)
    terminal.store.mkdir()
    result = terminal.run("verify")
    assert result.exit_code == 1
    assert "no access log" in result.output
    assert not (terminal.store / KEY).exists()


def test_a_viewing_is_proven(terminal: Terminal) -> None:
    """As JSON; an unknown one is said."""
    manifest = json.loads(terminal.run("proof", "v4").output)
    (proof,) = manifest["proofs"]
    assert (proof["day"], proof["position"], proof["checkpoint"]) == ("2026-11-22", 2, 0)
    record = json.loads(proof["line"])
    assert record["viewing"] == "v4"
    assert json.loads(terminal.run("proof", record["id"]).output)["proofs"] == [proof]
    result = terminal.run("proof", "v99")
    assert result.exit_code == 1
    assert "no record has that id" in result.output


def test_records_are_exported(terminal: Terminal) -> None:
    """As JSON and as CSV, selected, with their proofs."""
    rows = json.loads(terminal.run("export", "--subject", "anna").output)
    assert [row["viewing"] for row in rows] == ["v0", "v2", "v4"]
    assert rows[0]["time"] == "2026-11-21T12:00:00.000000Z"
    assert (rows[0]["subject"], rows[0]["network"], rows[0]["agent"]) == ("anna", "203.0.113.0/24", "VLC")
    proofs = terminal.folder / "proofs.json"
    output = terminal.run("export", "--format", "csv", "--subject", "=boris", "--proofs", str(proofs)).output
    table = list(csv.DictReader(io.StringIO(output)))
    assert [(row["viewing"], row["subject"]) for row in table] == [
        ("v1", "'=boris"),
        ("v3", "'=boris"),
        ("v5", "'=boris"),
    ]
    assert [proof["position"] for proof in json.loads(proofs.read_text())["proofs"]] == [2, 1, 3]
    assert json.loads(terminal.run("export", "--from", "2026-11-23").output) == []
    assert json.loads(terminal.run("export", "--to", "2026-11-21T12:00:00").output) == []


def test_one_of_a_thousand_is_forgotten(tmp_path: Path) -> None:
    """Not a byte of the record changes, every proof still holds, and nothing is left to find them by."""
    terminal = Terminal(tmp_path)
    canary = "canary-5d1e"
    with opened(terminal.store) as people:
        events = [make_event(n, subject=f"p{n}") for n in range(999)]
        records = people.separate([*events, make_event(999, subject=canary, agent="canary-agent")], NOON_US)
    write_log(terminal.store, [records], sign_every=500)
    (path,) = log_files(terminal.store)
    before, proven = path.read_bytes(), json.loads(terminal.run("proof", "v7").output)
    assert json.loads(terminal.run("export", "--subject", canary).output)[0]["agent"] == "canary-agent"

    result = terminal.run("erase", canary, "--yes")

    assert "forgotten: 1 records" in result.output
    assert path.read_bytes() == before
    # No relay had ended these viewings, so the act came behind their ends.
    after = json.loads(terminal.run("proof", "v7").output)
    assert (after["proofs"][:1], after["checkpoints"][:1]) == (proven["proofs"], proven["checkpoints"])
    assert terminal.run("verify").exit_code == 0
    assert json.loads(terminal.run("export", "--subject", canary).output) == []
    content = b"".join(each.read_bytes() for each in terminal.store.rglob("*") if each.is_file())
    assert b"canary" not in content
    others = json.loads(terminal.run("export").output)
    assert [row.get("subject", "") for row in others[:1000]] == [*(f"p{n}" for n in range(999)), ""]
    assert [row["type"] for row in others[1000:]] == ["stream.stop"] * 1000 + ["person.erase"]
    result = terminal.run("erase", canary, "--yes")
    assert result.exit_code == 1
    assert "nobody is known" in result.output


def test_a_backup_is_told_whom_to_forget(terminal: Terminal) -> None:
    """By a copy of the ledger that was kept elsewhere."""
    shutil.copytree(terminal.store, terminal.folder / "backup")
    assert terminal.run("erase", "anna", "--yes").exit_code == 0
    shutil.copy(terminal.store / LEDGER, terminal.folder / "ledger.jsonl")
    shutil.rmtree(terminal.store)
    shutil.move(terminal.folder / "backup", terminal.store)
    assert len(json.loads(terminal.run("export", "--subject", "anna").output)) == 3
    result = terminal.run("replay", str(terminal.folder / "ledger.jsonl"))
    assert "forgotten: 3 records" in result.output
    assert json.loads(terminal.run("export", "--subject", "anna").output) == []


def test_who_is_held_is_not_erased_at_a_terminal_either(terminal: Terminal) -> None:
    """Also while no relay runs; holding takes one, because it is put on record."""
    holds.add(terminal.store, Hold("h1", "case", "board", "2099-01-01"), "2098-12-31")
    result = terminal.run("erase", "anna", "--yes")
    assert result.exit_code == 1
    assert "hold h1" in result.output
    words = ("hold", "add", "--reason", "case", "--approver", "board", "--until", "2099-01-01")
    for command in (words, ("hold", "list"), ("hold", "remove", "h1"), ("restrict", "anna")):
        result = terminal.run(*command)
        assert result.exit_code == 1
        assert "no relay answers" in result.output


def test_old_days_are_purged(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is left can be verified."""
    monkeypatch.setattr(audit, "_today", lambda: datetime.date(2026, 11, 23))
    result = terminal.run("purge", "--older-than", "1d", "--yes")
    assert result.exit_code == 0, result.output
    assert "1 days before 2026-11-22 are purged" in result.output
    assert len(log_files(terminal.store)) >= 1
    assert terminal.run("verify").exit_code == 0
    rows = json.loads(terminal.run("export").output)
    assert [row["target"] for row in rows if row["type"] == "retention.purge"] == ["2026-11-21"]
    assert terminal.run("purge", "--older-than", "soon", "--yes").exit_code == 1


def test_days_that_are_held_are_not_purged(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is over."""
    monkeypatch.setattr(audit, "_today", lambda: datetime.date(2026, 11, 23))
    holds.add(terminal.store, Hold("h1", "case", "board", "2027-01-01", last="2026-11-21"), "2026-11-22")
    assert "0 days before" in terminal.run("purge", "--older-than", "1d", "--yes").output
    assert len(log_files(terminal.store)) == 2


def test_a_clock_far_ahead_of_the_record_is_asked_about(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 77: somebody set it forward to have everything purged, or the relay was off for long."""
    monkeypatch.setattr(audit, "_today", lambda: datetime.date(2027, 11, 23))
    result = terminal.run("purge", "--older-than", "180d", "--yes")
    assert "is the clock right?" in result.output
    assert result.exit_code == 1
    assert len(log_files(terminal.store)) == 2


def test_a_database_that_is_held_is_said(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told that somebody was forgotten who was not."""
    monkeypatch.setattr(sqlite_file, "_BUSY_S", 0.01)
    other = sqlite3.connect(terminal.store / "people.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    result = terminal.run("erase", "anna", "--yes")
    other.close()
    assert result.exit_code == 1
    assert "SQLITE_BUSY" in result.output
