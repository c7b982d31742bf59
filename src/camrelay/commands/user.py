"""`camrelay user add|list|change|password|remove`: accounts of a running relay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from camrelay.commands.asking import ask
from camrelay.commands.common import CONFIG
from camrelay.errors import BadRequest

_ROLES = click.Choice(["operator", "owner", "viewer", "staff"])
_HEAD = ("ID", "ROLE", "TIER", "TENANT", "STATE", "EMAIL", "NAME")


@click.group()
def user() -> None:
    """Add, list, change and remove people who sign in."""


@user.command("add")
@CONFIG
@click.argument("email")
@click.option("--name", help="What others read; the part of the address before @ unless given.")
@click.option("--role", type=_ROLES, default="viewer", show_default=True, help="What they may do.")
@click.option("--tier", default="", help="The tier with an owner's limits.")
@click.option("--tenant", default="", help="The tenant; it begins with its first account.")
@click.option(
    "--ask-password", is_flag=True, help="Ask for the password at the terminal; else one is made up."
)
def add_user(path: Path, email: str, name: str | None, ask_password: bool, **fields: str) -> None:
    """Make an account, and print its password if one was made up.

    \b
    Examples:
      camrelay user add olga@cams.example --role operator
      camrelay user add anna@cams.example --role owner --name "Anna B." --ask-password
    """
    password = click.prompt("Password", hide_input=True, confirmation_prompt=True) if ask_password else ""
    wanted = {"email": email, "name": name or email.partition("@")[0], "password": password, **fields}
    made = ask(path, "POST", "/v1/admin/accounts", wanted)
    click.echo(f"{made['account']['email']} can sign in as {made['account']['role']}", err=True)
    if made["password"]:
        click.echo(made["password"])


@user.command("invite")
@CONFIG
@click.option("--role", type=_ROLES, default="viewer", show_default=True, help="What they may do.")
@click.option("--tier", default="", help="The tier with an owner's limits.")
@click.option("--tenant", default="", help="The tenant.")
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="How long it holds.")
@click.option("--email", default="", help="Write to this address instead of printing the page.")
@click.option("--language", type=click.Choice(["en", "ru"]), default="en", help="Of the letter.")
def invite_user(path: Path, **fields: Any) -> None:
    """Print the path of a page where one person can make an account; put the relay's address before it.

    \b
    Example:  camrelay user invite --role owner --tier home
    """
    page = ask(path, "POST", "/v1/admin/invitations", fields)["page"]
    click.echo(page or "if a letter may be sent to this address, it is on its way")


@user.command("list")
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def list_users(path: Path, as_json: bool) -> None:
    """Show every account.

    \b
    Example:  camrelay user list
    """
    accounts = ask(path, "GET", "/v1/admin/accounts")["accounts"]
    if as_json:
        click.echo(msgspec.json.encode(accounts))
        return
    rows = [_HEAD, *map(_row, accounts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@user.command("change")
@CONFIG
@click.argument("email")
@click.option("--name", help="What others read.")
@click.option("--role", type=_ROLES, help="What they may do; their sessions end.")
@click.option("--tier", help="The tier with an owner's limits.")
@click.option("--active/--suspended", "is_active", default=None, help="Whether they may sign in.")
def change_user(path: Path, email: str, **fields: Any) -> None:
    """Change an account; what is not named stays. A suspended one is signed out, and its viewings end.

    \b
    Example:  camrelay user change anna@cams.example --suspended
    """
    changes = {name: value for name, value in fields.items() if value is not None}
    ask(path, "PATCH", f"/v1/admin/accounts/{_id(path, email)}", changes)
    click.echo(f"{email} is changed", err=True)


@user.command("password")
@CONFIG
@click.argument("email")
def reset_password(path: Path, email: str) -> None:
    """Print a new password for somebody who lost theirs; their sessions and their second factor are gone.

    \b
    Example:  camrelay user password anna@cams.example
    """
    click.echo(ask(path, "POST", f"/v1/admin/accounts/{_id(path, email)}/password")["password"])


@user.command("remove")
@CONFIG
@click.argument("email")
@click.confirmation_option(
    prompt="Their cameras, sessions and shares go too, and the record forgets who they were. Remove?"
)
def remove_user(path: Path, email: str) -> None:
    """Remove an account with its cameras.

    \b
    Example:  camrelay user remove anna@cams.example
    """
    ask(path, "DELETE", f"/v1/admin/accounts/{_id(path, email)}")
    click.echo(f"{email} is removed", err=True)


def _id(path: Path, email: str) -> str:
    """The id of an account that is named by its address or by its id."""
    accounts = ask(path, "GET", "/v1/admin/accounts")["accounts"]
    wanted = email.strip().casefold()
    found = next((each["id"] for each in accounts if wanted in (each["email"], each["id"])), None)
    if found is None:
        raise BadRequest("no such account")
    return str(found)


def _row(account: dict[str, Any]) -> tuple[str, ...]:
    state = "active" if account["is_active"] else "suspended"
    names = ("id", "role", "tier", "tenant", "", "email", "name")
    return tuple(account[name] or "-" if name else state for name in names)
