"""Processes beside the relay: modules of this room that may crash, hang or compute without holding it up.

Nothing else happens in the relay while it starts one, so starting has to be short: `subprocess` uses
vfork(2), a millisecond of its time however large it is. A fork copies its page tables, and has it wait until
the child was given the core and has run the interpreter's hooks.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Collection

#: Such a process computes for a second or two, beside viewers who wait for nobody (setpriority(2)). It gets a
#: third of what a process of the relay gets; with less, on a machine that is all busy, no camera would seem
#: to answer in time.
NICENESS = 5


class Process:
    """A running module of camrelay.ingest. Whoever starts one waits for its end.

    Args:
        standard: its standard input and output; None for neither.
        passed: descriptors that it inherits under their numbers.
        niceness: more than the relay's.
        is_apart: whether it has a session of its own: a Ctrl-C at the terminal does not reach it, and
            niceness means nothing against the relay (sched(7), autogroup).

    Raises:
        OSError: it did not start.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        standard: socket.socket | None = None,
        passed: Collection[int] = (),
        niceness: int = 0,
        is_apart: bool = False,
    ) -> None:
        either = subprocess.DEVNULL if standard is None else standard.fileno()
        self._process = subprocess.Popen(  # noqa: S603 - a module of ours
            [sys.executable, "-P", "-m", f"camrelay.ingest.{module}", *arguments],
            stdin=either,
            stdout=either,
            # What a library or a traceback may print holds URLs.
            stderr=subprocess.DEVNULL,
            pass_fds=tuple(passed),
            start_new_session=is_apart,
        )
        try:
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, self.pid, own + niceness)
            self._descriptor = os.pidfd_open(self.pid)
        except OSError:
            self.kill()
            self._process.wait()
            raise
        self._loop = asyncio.get_running_loop()
        self._is_over = asyncio.Event()
        self._loop.add_reader(self._descriptor, self._bury)

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """Ends it at once; nothing happens when it has ended already."""
        self._process.kill()

    async def wait(self) -> None:
        """Returns when it has ended."""
        await self._is_over.wait()

    def _bury(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._process.wait()
        self._is_over.set()


class Answering:
    """A module that reads questions from its standard input and writes answers to its standard output.

    It has a lower priority than the relay.

    Attributes:
        process: it.
        questions: where questions go; closed with the process.
        answers: where answers come from.
    """

    def __init__(
        self, process: Process, answers: asyncio.StreamReader, questions: asyncio.StreamWriter
    ) -> None:
        self.process = process
        self.answers = answers
        self.questions = questions

    @classmethod
    async def start(cls, module: str) -> Answering:
        """Starts it.

        Raises:
            OSError: it did not start.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = Process(module, standard=theirs, niceness=NICENESS)
        except OSError:
            ours.close()
            raise
        try:
            answers, questions = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            process.kill()
            ours.close()
            raise
        return cls(process, answers, questions)

    async def stop(self) -> None:
        """Ends it, whatever it does."""
        self.process.kill()
        self.questions.transport.abort()
        await self.process.wait()
