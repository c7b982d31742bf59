"""The `camrelay` command: finds a command's module, runs it, tells errors in one line.

A command's module is imported when the command is asked for: `camrelay token create` must not wait for the
media libraries that only `camrelay serve` needs.
"""

from __future__ import annotations

import importlib

import click

from camrelay import __version__, logs
from camrelay.errors import CamrelayError, ConfigError

#: Command -> its module in camrelay.commands and its name there.
_COMMANDS = {
    "api-key": ("api_key", "api_key"),
    "audit": ("audit", "audit"),
    "camera": ("camera", "camera"),
    "check-config": ("check_config", "check_config"),
    "demo": ("demo", "run_demo"),
    "discover": ("discover", "discover"),
    "key": ("key", "key"),
    "plan": ("plan", "plan"),
    "serve": ("serve", "serve"),
    "session": ("session", "session"),
    "share": ("share", "share"),
    "simulate": ("simulate", "simulate"),
    "tier": ("tier", "tier"),
    "token": ("token", "token"),
    "user": ("user", "user"),
}


class _Commands(click.Group):
    """Loads commands on demand; turns camrelay's own errors into one line and exit status 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"camrelay.commands.{module}"), name)
        return command

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
