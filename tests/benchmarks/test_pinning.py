"""Who gets which core."""

from __future__ import annotations

from benchmarks.pinning import split


def test_server_and_load_are_apart_where_they_can_be() -> None:
    """The first core and the last; the same one when there is only one."""
    assert split({2, 0, 1}) == (0, 2)
    assert split({5}) == (5, 5)
