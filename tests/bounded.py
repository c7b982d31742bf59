"""What must not take long, on machines that are not ours alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


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
