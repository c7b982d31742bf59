"""`camrelay discover`: ONVIF devices on the network, as they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import click
import msgspec

from camrelay.errors import ConfigError
from camrelay.ingest.discovery import PORT, Found
from camrelay.ingest.resolve import resolve
from camrelay.ingest.search import interface_addresses, search

_ROW = "{:<15}  {:<24}  {:<20}  {}"

_NOTHING_FOUND = """\
No device answered. What helps, likeliest first:
  - The camera is in another network segment or VLAN: ask it directly, --host ADDRESS.
  - ONVIF is switched off in the camera's own settings, or needs a user of its own there.
  - This is a container: only on the host's network does it hear multicast answers.
  - A firewall drops UDP port 3702."""


@click.command()
@click.option("--interface", default="", help="Search from this network interface only, such as eth0.")
@click.option("--timeout", "seconds", type=click.FloatRange(0.5, 60), default=5.0, show_default=True)
@click.option("--host", default="", help="Ask this one device, also outside the network segment.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array instead of a table.")
def discover(*, interface: str, seconds: float, host: str, as_json: bool) -> None:
    """Find ONVIF cameras on the network.

    \b
    Examples:
      camrelay discover
      camrelay discover --interface eth0 --timeout 10
      camrelay discover --host 192.168.20.64
    """
    addresses = interface_addresses(interface)
    if interface and not addresses:
        raise ConfigError(f"there is no interface {interface!r} with an IPv4 address")
    asked = host or f"every device, from {', '.join(addresses) or 'no interface'}"
    click.echo(f"asking {asked}; listening for {seconds:g} s", err=True)
    devices = asyncio.run(_show(addresses, host, seconds, as_json))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(devices)))
    if not devices:
        click.echo(_NOTHING_FOUND, err=True)
        raise SystemExit(1)


async def _show(addresses: Collection[str], host: str, seconds: float, as_json: bool) -> list[Found]:
    """Searches; prints a line for each device, or for JSON a count, as they come."""
    address = str((await resolve(host, PORT))[0]) if host else ""
    devices: list[Found] = []
    async for found in search(seconds=seconds, interfaces=addresses, host=address):
        if not as_json:
            if not devices:
                click.echo(_ROW.format("ADDRESS", "NAME", "HARDWARE", "SERVICE"))
            name, hardware = found.name[:24] or "-", found.hardware[:20] or "-"
            click.echo(_ROW.format(found.host, name, hardware, found.xaddr))
        devices.append(found)
    return devices
