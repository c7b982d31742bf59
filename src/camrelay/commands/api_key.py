"""`camrelay api-key create|list|remove`: keys that programs show for months."""

from __future__ import annotations

import datetime
from pathlib import Path
from urllib.parse import quote

import click

from camrelay.auth.mint import parse_duration
from camrelay.commands.asking import ask
from camrelay.commands.common import CONFIG
from camrelay.model import Action


@click.group("api-key")
def api_key() -> None:
    """Make and remove keys for programs, which show them like a token."""


@api_key.command("create")
@CONFIG
@click.option("--camera", "cameras", multiple=True, required=True, help="Camera id, or * for every camera.")
@click.option(
    "--action", "actions", multiple=True, type=click.Choice([a.value for a in Action]), default=["watch"]
)
@click.option("--ttl", default="90d", show_default=True, help="How long it lives: 1h, 90d; 400d at most.")
@click.argument("name")
def create_key(
    *, path: Path, cameras: tuple[str, ...], actions: tuple[str, ...], ttl: str, name: str
) -> None:
    """Print a new key for the program NAME. It is shown this once.

    \b
    Example:  camrelay api-key create --camera front-door --action snapshot billing
    """
    body = {"name": name, "cameras": cameras, "actions": actions, "ttl_s": parse_duration(ttl)}
    made = ask(path, "POST", "/v1/api-keys", body)
    click.echo(f"key {made['id']}; remove it with: camrelay api-key remove {made['id']}", err=True)
    click.echo(made["key"])


@api_key.command("list")
@CONFIG
def list_keys(path: Path) -> None:
    """Show every key: what for, and until when.

    \b
    Example:  camrelay api-key list
    """
    for key in ask(path, "GET", "/v1/api-keys")["keys"]:
        end = datetime.datetime.fromtimestamp(key["expires_at"], datetime.UTC)
        scope = f"{','.join(key['actions'])} of {','.join(key['cameras'])}"
        click.echo(f"{key['id']}  {key['name']}: {scope} until {end:%Y-%m-%d}")


@api_key.command("remove")
@CONFIG
@click.argument("key_id")
def remove_key(path: Path, key_id: str) -> None:
    """Remove a key; what runs by it ends within a second.

    \b
    Example:  camrelay api-key remove 9f86d081884c7d65
    """
    ask(path, "DELETE", f"/v1/api-keys/{quote(key_id, safe='')}")
    click.echo(f"key {key_id} is removed")
