"""`camrelay plan`."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from camrelay import capacity

_SHIPPED = "capacity.json"


@click.command()
@click.option(
    "--cameras", type=click.IntRange(0, 100_000), required=True, help="Cameras that stay connected."
)
@click.option(
    "--viewers", type=click.IntRange(0, 10_000_000), default=0, help="Viewers of all cameras together."
)
@click.option(
    "--bitrate", type=click.FloatRange(0.01, 100), default=2.0, show_default=True, help="Mb/s of one camera."
)
@click.option(
    "--protocol",
    type=click.Choice(["webrtc", "hls"]),
    default="webrtc",
    show_default=True,
    help="Of the viewers.",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Measured on your own machine by benchmarks.fit --write.",
)
def plan(cameras: int, viewers: int, bitrate: float, protocol: str, figures: Path | None) -> None:
    """Say what cores, memory and network a number of cameras and viewers needs.

    \b
    Example:  camrelay plan --cameras 40 --viewers 500 --bitrate 4
    """
    data = figures.read_bytes() if figures else resources.files("camrelay").joinpath(_SHIPPED).read_bytes()
    measured = capacity.read(data)
    found = capacity.plan(measured, cameras, viewers, bitrate, protocol)
    share = f"{found.ingest_cores:.2f} for cameras, {found.viewer_cores:.2f} for viewers"
    click.echo(f"{cameras} cameras and {viewers} viewers ({protocol}) of {bitrate:g} Mb/s each need")
    click.echo(f"  cores    {found.cores}  ({share})")
    if found.relays > 1:
        click.echo(f"  relays   {found.relays}  (one sends from one core)")
    click.echo(f"  memory   {found.memory_mb:,.0f} MB")
    click.echo(f"  network  {found.in_mbps:,.0f} Mb/s in, {found.out_mbps:,.0f} Mb/s out")
    click.echo(f"Measured on {measured.machine}, {measured.measured_on}.")
    click.echo(f"The largest point measured, kept out of the fit, was predicted within {found.error:.0%}.")
    if found.is_beyond:
        click.echo(
            "This is more than was measured: a guess. Measure on your own machine before you rely on it."
        )
