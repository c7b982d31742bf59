"""`camrelay share list|add|stop|invite|link|take-back`: what is given of a camera."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from camrelay.commands.asking import ask
from camrelay.commands.common import CONFIG

_UNTIL = click.option(
    "--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="A moment of UTC; no end without it."
)
_SNAPSHOTS = click.option("--snapshots", is_flag=True, help="They may also save still pictures.")


@click.group()
def share() -> None:
    """Give cameras to people and by links, and take them back."""


@share.command("list")
@CONFIG
@click.argument("camera_id")
def list_shares(path: Path, camera_id: str) -> None:
    """Show who may watch a camera, and until when.

    \b
    Example:  camrelay share list front-door
    """
    given = ask(path, "GET", f"{_camera(camera_id)}/sharing")
    click.echo(f"{given['camera']} is {given['visibility']}")
    for each in given["shares"]:
        click.echo(f"{each['account']}  {each['name']} <{each['email']}>{_end(each)}")
    for each in given["links"]:
        password = ", with a password" if each["has_password"] else ""
        click.echo(f"{each['id']}  link {each['name'] or 'without a name'}{_end(each)}{password}")


@share.command("add")
@CONFIG
@_UNTIL
@_SNAPSHOTS
@click.argument("camera_id")
@click.argument("email")
def add_share(
    *, path: Path, until: datetime.datetime | None, snapshots: bool, camera_id: str, email: str
) -> None:
    """Share a camera with the account of an address.

    \b
    Example:  camrelay share add front-door ana@cams.example --until 2026-12-31
    """
    made = ask(path, "POST", f"{_camera(camera_id)}/shares", {"email": email, **_terms(until, snapshots)})
    click.echo(f"{made['name']} can watch {camera_id}{_end(made)}")


@share.command("stop")
@CONFIG
@click.argument("camera_id")
@click.argument("account_id")
def stop_share(path: Path, camera_id: str, account_id: str) -> None:
    """Stop sharing a camera with an account; its viewings end within a second.

    \b
    Example:  camrelay share stop front-door 9f86d081884c7d65
    """
    ask(path, "DELETE", f"{_camera(camera_id)}/shares/{quote(account_id, safe='')}")
    click.echo(f"{camera_id} is not shared with {account_id} any more")


@share.command("link")
@CONFIG
@_UNTIL
@_SNAPSHOTS
@click.option("--name", default="", help="So that you know it again.")
@click.option("--max-uses", type=click.IntRange(1, 1_000_000), help="How many browsers may open it.")
@click.option("--ask-password", is_flag=True, help="Ask for a password of the link at the terminal.")
@click.argument("camera_id")
def add_link(
    *,
    path: Path,
    until: datetime.datetime | None,
    snapshots: bool,
    name: str,
    max_uses: int | None,
    ask_password: bool,
    camera_id: str,
) -> None:
    """Print the way in by a new link, to be put behind the relay's address. It is shown this once.

    \b
    Example:  camrelay share link front-door --name Neighbours --ask-password
    """
    password = click.prompt("Password of the link", hide_input=True) if ask_password else ""
    body = {"name": name, "max_uses": max_uses, "password": password, **_terms(until, snapshots)}
    made = ask(path, "POST", f"{_camera(camera_id)}/links", body)
    click.echo(f"take it back with: camrelay share take-back {camera_id} {made['id']}", err=True)
    click.echo(f"/shared#{made['secret']}")


@share.command("invite")
@CONFIG
@_UNTIL
@_SNAPSHOTS
@click.option("--name", default="", help="A note for yourself: who it is for.")
@click.option("--language", type=click.Choice(["en", "ru"]), default="en", help="Of the letter.")
@click.argument("camera_id")
@click.argument("email")
def invite(
    *, path: Path, until: datetime.datetime | None, snapshots: bool, camera_id: str, **fields: str
) -> None:
    """Write to an address that a camera is shared with whoever accepts, within a week.

    \b
    Example:  camrelay share invite front-door ana@cams.example --until 2026-12-31
    """
    ask(path, "POST", f"{_camera(camera_id)}/invitations", {**fields, **_terms(until, snapshots)})
    click.echo("if a letter may be sent to this address, it is on its way")


@share.command("take-back")
@CONFIG
@click.argument("camera_id")
@click.argument("link_id")
def take_back(path: Path, camera_id: str, link_id: str) -> None:
    """Take a link back; who watches by it is cut within a second.

    \b
    Example:  camrelay share take-back front-door 9f86d081884c7d65
    """
    ask(path, "DELETE", f"{_camera(camera_id)}/links/{quote(link_id, safe='')}")
    click.echo(f"link {link_id} opens nothing any more")


def _camera(camera_id: str) -> str:
    return f"/v1/cameras/{quote(camera_id, safe='')}"


def _terms(until: datetime.datetime | None, snapshots: bool) -> dict[str, Any]:
    expires = None if until is None else int(until.replace(tzinfo=datetime.UTC).timestamp())
    return {"expires": expires, "actions": ["watch", "snapshot"] if snapshots else ["watch"]}


def _end(terms: dict[str, Any]) -> str:
    if terms["expires"] is None:
        return ""
    end = datetime.datetime.fromtimestamp(terms["expires"], datetime.UTC)
    return f" until {end:%Y-%m-%d %H:%M} UTC"
