"""Servers that know no camera: they serve bodies of given sizes, the ceiling for HLS media."""

from __future__ import annotations

import abc

from benchmarks.servers.adapter import Server


class StaticServer(Server):
    """Serves `bodies`, name -> length in bytes, at `body(name)`; set before it is started."""

    bodies: dict[str, int]

    @abc.abstractmethod
    def body(self, name: str) -> str:
        """The URL of a body."""
