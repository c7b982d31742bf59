"""Questions that are put to a process of their own, because what answers them may crash, hang or grow.

One process for each question: `python -m camrelay.ingest.X` reads it from standard input, and writes one
answer, or why there is none, to standard output. Credentials are in the question, never on a command line.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from camrelay import errors
from camrelay.errors import CameraUnreachable, Overloaded, SourceError, WorkerLost
from camrelay.ingest.process import Answering

#: Of address space, in the process; a decoder of 8K pictures needs half of it.
MEMORY_BYTES = 1_500_000_000
#: Whatever it does, a process that has computed this long is lost.
CPU_S = 20
#: A picture and what is said of it.
MAX_ANSWER_BYTES = 16_000_000
#: Each is a Python that starts and loads a library: more at once would only be slower.
MAX_AT_ONCE = 4

_REASONS = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SourceError)
}


class _Failure(msgspec.Struct):
    """Why there is no answer: an error's code, and its text, which is ours."""

    code: str
    text: str


class Errands:
    """Runs such processes, so many at once."""

    def __init__(self) -> None:
        self._running = 0

    async def run(self, module: str, question: bytes, *, limit_s: float) -> bytes:
        """Puts a question to a module below camrelay.ingest.

        Raises:
            Overloaded: MAX_AT_ONCE are under way.
            CameraUnreachable: no answer within `limit_s`.
            WorkerLost: the process died.
            SourceError: what the process says is wrong.
        """
        if self._running >= MAX_AT_ONCE:
            raise Overloaded("too many cameras are being looked at; try again", retry_after_s=5)
        self._running += 1
        try:
            return _opened(await _run(module, question, limit_s))
        finally:
            self._running -= 1


async def _run(module: str, question: bytes, limit_s: float) -> bytes:
    asked = await Answering.start(module)
    try:
        async with asyncio.timeout(limit_s):
            asked.questions.write(question)
            asked.questions.write_eof()
            answer = bytearray()
            while part := await asked.answers.read(65_536):
                answer += part
                if len(answer) > MAX_ANSWER_BYTES:
                    raise WorkerLost("the process that asked the camera never stops answering")
            return bytes(answer)
    except TimeoutError:
        raise CameraUnreachable("the camera did not answer in time") from None
    except OSError:
        # It went before it had read the question.
        raise WorkerLost("the process that asked the camera died") from None
    finally:
        await asked.stop()


def _opened(answer: bytes) -> bytes:
    """The answer behind its first byte, "+"; behind "-" stands a failure."""
    if answer[:1] == b"+":
        return answer[1:]
    try:
        failure = msgspec.json.decode(answer[1:], type=_Failure)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise WorkerLost("the process that asked the camera died") from None
    raise _REASONS.get(failure.code, SourceError)(failure.text)


def set_limits() -> None:
    """Bounds the memory of this process, and leaves no image of it behind when it crashes."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer_questions(answer: Callable[[bytes], Coroutine[Any, Any, bytes]]) -> None:
    """The other end: reads the question, writes the answer, ends. To be called by the module's main."""
    set_limits()
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    question = sys.stdin.buffer.read()
    try:
        said = b"+" + asyncio.run(answer(question))
    except SourceError as e:
        said = b"-" + msgspec.json.encode(_Failure(e.code, str(e)))
    sys.stdout.buffer.write(said)
    sys.stdout.buffer.flush()
    # Threads may sit in a library that is not to be waited for.
    os._exit(0)
