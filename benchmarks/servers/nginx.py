"""nginx on static bodies."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping

import aiohttp

from benchmarks.child import accepts, free_port
from benchmarks.servers.static import StaticServer

_CONFIG = """\
daemon off;
worker_processes 1;
error_log stderr error;
pid {directory}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 10000000;
    open_file_cache max=100;
    client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
    uwsgi_temp_path {directory}; scgi_temp_path {directory};
    server {{ listen 127.0.0.1:{port}; root {directory}/bodies; }}
}}
"""


class Nginx(StaticServer):
    """One worker, sendfile, open files cached, no log."""

    name = "nginx"
    binary = "nginx"
    version_option = "-v"

    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        self._port = free_port()
        bodies = self.directory / "bodies"
        bodies.mkdir(exist_ok=True)
        # Workers run as somebody else when the master is root.
        for directory in (bodies, self.directory, self.directory.parent):
            directory.chmod(0o755)
        for name, length in self.bodies.items():
            (bodies / name).write_bytes(random.Random(length).randbytes(length))
        path = self.directory / "nginx.conf"
        path.write_text(_CONFIG.format(directory=self.directory, port=self._port))
        self.settings = {"workers": "1", "sendfile": "on", "open_file_cache": "on", "access log": "off"}
        return [self.binary, "-c", str(path)]

    async def is_ready(self, http: aiohttp.ClientSession, cameras: Collection[str]) -> bool:
        return await accepts(self._port)

    def body(self, name: str) -> str:
        return f"http://127.0.0.1:{self._port}/{name}"
