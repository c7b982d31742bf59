"""`camrelay serve`."""

from __future__ import annotations

import asyncio
import faulthandler
import signal
from pathlib import Path

import click
import uvloop

from camrelay import config, logs
from camrelay.app import STOP_LIMIT_S, App
from camrelay.audit import log as audit_log
from camrelay.commands.common import CONFIG, load

#: From the signal to the end of the process, whatever a thread still waits for: what everything, then the
#: record, may take, and two seconds to close.
_END_LIMIT_S = STOP_LIMIT_S + audit_log.STOP_LIMIT_S + 2.0


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
        # Should it come to that, where each thread stood is the last thing in the log.
        faulthandler.dump_traceback_later(_END_LIMIT_S, exit=True)
        await app.stop()
