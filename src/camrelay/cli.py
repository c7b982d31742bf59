"""The `camrelay` command: reads options, calls one function, prints what a person needs to know next."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click
import uvloop

from camrelay import __version__, config, demo, logs
from camrelay.app import App
from camrelay.commands.camera import camera
from camrelay.commands.common import CONFIG, load
from camrelay.commands.discover import discover
from camrelay.commands.simulate import simulate
from camrelay.commands.token import token
from camrelay.errors import CamrelayError, ConfigError

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
@CONFIG
def serve(path: Path) -> None:
    """Run the relay until SIGTERM or Ctrl-C.

    \b
    Example:  camrelay serve --config /etc/camrelay.toml
    """
    options = load(path)
    logs.set_up(options.server.log_format, options.server.log_level)
    uvloop.run(_serve(options))


@main.command("check-config")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def check_config(path: Path) -> None:
    """Say whether a configuration can be used, and if not, which line is wrong.

    \b
    Example:  camrelay check-config camrelay.toml
    """
    options = load(path)
    count = len(options.camera)
    click.echo(f"{path} is fine: {count} camera{'' if count == 1 else 's'}")


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


for _command in (camera, discover, simulate, token):
    main.add_command(_command)
