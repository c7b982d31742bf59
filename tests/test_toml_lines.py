"""line_of finds what an operator would point at."""

from __future__ import annotations

import tomllib

import pytest

from camrelay.toml_lines import Path, line_of

TEXT = '''\
# [fake]
title = "a # b [c]"

[server]   # [[not]] a table
listen = "127.0.0.1:8080"
"quoted key" = 1
dotted.inner = 2
text = """
[camera]
id = 7
"""
raw = \'\'\'
"""
x = 1\'\'\'
networks = [
  "10.0.0.0/8",  # ]
  { a = 1, b = [2] },
]

[[camera]]
id = "one"

[camera.lens]
zoom = 1

[[camera]]
id = "two"
url = "rtsp://[::1]/x"

[ a . b ]
key = 5'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("server",), 4),
        (("server", "listen"), 5),
        (("server", "quoted key"), 6),
        (("server", "dotted", "inner"), 7),
        (("server", "text"), 8),
        (("server", "raw"), 12),
        (("server", "networks"), 15),
        (("server", "networks", 1, "b"), 15),
        (("camera", 0), 20),
        (("camera", 0, "id"), 21),
        (("camera", 0, "lens", "zoom"), 24),
        (("camera", 1, "id"), 27),
        (("camera", 1, "url"), 28),
        (("camera", 1, "password"), 26),
        (("a", "b", "key"), 31),
        (("server", "absent"), 4),
        (("absent",), None),
        ((), None),
    ],
)
def test_finds_the_line_or_the_nearest_around_it(path: Path, line: int | None) -> None:
    """Keys, quoted keys, tables and their arrays; what is inside a value is at the line where that begins."""
    assert tomllib.loads(TEXT), "only valid TOML is promised to work"

    assert line_of(TEXT, path) == line


def test_windows_line_ends_count_once() -> None:
    """A file saved on Windows has the same lines."""
    assert line_of(TEXT.replace("\n", "\r\n"), ("camera", 1, "url")) == 28
