"""What must not take long, on machines that are not ours alone."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec

P = ParamSpec("P")

#: A host that takes the cores away for a second does so now and then; what is slow by itself is slow always.
TRIES = 3


def cpu_s(call: Callable[[], object], enough_s: float) -> float:
    """The least CPU time of up to five calls, fewer once one took no longer than `enough_s`.

    One call may pay for something else, such as a garbage collection; five do not. Under a tracer it is 0:
    what coverage takes to look on says nothing of the call.
    """
    if sys.gettrace() is not None:
        call()
        return 0.0
    least = float("inf")
    for _ in range(5):
        began = time.thread_time()
        call()
        least = min(least, time.thread_time() - began)
        if least <= enough_s:
            break
    return least


def paced(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """A test of pace as seen from outside: it has to succeed once in `TRIES`.

    It starts what it looks at itself, so that each attempt begins anew. What is wrong at every attempt is not
    the machine's doing.
    """

    @functools.wraps(test)
    async def attempts(*args: P.args, **kwargs: P.kwargs) -> None:
        for left in reversed(range(TRIES)):
            try:
                return await test(*args, **kwargs)
            except AssertionError as error:
                if not left:
                    raise
                print(f"once more: {error}")

    return attempts
