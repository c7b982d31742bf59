"""The relay under faults: with options for single cameras, and names that only it knows."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from benchmarks.sampling import family
from benchmarks.servers.camrelay import PrivateCamrelay
from camrelay.model import Action

#: Runs a command with another /etc/hosts, in a mount namespace; nobody has to be root.
_WITH_HOSTS = (
    "unshare",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    'mount --bind "$0" /etc/hosts && exec "$@"',
)

#: A token that lasts longer than any act.
_TOKEN_LIFE_S = 3600


class Relay(PrivateCamrelay):
    """A relay of public cameras, some of them with options and names.

    Attributes:
        fields: camera -> what else its configuration says.
        hosts: its own /etc/hosts; None until `introduce` was called.
    """

    visibility = "public"
    #: A worker's death takes fifteen others along: more would only have the machine measure itself.
    cameras_per_worker = 16

    def __init__(self, directory: Path, core: int) -> None:
        super().__init__(directory, core)
        self.fields: dict[str, Mapping[str, str]] = {}
        self.hosts: Path | None = None

    @staticmethod
    def has_names() -> bool:
        """Whether this machine lets a process have a hosts file of its own."""
        with contextlib.suppress(OSError):
            return (
                subprocess.run(
                    [*_WITH_HOSTS, "/etc/hosts", "true"], capture_output=True, check=False
                ).returncode
                == 0
            )
        return False

    def introduce(self, host: str, address: str) -> None:
        """Lets it know a name; to be called before it starts."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.hosts = self.directory / "hosts"
        self.hosts.write_text(f"{address} {host}\n")

    def options(self, camera: str) -> Mapping[str, str]:
        return self.fields.get(camera, {})

    def configure(self, cameras: Mapping[str, str]) -> list[str]:
        command = super().configure(cameras)
        return command if self.hosts is None else [*_WITH_HOSTS, str(self.hosts), *command]

    def workers(self) -> list[int]:
        """Its processes that read cameras; the first one reads the first cameras, and so on."""
        return sorted(pid for pid in family(self.pid)[1:] if _is_worker(pid))

    async def probe(self, port: int) -> None:
        """Asks it for the streams of an ONVIF device at 127.0.0.1; what it says does not matter."""
        _, token = self.token(_TOKEN_LIFE_S, actions=(Action.MANAGE,))
        headers = {"Authorization": f"Bearer {token}"}
        question = {"host": "127.0.0.1", "port": port}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.url}/v1/probe", json=question, headers=headers) as answer,
        ):
            await answer.read()


def _is_worker(pid: int) -> bool:
    return b"camrelay.ingest.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
