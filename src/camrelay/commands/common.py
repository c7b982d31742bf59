"""What commands share: the --config option, and reading what it names."""

from __future__ import annotations

import os
from pathlib import Path

import click

from camrelay import config, config_file
from camrelay.check import check_cameras
from camrelay.errors import ConfigError

CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("camrelay.toml"),
    show_default=True,
    help="The configuration file.",
)


def load(path: Path) -> config.Config:
    """The configuration in a file, with its cameras' addresses checked."""
    try:
        text = path.read_text()
    except OSError as e:
        raise ConfigError(
            f"cannot read {path}: {e.strerror}", hint="start from config/camrelay.toml, or try: camrelay demo"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8") from None
    options = config_file.load(text, os.environ)
    check_cameras(options, text)
    return options
