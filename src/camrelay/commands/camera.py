"""`camrelay camera add|list|show|change|remove|probe`: cameras of a running relay."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from camrelay.auth.share import Visibility
from camrelay.commands.asking import ask
from camrelay.commands.common import CONFIG
from camrelay.commands.probe import probe

_HEAD: tuple[str, ...] = ("ID", "STATE", "SINCE", "PICTURE", "BIT RATE", "VIEWERS", "TITLE")

_FIELDS = (
    click.option("--sub-url", help="A second, smaller stream of the same camera, for slow connections."),
    click.option("--title", help="What people read."),
    click.option("--description", help="A sentence about what is to be seen."),
    click.option("--time-zone", help="IANA name of the camera's own time zone, such as Europe/Madrid."),
    click.option("--username", help="The camera's own account."),
    click.option("--ask-password", is_flag=True, help="Ask for the camera's password at the terminal."),
    click.option("--transport", type=click.Choice(["tcp", "udp"]), help="How RTP comes."),
    click.option("--audio/--no-audio", default=None, help="Whether its sound is relayed."),
    click.option("--connect", type=click.Choice(["always", "on_demand"]), help="When to read the camera."),
    click.option(
        "--tls-fingerprint", help="SHA-256 of the certificate of an rtsps:// camera, in hexadecimal."
    ),
    click.option(
        "--visibility",
        type=click.Choice([each.value for each in Visibility]),
        help="Who may watch besides its owner.",
    ),
)


@click.group()
def camera() -> None:
    """Add, list, change and remove cameras of the running relay."""


@camera.command("list")
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def list_cameras(path: Path, as_json: bool) -> None:
    """Show every camera and how it is.

    \b
    Example:  camrelay camera list
    """
    cameras = ask(path, "GET", "/v1/cameras")["cameras"]
    if as_json:
        click.echo(msgspec.json.encode(cameras))
        return
    if not cameras:
        click.echo("no cameras yet; add one: camrelay camera add ID URL")
        return
    rows = [_HEAD, *(_row(each) for each in cameras)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@camera.command("show")
@CONFIG
@click.argument("camera_id")
def show_camera(path: Path, camera_id: str) -> None:
    """Show everything known of one camera, as JSON.

    \b
    Example:  camrelay camera show front-door
    """
    click.echo(msgspec.json.format(msgspec.json.encode(ask(path, "GET", f"/v1/cameras/{camera_id}"))))


@camera.command("add")
@CONFIG
@click.argument("camera_id")
@click.argument("url")
def add_camera(path: Path, camera_id: str, url: str, **fields: Any) -> None:
    """Register a camera; it connects at once.

    \b
    Examples:
      camrelay camera add front-door rtsp://192.168.1.20/stream1 --username admin --ask-password
      camrelay camera add pier rtsp://192.168.1.21:554/live --title "The pier" --visibility public
    """
    ask(path, "POST", "/v1/cameras", {"id": camera_id, "url": url, **_given(fields)})
    click.echo(f"{camera_id} is added; watch it connect: camrelay camera list")


@camera.command("change")
@CONFIG
@click.argument("camera_id")
@click.option("--url", help="rtsp:// or rtsps://, without user and password.")
@click.option("--yes", is_flag=True, help="Make it public without being asked.")
def change_camera(path: Path, camera_id: str, yes: bool, **fields: Any) -> None:
    """Change a registered camera; what is not named stays.

    \b
    Example:  camrelay camera change pier --visibility private
    """
    given = _given(fields)
    if given.get("visibility") == Visibility.PUBLIC.value:
        if not yes:
            click.confirm(
                "Everybody will see its picture, title and description. Make it public?", abort=True
            )
        given["confirm_public"] = True
    ask(path, "PATCH", f"/v1/cameras/{camera_id}", given)
    click.echo(f"{camera_id} is changed")


@camera.command("remove")
@CONFIG
@click.argument("camera_id")
@click.confirmation_option(prompt="Its viewers are cut and its password is forgotten. Remove the camera?")
def remove_camera(path: Path, camera_id: str) -> None:
    """Remove a registered camera, its viewers and its password.

    \b
    Example:  camrelay camera remove pier
    """
    ask(path, "DELETE", f"/v1/cameras/{camera_id}")
    click.echo(f"{camera_id} is removed")


camera.add_command(probe)

for _option in reversed(_FIELDS):
    for _command in (add_camera, change_camera):
        _option(_command)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """The options that were named; the password comes from the terminal, where no history keeps it."""
    asks = fields.pop("ask_password")
    given = {name: value for name, value in fields.items() if value is not None}
    return given | ({"password": click.prompt("Password", hide_input=True)} if asks else {})


def _row(camera: dict[str, Any]) -> tuple[str, ...]:
    since = datetime.datetime.fromtimestamp(camera["since_us"] / 1e6).astimezone()
    sizes = [
        f"{each['width']}x{each['height']}" for each in (camera, camera["sub"]) if each and each["width"]
    ]
    picture = " + ".join(sizes) or "-"
    rate = f"{camera['bit_rate_bps'] / 1e6:.1f} Mb/s" if camera["bit_rate_bps"] else "-"
    state = camera["state"] + (f" ({camera['reason']})" if camera["reason"] else "")
    return (
        camera["id"],
        state,
        f"{since:%H:%M:%S}" if camera["since_us"] else "-",
        picture,
        rate,
        str(camera["viewers"]),
        camera["title"],
    )
