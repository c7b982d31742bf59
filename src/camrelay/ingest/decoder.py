"""The relay's end of the process that makes pictures of key frames: one, started when first needed.

A key frame that kills it, or that it cannot finish, costs one picture: the next one gets a new process.
"""

from __future__ import annotations

import asyncio

import msgspec

from camrelay import metrics
from camrelay.errors import Overloaded, WorkerLost
from camrelay.ingest.keyframe import from_access_unit
from camrelay.ingest.process import Answering
from camrelay.model import AccessUnit

#: 4K takes 0.2 s; what takes longer than this, on however busy a machine, does not end.
PICTURE_S = 5.0
#: Pictures that wait for their turn; beyond it they would come too late for anybody.
MAX_WAITING = 16
#: No JPEG of 1920 pixels across is larger.
MAX_PICTURE_BYTES = 8_000_000

_NAME = "snapshot"


class Decoder:
    """Makes JPEGs of key frames."""

    def __init__(self) -> None:
        self._process: Answering | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def jpeg(self, key_frame: AccessUnit) -> bytes:
        """The picture in a key frame, b"" when there is none.

        Raises:
            Overloaded: MAX_WAITING wait already.
            WorkerLost: the process died of it, or took too long.
        """
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many pictures are asked for; try again")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._ask(msgspec.msgpack.encode(from_access_unit(key_frame)))
        finally:
            self._waiting -= 1

    async def stop(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop()

    async def _ask(self, question: bytes) -> bytes:
        is_done = False
        try:
            process = self._process
            if process is None:
                process = self._process = await Answering.start("snapshot")
            async with asyncio.timeout(PICTURE_S):
                process.questions.write(len(question).to_bytes(4, "big") + question)
                await process.questions.drain()
                size = int.from_bytes(await process.answers.readexactly(4), "big")
                if size > MAX_PICTURE_BYTES:
                    raise WorkerLost("the process that decodes pictures talks nonsense")
                picture = await process.answers.readexactly(size)
                is_done = True
                return picture
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            metrics.worker_restarts.labels(_NAME).inc()
            raise WorkerLost("the process that decodes pictures died") from None
        finally:
            # Half an answer, or nobody who waits for it: the next question would get this one's.
            if not is_done:
                await self.stop()
