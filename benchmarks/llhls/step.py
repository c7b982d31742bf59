"""One size of an HLS crowd, measured and judged."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import exposition
from benchmarks.llhls.crowd import Crowd
from benchmarks.llhls.viewer import Viewer
from benchmarks.percentile import percentile
from benchmarks.rising import BUSY_LIMIT, CLIENT_BUSY_LIMIT, Limit, broken
from benchmarks.sampling import core_s, cpu_share, usage
from benchmarks.servers.adapter import Server


class Step(NamedTuple):
    """What was seen; not-a-number where nothing was.

    `delay` is from the camera's sending of a piece's last access unit to the piece's last byte, `behind` the
    picture on screen against the camera, `start` from the first request to the first whole piece.
    """

    size: int
    busy: float
    requests_per_s: float
    mbps: float
    stalls: int
    failed: int
    delay_p50_s: float
    delay_p99_s: float
    behind_p50_s: float
    start_p50_s: float
    start_p99_s: float
    rss_bytes: int
    client_busy: float
    #: Of the server's core, what others took from it: noise.
    others: float
    lag_p99_s: float
    broke: str = ""


def judge(step: Step, delay_limit_s: float) -> str:
    """The limit that this step breaks, "" when all hold."""
    return broken(
        Limit("viewers failed", not step.failed),
        Limit("load client", step.client_busy <= CLIENT_BUSY_LIMIT),
        Limit("viewers stalled", not step.stalls and step.mbps > 0),
        Limit("core over 80 %", step.busy <= BUSY_LIMIT),
        Limit(f"p99 delay over {delay_limit_s * 1000:.0f} ms", not step.delay_p99_s > delay_limit_s),
    )


async def measure(
    server: Server, crowd: Crowd, *, joined: Sequence[Viewer], seconds: float, delay_limit_s: float
) -> Step:
    """Watches the crowd for a while; `joined` are the viewers whose start belongs to this size."""
    crowd.forget_delays()
    page_before = await server.metrics()
    core_before = core_s(server.core)
    before, server_before, own_before = crowd.totals(), usage(server.pid), usage(os.getpid(), alone=True)
    await asyncio.sleep(seconds)
    after, server_after, own_after = crowd.totals(), usage(server.pid), usage(os.getpid(), alone=True)
    core_after = core_s(server.core)
    lag = exposition.quantile(page_before, await server.metrics(), exposition.EVENT_LOOP_LAG, 0.99)
    delays = [delay for viewer in crowd.viewers for delay in viewer.delays_s]
    starts = [v.first_media_at - v.began_at for v in joined if v.first_media_at]
    elapsed, busy = after.at - before.at, cpu_share(server_before, server_after)
    step = Step(
        size=after.viewers,
        busy=busy,
        requests_per_s=(after.requests - before.requests) / elapsed,
        mbps=(after.bytes - before.bytes) * 8 / 1e6 / elapsed,
        stalls=after.stalls - before.stalls,
        failed=after.failed,
        delay_p50_s=percentile(delays, 50),
        delay_p99_s=percentile(delays, 99),
        behind_p50_s=percentile([b for viewer in crowd.viewers for b in viewer.behind_s], 50),
        start_p50_s=percentile(starts, 50),
        start_p99_s=percentile(starts, 99),
        rss_bytes=server_after.rss_bytes,
        client_busy=cpu_share(own_before, own_after),
        others=max(0.0, (core_after - core_before) / elapsed - busy),
        lag_p99_s=math.nan if lag is None else lag,
    )
    return step._replace(broke=judge(step, delay_limit_s))
