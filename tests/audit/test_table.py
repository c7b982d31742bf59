"""Records as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json

import pytest

from camrelay.audit.table import to_csv, to_json, utc

ROWS = [{"name": "anna", "bytes": 7}, {"name": 'line\nbreak, "quote"'}]


def test_json_is_a_list() -> None:
    """An empty one too."""
    assert json.loads(to_json(ROWS)) == ROWS
    assert json.loads(to_json([])) == []


def test_csv_says_the_same() -> None:
    """With the columns that were asked for; what is not there is empty."""
    read = list(csv.DictReader(io.StringIO(to_csv(ROWS, ["name", "bytes"]), newline="")))
    assert read == [{"name": "anna", "bytes": "7"}, {"name": 'line\nbreak, "quote"', "bytes": ""}]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=HYPERLINK("x")'])
def test_no_cell_is_a_formula(text: str) -> None:
    """Case 40: whatever a viewer is called, a spreadsheet shows it and does nothing."""
    _, row = csv.reader(io.StringIO(to_csv([{"name": text, "n": -1}], ["name", "n"]), newline=""))
    assert row == ["'" + text, "-1"]


def test_times_are_utc() -> None:
    """To the microsecond."""
    assert utc(1_795_262_400_000_042) == "2026-11-21T12:00:00.000042Z"
