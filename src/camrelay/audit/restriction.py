"""People whose records are kept and not used: nobody is shown whose they are, and no statistic has them.

They stand by alias in a file of their own, `restricted.json`. Everything here blocks.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from camrelay.durable import replace

RESTRICTED = "restricted.json"


def restricted(directory: Path) -> set[str]:
    """The aliases of everybody restricted."""
    try:
        return set(msgspec.json.decode((directory / RESTRICTED).read_bytes(), type=list[str]))
    except FileNotFoundError:
        return set()


def restrict(directory: Path, alias: str) -> None:
    """Begins; durable on return."""
    _write(directory, restricted(directory) | {alias})


def lift(directory: Path, alias: str) -> None:
    """Ends, if it had begun."""
    aliases = restricted(directory)
    if alias in aliases:
        _write(directory, aliases - {alias})


def _write(directory: Path, aliases: set[str]) -> None:
    replace(directory / RESTRICTED, msgspec.json.encode(sorted(aliases)))
