"""`camrelay tier set|list|remove`: limits of owners."""

from __future__ import annotations

from pathlib import Path

import click

from camrelay.commands.asking import ask
from camrelay.commands.common import CONFIG

_TENANT = click.option("--tenant", default="main", show_default=True, help="Whose tier it is.")


@click.group()
def tier() -> None:
    """Set how many cameras and viewers owners may have."""


@tier.command("set")
@CONFIG
@_TENANT
@click.argument("name")
@click.option("--max-cameras", type=int, required=True, help="Cameras an owner may have.")
@click.option("--max-viewers", type=int, required=True, help="Viewings of all of them at once.")
def set_tier(path: Path, tenant: str, name: str, max_cameras: int, max_viewers: int) -> None:
    """Add a tier, or change it for everybody who has it.

    \b
    Example:  camrelay tier set home --max-cameras 4 --max-viewers 20
    """
    limits = {"max_cameras": max_cameras, "max_viewers": max_viewers}
    ask(path, "PUT", f"/v1/admin/tiers/{name}?tenant={tenant}", limits)
    click.echo(f"{name} is set", err=True)


@tier.command("list")
@CONFIG
@_TENANT
def list_tiers(path: Path, tenant: str) -> None:
    """Show every tier.

    \b
    Example:  camrelay tier list
    """
    for each in ask(path, "GET", f"/v1/admin/tiers?tenant={tenant}")["tiers"]:
        click.echo(f"{each['name']}  {each['max_cameras']} cameras  {each['max_viewers']} viewers")


@tier.command("remove")
@CONFIG
@_TENANT
@click.argument("name")
def remove_tier(path: Path, tenant: str, name: str) -> None:
    """Remove a tier that nobody has.

    \b
    Example:  camrelay tier remove home
    """
    ask(path, "DELETE", f"/v1/admin/tiers/{name}?tenant={tenant}")
    click.echo(f"{name} is removed", err=True)
