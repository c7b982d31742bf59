"""Answers to many who waited, a group at a time: a part that a thousand wait for holds up nobody else."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import TypeVar

from camrelay import metrics
from camrelay.errors import CamrelayError
from camrelay.fanout.hls.waiting import Pending

Answer = TypeVar("Answer")

#: Answering one takes some 10 µs, a large part 30, and nothing else runs meanwhile.
_AT_ONCE = 200


def release(over: Iterable[Pending[Answer]], error: CamrelayError | None = None) -> None:
    """Ends waits, soon, with what was waited for, which is made now, or with the reason why there is none."""
    answers = deque((pending, error or pending.answer()) for pending in over)
    if answers:
        loop = asyncio.get_running_loop()
        loop.call_soon(_tell_some, loop, answers, loop.time())


def _tell_some(
    loop: asyncio.AbstractEventLoop,
    answers: deque[tuple[Pending[Answer], Answer | CamrelayError]],
    since: float,
) -> None:
    """Tells a group of those who waited, then lets everybody else have a turn, then the next group."""
    pending, answer = answers[0]
    if not pending.tell(answer, _AT_ONCE):
        answers.popleft()
    if answers:
        loop.call_soon(_tell_some, loop, answers, since)
    else:
        metrics.hls_request.labels("reload").observe(loop.time() - since)
