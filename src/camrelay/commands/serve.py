"""`camrelay serve`."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click
import uvloop

from camrelay import config, logs
from camrelay.app import App
from camrelay.commands.common import CONFIG, load


@click.command()
@CONFIG
def serve(path: Path) -> None:
    """Run the relay until SIGTERM or Ctrl-C.

    \b
    Example:  camrelay serve --config /etc/camrelay.toml
    """
    options = load(path)
    logs.set_up(options.server.log_format, options.server.log_level)
    uvloop.run(_serve(options))


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
