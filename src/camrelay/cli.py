"""The `camrelay` command: reads options, calls one function, prints what a person needs to know next."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import click
import uvloop

from camrelay import __version__, config, demo, logs
from camrelay.app import KEYS, REVOCATIONS, App
from camrelay.auth.keys import KeyRing
from camrelay.auth.lease import HandleKind
from camrelay.auth.mint import mint, parse_duration
from camrelay.auth.revocation import Revocation, RevocationFile
from camrelay.check import check_cameras
from camrelay.errors import CamrelayError, ConfigError
from camrelay.model import Action
from camrelay.simulate import options as simulated
from camrelay.simulate import server as simulator

_CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("camrelay.toml"),
    show_default=True,
    help="The configuration file.",
)

_PORT = click.IntRange(1, 65_535)


class _Commands(click.Group):
    """Turns camrelay's own errors into one line and exit status 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ConfigError as e:
            place = f"line {e.line}: " if e.line else ""
            hint = f"\n  {e.hint}" if e.hint else ""
            raise click.ClickException(logs.redact(f"{place}{e}{hint}")) from None
        except CamrelayError as e:
            raise click.ClickException(logs.redact(str(e))) from None


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="camrelay")
def main() -> None:
    """Relay RTSP/ONVIF cameras to browsers over LL-HLS and WebRTC.

    \b
    Try it:   camrelay demo
    Run it:   camrelay serve --config camrelay.toml
    """


@main.command()
@_CONFIG
def serve(path: Path) -> None:
    """Run the relay until SIGTERM or Ctrl-C.

    \b
    Example:  camrelay serve --config /etc/camrelay.toml
    """
    options = _load(path)
    logs.set_up(options.server.log_format, options.server.log_level)
    uvloop.run(_serve(options))


@main.command("check-config")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def check_config(path: Path) -> None:
    """Say whether a configuration can be used, and if not, which line is wrong.

    \b
    Example:  camrelay check-config camrelay.toml
    """
    options = _load(path)
    count = len(options.camera)
    click.echo(f"{path} is fine: {count} camera{'' if count == 1 else 's'}")


@main.command()
@click.option("--cameras", default=1, show_default=True, help="How many cameras, /cam1 to /camN.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8554, show_default=True, help="RTSP port; 0 takes a free one.")
@click.option("--codec", type=click.Choice(["h264"]), default="h264", show_default=True)
@click.option("--bitrate", default="2M", show_default=True, help="Mean bit rate: 2M, 800k.")
@click.option("--size", default="1280x720", show_default=True, help="Width x height.")
@click.option("--fps", default=25, show_default=True, help="Pictures a second.")
@click.option("--gop", default="2s", show_default=True, help="Distance of key frames: 2s, or 50 pictures.")
@click.option("--b-frames", default=0, show_default=True, help="B-frames between references.")
@click.option("--slices", default=1, show_default=True, help="Slices a picture.")
@click.option("--profile", type=click.Choice(["baseline", "main", "high"]), default="main", show_default=True)
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
        cameras=cameras, host=host, port=port, user=user, password=password, auth=auth, picture=picture
    )
    uvloop.run(simulator.run(options, click.echo))


@main.group()
def token() -> None:
    """Make and withdraw grant tokens: the right to watch, for a time."""


@token.command("create")
@_CONFIG
@click.option("--camera", "cameras", multiple=True, required=True, help="Camera id, or * for every camera.")
@click.option(
    "--action", "actions", multiple=True, type=click.Choice([a.value for a in Action]), default=["watch"]
)
@click.option("--ttl", default="1h", show_default=True, help="How long it lives: 90s, 15m, 1h, 7d.")
@click.option("--for", "subject", default="", help="Who will use it, as the access record names them.")
def create_token(
    *, path: Path, cameras: tuple[str, ...], actions: tuple[str, ...], ttl: str, subject: str
) -> None:
    """Print a new grant token.

    \b
    Examples:
      camrelay token create --camera front-door --ttl 15m --for ana
      camrelay token create --camera "*" --action watch --action snapshot
    """
    options = _load(path)
    grant, raw = mint(
        KeyRing(Path(options.store.directory) / KEYS),
        options.auth,
        cameras=cameras,
        actions=[Action(action) for action in actions],
        life_s=parse_duration(ttl),
        subject=subject,
        now_us=time.time_ns() // 1000,
    )
    click.echo(f"token {grant.id}; withdraw it with: camrelay token revoke {grant.id}", err=True)
    click.echo(raw)


@token.command("revoke")
@_CONFIG
@click.argument("token_id")
def revoke_token(path: Path, token_id: str) -> None:
    """Withdraw a token; whoever watches by it is cut within a second.

    \b
    Example:  camrelay token revoke 5f2b0c9d7a1e4f60a3b1
    """
    options = _load(path)
    revocations = RevocationFile(Path(options.store.directory) / REVOCATIONS)
    revocations.append(Revocation(HandleKind.TOKEN, token_id, time.time_ns() // 1000))
    click.echo(f"token {token_id} is withdrawn")


@main.command("demo")
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


def _load(path: Path) -> config.Config:
    """The configuration in a file, with its cameras' addresses checked."""
    try:
        text = path.read_text()
    except OSError as e:
        raise ConfigError(
            f"cannot read {path}: {e.strerror}", hint="start from config/camrelay.toml, or try: camrelay demo"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8") from None
    options = config.load(text, os.environ)
    check_cameras(options, text)
    return options


async def _serve(options: config.Config) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    app = App(options)
    await app.start()
    try:
        await stopped.wait()
    finally:
        await app.stop()
