"""A crowd of viewers against aiortc, whose ICE, DTLS and SRTP are not ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks.feed import Feed
from benchmarks.pinning import split
from benchmarks.servers.aiortc_path import AiortcPath
from benchmarks.whep.crowd import Crowd
from camrelay.simulate.options import Picture
from load import until_true

pytestmark = pytest.mark.e2e

PICTURE = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[AiortcPath]:
    """aiortc's own path in a process, with one camera."""
    cores = split()
    async with Feed(tmp_path, cores.load, picture=PICTURE) as feed:
        made = AiortcPath(tmp_path, cores.server)
        await made.start({"cam1": feed.url()})
        yield made
        await made.stop()


async def test_viewers_join_count_decode_and_leave(server: AiortcPath) -> None:
    """With GRO and without: nothing missing, samples open and decode, the clock gives a delay."""
    for gro in (True, False):
        async with Crowd(gro=gro, sample_every=2, reports_s=0.2) as crowd:
            joined = await crowd.join(server.whep("cam1"), 3, per_second=20)
            assert len(joined) == 3, crowd.failures
            first, second = crowd.samples()
            await until_true(lambda first=first, second=second: first.decoded > 5 and second.delays_s)
            totals = crowd.totals()
        assert totals.missing == totals.dropped == totals.late == 0
        assert totals.packets > 0
        assert first.not_authentic == first.decode_errors == first.broken == 0
        assert second.decoded == 0
        assert all(0 < delay < 5 for delay in second.delays_s)
        assert all(viewer.posted_at < viewer.answered_at < viewer.connected_at for viewer in joined)
        assert all(viewer.connected_at < viewer.secured_at for viewer in joined)


async def test_a_server_that_refuses_is_counted_by_reason(server: AiortcPath) -> None:
    """No viewer stays behind, and no socket."""
    async with Crowd() as crowd:
        assert await crowd.join(server.whep("cam1") + "/nothing", 2, per_second=100) == []
        assert crowd.failures == {"POST answered 404": 2}
        assert crowd.viewers == []
