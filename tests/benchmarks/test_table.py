"""Tables."""

from __future__ import annotations

from benchmarks.result import Table
from benchmarks.table import markdown, text


def test_cells_are_written_for_people() -> None:
    """Three significant digits, separated thousands, nothing for None."""
    assert [text(c) for c in (None, "a", 1234, 0.01234, 12.345, 1234.5)] == [
        "", "a", "1,234", "0.0123", "12.3", "1,234",
    ]  # fmt: skip


def test_a_table_is_markdown_with_aligned_columns() -> None:
    """Numbers to the right."""
    table = Table("t", ["server", "viewers"], [["camrelay", 2000], ["x", None]])
    assert markdown(table).splitlines() == [
        "| server   | viewers |",
        "| -------- | ------: |",
        "| camrelay |   2,000 |",
        "| x        |         |",
    ]
