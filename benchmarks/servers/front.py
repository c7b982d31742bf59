"""nginx in front of camrelay, with the configuration that is shipped: TLS, HTTP/2, blocked reloads."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from benchmarks.child import Child, accepts, free_port

_SHIPPED = Path(__file__).parents[2] / "config" / "nginx.conf"
_START_TIMEOUT_S = 10.0
_CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=cams.example"
)


class Front:
    """A running proxy at `url`; starts on entering, ends on leaving.

    Args:
        directory: of its own.
        address: host and port of the relay.
    """

    def __init__(self, directory: Path, core: int, address: str) -> None:
        self._directory = directory
        self._core = core
        self._address = address
        self._port = 0

    @staticmethod
    def missing() -> str:
        """Why there can be none here, "" when there can."""
        return "" if shutil.which("nginx") and shutil.which("openssl") else "no nginx or openssl on PATH"

    @property
    def url(self) -> str:
        """Its certificate is signed by nobody."""
        return f"https://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Front:
        self._port = free_port()
        directory = self._directory
        directory.mkdir(parents=True)
        # Workers run as somebody else when the master is root.
        for each in (directory, directory.parent):
            each.chmod(0o755)
        key, certificate = directory / "key.pem", directory / "certificate.pem"
        made = await asyncio.create_subprocess_exec(
            *_CERTIFICATE.split(), "-keyout", key, "-out", certificate, stderr=asyncio.subprocess.DEVNULL
        )
        await made.wait()
        text = _SHIPPED.read_text()
        for shipped, here in (
            ("127.0.0.1:8080", self._address),
            ("listen 443", f"listen 127.0.0.1:{self._port}"),
            ("/etc/ssl/cams.example.pem", str(certificate)),
            ("/etc/ssl/cams.example.key", str(key)),
            ("/var/log/nginx", str(directory)),
        ):
            assert shipped in text, shipped
            text = text.replace(shipped, here)
        (directory / "camrelay.conf").write_text(text)
        temporary = "".join(
            f"{kind}_temp_path {directory}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main = directory / "nginx.conf"
        main.write_text(
            f"daemon off; worker_processes 1; pid {directory}/pid; error_log stderr; events {{}}"
            f"http {{ {temporary} include {directory}/camrelay.conf; }}"
        )
        self._child = Child(["nginx", "-c", str(main)], self._core, directory / "log")
        await self._child.until(lambda: accepts(self._port), _START_TIMEOUT_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._child.stop()
