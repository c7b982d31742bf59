"""Asks the relay that runs by a configuration file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from camrelay.commands.common import load
from camrelay.places import KEYS
from camrelay.remote import Remote


def ask(path: Path, method: str, place: str, body: object = None) -> Any:
    """The decoded answer of its API."""
    options = load(path)
    remote = Remote(options, Path(options.store.directory) / KEYS)
    return asyncio.run(remote.ask(method, place, body))
