"""`camrelay simulate`."""

from __future__ import annotations

import click
import uvloop

from camrelay.simulate import options as simulated
from camrelay.simulate import server as simulator


@click.command()
@click.option("--cameras", default=1, show_default=True, help="How many cameras, /cam1 to /camN.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8554, show_default=True, help="RTSP port; 0 takes a free one.")
@click.option("--codec", type=click.Choice(["h264", "h265"]), default="h264", show_default=True)
@click.option("--bitrate", default="2M", show_default=True, help="Mean bit rate: 2M, 800k.")
@click.option("--size", default="1280x720", show_default=True, help="Width x height.")
@click.option("--fps", default=25, show_default=True, help="Pictures a second.")
@click.option("--gop", default="2s", show_default=True, help="Distance of key frames: 2s, or 50 pictures.")
@click.option("--b-frames", default=0, show_default=True, help="B-frames between references.")
@click.option("--slices", default=1, show_default=True, help="Slices a picture.")
@click.option("--profile", type=click.Choice(["baseline", "main", "high"]), default="main", show_default=True)
@click.option(
    "--audio",
    type=click.Choice(["none", "aac", "opus", "pcmu", "pcma"]),
    default="none",
    show_default=True,
    help="A beep every second.",
)
@click.option("--user", default="admin", show_default=True, help="User name, when there is a password.")
@click.option("--password", default="", help="Ask for this password (Basic and Digest).")
@click.option(
    "--auth",
    type=click.Choice(["any", "basic", "digest", "digest-sha256"]),
    default="any",
    show_default=True,
    help="Which challenges are offered.",
)
def simulate(
    *,
    cameras: int,
    host: str,
    port: int,
    codec: simulated.Codec,
    bitrate: str,
    size: str,
    fps: int,
    gop: str,
    b_frames: int,
    slices: int,
    profile: simulated.Profile,
    audio: simulated.Sound,
    user: str,
    password: str,
    auth: simulated.Auth,
) -> None:
    """Serve simulated RTSP cameras with a visible clock, until Ctrl-C.

    \b
    Examples:
      camrelay simulate --cameras 4
      camrelay simulate --cameras 300 --bitrate 2M --gop 4s
      camrelay simulate --password secret --auth digest-sha256
    """
    width, height = simulated.parse_size(size)
    picture = simulated.Picture(
        codec=codec,
        bitrate_bps=simulated.parse_bitrate(bitrate),
        width=width,
        height=height,
        fps=fps,
        gop_pictures=simulated.parse_gop(gop, fps),
        b_frames=b_frames,
        slices=slices,
        profile=profile,
    )
    options = simulated.Options(
        cameras=cameras,
        host=host,
        port=port,
        user=user,
        password=password,
        auth=auth,
        picture=picture,
        audio=audio,
    )
    uvloop.run(simulator.run(options, click.echo))
