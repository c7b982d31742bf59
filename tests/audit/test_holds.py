"""What must be kept for now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from camrelay.audit import holds
from camrelay.audit.holds import HOLDS, Hold
from camrelay.errors import AuditError, BadRequest, Held, NotFound

TODAY = "2026-11-22"


def make_hold(n: int = 1, **overrides: Any) -> Hold:
    fields = {"reason": "case 4711", "approver": "the board", "ends": "2026-12-31", **overrides}
    return Hold(f"h{n}", **fields)


def test_a_hold_lasts_until_its_end_or_until_it_is_removed(tmp_path: Path) -> None:
    """And is then as if it had never been: the next hold that is added takes its place in the file."""
    holds.add(tmp_path, make_hold(1), TODAY)
    holds.add(tmp_path, make_hold(2, ends=TODAY), TODAY)
    assert [hold.id for hold in holds.active(tmp_path, TODAY)] == ["h1", "h2"]
    assert [hold.id for hold in holds.active(tmp_path, "2026-11-23")] == ["h1"]
    holds.add(tmp_path, make_hold(3), "2026-11-23")
    assert holds.remove(tmp_path, "h1", "2026-11-23") == make_hold(1)
    assert [hold.id for hold in holds.active(tmp_path, TODAY)] == ["h3"]
    with pytest.raises(NotFound):
        holds.remove(tmp_path, "h1", TODAY)


def test_a_hold_covers_days() -> None:
    """Both ends included, or open."""
    hold = make_hold(first="2026-11-02", last="2026-11-04")
    assert [day for day in range(1, 6) if hold.covers(f"2026-11-0{day}")] == [2, 3, 4]
    assert make_hold().covers("2020-01-01")


@pytest.mark.parametrize(
    "overrides",
    [
        {"reason": " "},
        {"approver": ""},
        {"ends": ""},
        {"ends": "2026-11-21"},
        {"ends": "2030-01-01"},
        {"ends": "never"},
        {"first": "2026-11-02", "last": "2026-11-01"},
    ],
)
def test_case_76_a_hold_without_end_or_approver_is_refused(tmp_path: Path, overrides: dict[str, Any]) -> None:
    """Otherwise it would be retention by another name."""
    with pytest.raises(BadRequest):
        holds.add(tmp_path, make_hold(**overrides), TODAY)
    assert holds.active(tmp_path, TODAY) == []


def test_a_person_may_be_held_or_everybody(tmp_path: Path) -> None:
    """The refusal says by which hold and until when, not why."""
    holds.check_person(tmp_path, "a1", TODAY)
    holds.add(tmp_path, make_hold(1, alias="a1"), TODAY)
    with pytest.raises(Held, match="until 2026-12-31: hold h1") as refusal:
        holds.check_person(tmp_path, "a1", TODAY)
    assert "4711" not in str(refusal.value)
    holds.check_person(tmp_path, "a2", TODAY)
    holds.add(tmp_path, make_hold(2), TODAY)
    with pytest.raises(Held):
        holds.check_person(tmp_path, "a2", TODAY)


def test_holds_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be read holds everything."""
    monkeypatch.setattr(holds, "MAX_HOLDS", 1)
    holds.add(tmp_path, make_hold(1), TODAY)
    with pytest.raises(AuditError):
        holds.add(tmp_path, make_hold(2), TODAY)
    (tmp_path / HOLDS).write_text("{")
    with pytest.raises(Held):
        holds.check_person(tmp_path, "a1", TODAY)
