"""`camrelay check-config`."""

from __future__ import annotations

from pathlib import Path

import click

from camrelay.commands.common import load


@click.command("check-config")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def check_config(path: Path) -> None:
    """Say whether a configuration can be used, and if not, which line is wrong.

    \b
    Example:  camrelay check-config camrelay.toml
    """
    options = load(path)
    count = len(options.camera)
    click.echo(f"{path} is fine: {count} camera{'' if count == 1 else 's'}")
