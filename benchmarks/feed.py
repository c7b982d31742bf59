"""The cameras of a benchmark: camrelay's simulator in a process of its own, on the load's core."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import uvloop

from benchmarks.child import Child, accepts, free_port
from camrelay.simulate.options import Options, Picture, Sound
from camrelay.simulate.server import run

#: Encoding the pictures takes a second or two each when nobody has yet.
_START_TIMEOUT_S = 60.0


class Feed:
    """Simulated cameras, reachable at `url(1)` and so on; starts on entering, ends on leaving."""

    def __init__(
        self,
        directory: Path,
        core: int,
        *,
        cameras: int = 1,
        picture: Picture = Picture(),  # noqa: B008  (immutable)
        sound: Sound = "none",
        clock_every: int = 1,
    ) -> None:
        self.cameras = cameras
        self.picture = picture
        self.sound = sound
        self.clock_every = clock_every
        self._directory = directory
        self._core = core
        self._port = 0

    async def __aenter__(self) -> Feed:
        self._port = free_port()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Has the cameras there again, where they were."""
        options = Options(
            cameras=self.cameras,
            port=self._port,
            picture=self.picture,
            audio=self.sound,
            clock_every=self.clock_every,
        )
        command = [sys.executable, "-m", "benchmarks.feed", msgspec.json.encode(options).decode()]
        self._child = Child(command, self._core, self._directory / "feed.log")
        await self._child.until(lambda: accepts(self._port), _START_TIMEOUT_S)

    async def stop(self) -> None:
        """Takes the cameras away; harmless when they are."""
        await self._child.stop()

    @property
    def pid(self) -> int:
        """The simulator's process."""
        return self._child.pid

    def url(self, camera: int = 1) -> str:
        """Where a camera is."""
        return f"rtsp://127.0.0.1:{self._port}/cam{camera}"


def main() -> None:
    """The program: the cameras its argument describes, until it is told to stop."""
    uvloop.run(run(msgspec.json.decode(sys.argv[1], type=Options)))


if __name__ == "__main__":
    main()
