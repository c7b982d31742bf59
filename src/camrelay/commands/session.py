"""`camrelay session list|end`: who is watching now."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click
import msgspec

from camrelay.commands.asking import ask
from camrelay.commands.common import CONFIG

_HEAD = ("ID", "CAMERA", "WHO", "HOW", "FROM", "WITH", "FOR", "ENDS (UTC)")


@click.group()
def session() -> None:
    """See who is watching now, and end that."""


@session.command("list")
@CONFIG
@click.option("--camera", default="", help="Of this camera only.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def list_sessions(path: Path, camera: str, as_json: bool) -> None:
    """Show every media session, oldest first.

    \b
    Example:  camrelay session list --camera front-door
    """
    query = f"?{urlencode({'camera': camera})}" if camera else ""
    sessions = ask(path, "GET", f"/v1/sessions{query}")["sessions"]
    if as_json:
        click.echo(msgspec.json.encode(sessions))
        return
    if not sessions:
        click.echo("nobody is watching")
        return
    rows = [_HEAD, *map(_row, sessions)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@session.command("end")
@CONFIG
@click.argument("session_id")
def end_session(path: Path, session_id: str) -> None:
    """End a media session within a second. Its token still works: withdraw that too if it must not.

    \b
    Example:  camrelay session end 9f86d081884c7d65
    """
    ask(path, "DELETE", f"/v1/sessions/{quote(session_id, safe='')}")
    click.echo(f"session {session_id} has ended")


def _row(session: dict[str, Any]) -> tuple[str, ...]:
    protocols = "+".join(sorted({viewing["protocol"] for viewing in session["viewings"]}))
    seconds = round(time.time() - session["opened_us"] / 1e6)
    end_us = session["expires_us"]
    end = datetime.datetime.fromtimestamp(end_us / 1e6, datetime.UTC) if end_us else None
    return (
        session["id"],
        session["camera"],
        session["subject"] or "anybody",
        protocols or "not yet",
        session["ip_prefix"],
        session["agent"],
        str(datetime.timedelta(seconds=max(0, seconds))),
        f"{end:%Y-%m-%d %H:%M:%S}" if end else "",
    )
