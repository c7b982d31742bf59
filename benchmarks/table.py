"""Tables, for terminals and Markdown alike."""

from __future__ import annotations

from benchmarks.result import Cell, Table


def text(cell: Cell) -> str:
    """A cell as it is read: numbers to three significant digits, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def markdown(table: Table) -> str:
    """The table with aligned columns: numbers to the right, words to the left."""
    cells = [[text(cell) for cell in row] for row in table.rows]
    numeric = [
        any(not isinstance(row[i], str | None) for row in table.rows) for i in range(len(table.columns))
    ]
    widths = [max(map(len, (name, *(row[i] for row in cells)))) for i, name in enumerate(table.columns)]

    def line(values: list[str]) -> str:
        padded = (
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, numeric, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = (
        f"{'-' * (width - 1)}:" if right else "-" * width
        for width, right in zip((max(w, 2) for w in widths), numeric, strict=True)
    )
    return "\n".join([line(table.columns), f"| {' | '.join(rule)} |", *map(line, cells)])
