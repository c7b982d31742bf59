"""Where a key stands in a TOML text: tomllib forgets lines, and an error without its line is half an error.

The text must already have been read by tomllib: only valid TOML is looked at here, so the scan can be short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: A table name, a key, or the index of an element in an array of tables.
Path = tuple[str | int, ...]

_STRING = r'"""(?:\\.|[^\\])*?"""+|\'\'\'.*?\'\'\'+|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
#: What decides whether a new line begins a statement: strings and comments hide brackets, those hide lines.
_TOKEN = re.compile(rf"{_STRING}|#[^\n]*|[\[\]{{}}\n]", re.DOTALL)
_PART = r'[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
_STATEMENT = re.compile(rf"\s*(?P<brackets>\[{{0,2}})\s*(?P<key>(?:{_PART})(?:\s*\.\s*(?:{_PART}))*)")


def line_of(text: str, path: Path) -> int | None:
    """The 1-based line of the key at `path`, else of the nearest thing around it, else None.

    `("camera", 1, "url")` is `url` in the second `[[camera]]`. A key inside an inline table or array is found
    as the line where that begins.
    """
    lines = {found: line for found, line in _paths(text)}
    return next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)


def _paths(text: str) -> Iterator[tuple[Path, int]]:
    table: Path = ()
    elements: dict[Path, int] = {}
    for line, statement in _statements(text):
        match = _STATEMENT.match(statement)
        if match is None:
            continue
        parts = [part.strip("\"'") for part in re.findall(_PART, match["key"])]
        if match["brackets"]:
            table = ()
            for i, part in enumerate(parts):
                table = (*table, part)
                if match["brackets"] == "[[" and i == len(parts) - 1:
                    elements[table] = elements.get(table, -1) + 1
                    if elements[table] == 0:
                        yield table, line
                if table in elements:
                    table = (*table, elements[table])
            yield table, line
        else:
            yield (*table, *parts), line


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Every statement with the number of its first line; a value may go on over many."""
    line, depth, start, start_line = 1, 0, 0, 1
    for token in _TOKEN.finditer(text):
        line += token[0].count("\n")
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
        elif token[0] == "\n" and depth == 0:
            yield start_line, text[start : token.start()]
            start, start_line = token.end(), line
    yield start_line, text[start:]
