"""The servers that are measured, one small adapter each, told the same as far as their options allow."""

from __future__ import annotations

from benchmarks.servers.adapter import Server
from benchmarks.servers.aiohttp_plain import AiohttpPlain
from benchmarks.servers.aiortc_path import AiortcPath
from benchmarks.servers.camrelay import Camrelay
from benchmarks.servers.go2rtc import Go2rtc
from benchmarks.servers.mediamtx import Mediamtx
from benchmarks.servers.nginx import Nginx

#: By name; camrelay first.
SERVERS: dict[str, type[Server]] = {
    server.name: server for server in (Camrelay, Mediamtx, Go2rtc, AiortcPath, Nginx, AiohttpPlain)
}
