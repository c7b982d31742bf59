"""`camrelay token create|revoke`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from camrelay.auth.keys import KeyRing
from camrelay.auth.lease import HandleKind
from camrelay.auth.mint import mint, parse_duration
from camrelay.auth.revocation import Revocation, RevocationFile
from camrelay.commands.common import CONFIG, load
from camrelay.model import Action
from camrelay.places import KEYS, REVOCATIONS


@click.group()
def token() -> None:
    """Make and withdraw grant tokens: the right to watch, for a time."""


@token.command("create")
@CONFIG
@click.option("--camera", "cameras", multiple=True, required=True, help="Camera id, or * for every camera.")
@click.option(
    "--action", "actions", multiple=True, type=click.Choice([a.value for a in Action]), default=["watch"]
)
@click.option("--ttl", default="1h", show_default=True, help="How long it lives: 90s, 15m, 1h, 7d.")
@click.option("--for", "subject", default="", help="Who will use it, as the access record names them.")
def create_token(
    *, path: Path, cameras: tuple[str, ...], actions: tuple[str, ...], ttl: str, subject: str
) -> None:
    """Print a new grant token.

    \b
    Examples:
      camrelay token create --camera front-door --ttl 15m --for ana
      camrelay token create --camera "*" --action watch --action snapshot
    """
    options = load(path)
    grant, raw = mint(
        KeyRing(Path(options.store.directory) / KEYS),
        options.auth,
        cameras=cameras,
        actions=[Action(action) for action in actions],
        life_s=parse_duration(ttl),
        subject=subject,
        now_us=time.time_ns() // 1000,
    )
    click.echo(f"token {grant.id}; withdraw it with: camrelay token revoke {grant.id}", err=True)
    click.echo(raw)


@token.command("revoke")
@CONFIG
@click.argument("token_id")
def revoke_token(path: Path, token_id: str) -> None:
    """Withdraw a token; whoever watches by it is cut within a second.

    \b
    Example:  camrelay token revoke 5f2b0c9d7a1e4f60a3b1
    """
    options = load(path)
    revocations = RevocationFile(Path(options.store.directory) / REVOCATIONS)
    revocations.append(Revocation(HandleKind.TOKEN, token_id, time.time_ns() // 1000))
    click.echo(f"token {token_id} is withdrawn")
