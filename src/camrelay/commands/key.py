"""`camrelay key list|rotate|retire`: the keys that grant tokens are signed with."""

from __future__ import annotations

import time
from pathlib import Path

import click

from camrelay.auth.keys import ACTIVATION_S, KeyRing
from camrelay.auth.lease import HandleKind
from camrelay.auth.revocation import Revocation, RevocationFile
from camrelay.commands.common import CONFIG, load
from camrelay.errors import BadRequest
from camrelay.places import KEYS, REVOCATIONS


@click.group()
def key() -> None:
    """Change the keys that tokens are signed with, without refusing anybody."""


@key.command("list")
@CONFIG
def list_keys(path: Path) -> None:
    """Show every key whose tokens are believed, and which one signs.

    \b
    Example:  camrelay key list
    """
    ring = _ring(path)
    for kid in ring.verification:
        click.echo(f"{kid}  {'signs' if kid == ring.signing.kid else 'is believed'}")


@key.command("rotate")
@CONFIG
def rotate_key(path: Path) -> None:
    """Make a new key. Tokens of older keys go on working; a running relay needs no restart.

    \b
    Example:  camrelay key rotate
    """
    made = _ring(path).rotate()
    click.echo(f"{made.kid} signs from {ACTIVATION_S:g} seconds on")


@key.command("retire")
@CONFIG
@click.argument("kid")
def retire_key(path: Path, kid: str) -> None:
    """Remove a key for good: whoever watches by a token of it is cut within a second.

    \b
    Example:  camrelay key retire kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k
    """
    try:
        _ring(path).retire(kid)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    revocations = RevocationFile(Path(load(path).store.directory) / REVOCATIONS)
    revocations.append(Revocation(HandleKind.KEY, kid, time.time_ns() // 1000))
    click.echo(f"{kid} is removed; tokens that it signed are refused")


def _ring(path: Path) -> KeyRing:
    return KeyRing(Path(load(path).store.directory) / KEYS)
