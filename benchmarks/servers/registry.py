"""The servers that are measured, one small adapter each, told the same as far as their options allow."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.command import Run
from benchmarks.servers.adapter import Server
from benchmarks.servers.aiohttp_plain import AiohttpPlain
from benchmarks.servers.aiortc_path import AiortcPath
from benchmarks.servers.camrelay import Camrelay
from benchmarks.servers.go2rtc import Go2rtc
from benchmarks.servers.janus import Janus
from benchmarks.servers.mediamtx import Mediamtx, MediamtxLazy
from benchmarks.servers.nginx import Nginx

#: By name; camrelay first.
SERVERS: dict[str, type[Server]] = {
    server.name: server
    for server in (Camrelay, Mediamtx, MediamtxLazy, Go2rtc, Janus, AiortcPath, Nginx, AiohttpPlain)
}


def installed(run: Run, names: Sequence[str]) -> list[str]:
    """Those of the names that can be measured here; says why another cannot."""
    found = []
    for name in names:
        missing = SERVERS[name].missing()
        if missing:
            run.say(f"{name} is left out: {missing}")
            run.result.give_up(name, missing)
        else:
            found.append(name)
    return found
