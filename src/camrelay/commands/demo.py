"""`camrelay demo`."""

from __future__ import annotations

import click

from camrelay import demo

_PORT = click.IntRange(1, 65_535)


@click.command("demo")
@click.option("--check", is_flag=True, help="Play every camera, say what was seen, and end; on free ports.")
@click.option("--cameras", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--port", type=_PORT, default=8080, show_default=True, help="Of the page.")
@click.option("--rtsp-port", type=_PORT, default=8554, show_default=True, help="Of the simulated cameras.")
@click.option(
    "--webrtc-port", type=_PORT, default=8189, show_default=True, help="UDP port of WebRTC viewers."
)
@click.option("--metrics-port", type=_PORT, default=9464, show_default=True)
def run_demo(
    *, check: bool, cameras: int, port: int, rtsp_port: int, webrtc_port: int, metrics_port: int
) -> None:
    """Start simulated cameras and a relay, and print a sign-in link; until Ctrl-C.

    \b
    Everything it keeps is in ./demo-data.
    Example:  camrelay demo --check
    """
    ports = None if check else demo.Ports(port, rtsp_port, webrtc_port, metrics_port)
    raise SystemExit(demo.run(check=check, cameras=cameras, ports=ports))
