"""One size of a WHEP crowd, measured and judged."""

from __future__ import annotations

import asyncio
import gc
import math
import os
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import exposition
from benchmarks.percentile import percentile
from benchmarks.rising import BUSY_LIMIT, CLIENT_BUSY_LIMIT, Limit, broken
from benchmarks.sampling import core_s, cpu_share, usage
from benchmarks.servers.adapter import Server
from benchmarks.whep.crowd import Crowd
from benchmarks.whep.viewer import Viewer


class Step(NamedTuple):
    """What was seen; not-a-number where nothing was.

    `lost` packets are the server's or the kernel's, `dropped` the load client's own. `delay` is from the
    camera's sending to the kernel's stamp at the viewer's socket, `start` from POST to first media packet.
    """

    size: int
    busy: float
    packets_per_s: float
    mbps: float
    lost: int
    dropped: int
    refused: int
    delay_p50_s: float
    delay_p99_s: float
    start_p50_s: float
    start_p99_s: float
    rss_bytes: int
    client_busy: float
    #: Of the server's core, what others took from it: noise.
    others: float
    lag_p99_s: float
    decoded: int
    undecodable: int
    broke: str = ""


def judge(step: Step, delay_limit_s: float) -> str:
    """The limit that this step breaks, "" when all hold."""
    return broken(
        Limit("viewers refused", not step.refused),
        Limit("load client", step.client_busy <= CLIENT_BUSY_LIMIT and not step.dropped),
        Limit("packets lost", step.lost <= 0 and step.packets_per_s > 0),
        Limit("pictures broken", not step.undecodable),
        Limit("core over 80 %", step.busy <= BUSY_LIMIT),
        Limit(f"p99 delay over {delay_limit_s * 1000:g} ms", not step.delay_p99_s > delay_limit_s),
    )


async def measure(
    server: Server,
    crowd: Crowd,
    *,
    joined: Sequence[Viewer],
    refused: int,
    seconds: float,
    delay_limit_s: float,
) -> Step:
    """Watches the crowd for a while.

    Args:
        joined: viewers whose start belongs to this size.
        refused: viewers that should have been there and are not.
    """
    gc.collect()
    gc.freeze()  # Thousands of viewers would be walked again and again.
    for sample in crowd.samples():
        sample.delays_s.clear()
    page_before = await server.metrics()
    core_before = core_s(server.core)
    before, server_before, own_before = crowd.totals(), usage(server.pid), usage(os.getpid(), alone=True)
    await asyncio.sleep(seconds)
    after, server_after, own_after = crowd.totals(), usage(server.pid), usage(os.getpid(), alone=True)
    core_after = core_s(server.core)
    lag = exposition.quantile(page_before, await server.metrics(), exposition.EVENT_LOOP_LAG, 0.99)
    samples = crowd.samples()
    delays = [delay for sample in samples for delay in sample.delays_s]
    starts = [v.first_packet_at - v.posted_at for v in joined if v.first_packet_at]
    elapsed, dropped = after.at - before.at, after.dropped - before.dropped
    busy = cpu_share(server_before, server_after)
    step = Step(
        size=after.viewers,
        busy=busy,
        packets_per_s=(after.packets - before.packets) / elapsed,
        mbps=(after.bytes - before.bytes) * 8 / 1e6 / elapsed,
        lost=after.missing - before.missing - dropped,
        dropped=dropped,
        refused=refused,
        delay_p50_s=percentile(delays, 50),
        delay_p99_s=percentile(delays, 99),
        start_p50_s=percentile(starts, 50),
        start_p99_s=percentile(starts, 99),
        rss_bytes=server_after.rss_bytes,
        client_busy=cpu_share(own_before, own_after),
        others=max(0.0, (core_after - core_before) / elapsed - busy),
        lag_p99_s=math.nan if lag is None else lag,
        decoded=sum(sample.decoded for sample in samples),
        undecodable=sum(sample.decode_errors + sample.not_authentic for sample in samples),
    )
    return step._replace(broke=judge(step, delay_limit_s))
