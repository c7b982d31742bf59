"""Chromium plays through links that lose, delay and move: freezes are few, and nothing is started anew."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser

from benchmarks.link import Link
from camrelay import metrics
from camrelay.simulate.options import Picture
from stage import CAMERA, Stage, decoded, more, stats, watch

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

#: As cameras send it: about nine packets per access unit.
PICTURE = Picture(width=1280, height=720, bitrate_bps=2_000_000, gop_pictures=50)


def retransmissions(outcome: str) -> float:
    return float(metrics.rtp_retransmissions.labels(CAMERA, outcome)._value.get())


@pytest.mark.parametrize(
    "impairment",
    [
        {"loss": 0.01},
        {"loss": 0.03},
        {"loss": 0.05},
        {"loss": 0.03, "burst": 5},
        {"jitter_s": 0.05},
        {"bps": 20_000_000},
    ],
    ids=["1%", "3%", "5%", "bursts of 5", "50 ms jitter", "20 Mb/s"],
)
async def test_a_poor_link_is_mended(chromium: Browser, impairment: dict[str, Any]) -> None:
    """At least 99 % of what is asked for again is sent again, and the picture hardly ever stands."""
    answered, forgotten = retransmissions("answered"), retransmissions("forgotten")
    async with Stage(PICTURE) as stage, Link(stage.udp_port, **impairment) as link:
        page = await watch(chromium, stage, f"{{link: {link.port}}}")
        await decoded(page, 150)
        found = await stats(page)
        assert len(stage.viewers) == 1
        assert stage.viewers[0].end_reason is None

    asked = retransmissions("answered") - answered + retransmissions("forgotten") - forgotten
    assert retransmissions("answered") - answered >= 0.99 * asked
    assert asked > 0 or link.lost == 0
    assert found["totalFreezesDuration"] < 2
    assert found["pliCount"] <= 1


async def test_a_viewer_that_lost_its_way_is_shown_it(chromium: Browser) -> None:
    """Three seconds of nothing, with a key frame ten seconds away: a PLI is answered at once by a replay."""
    async with (
        Stage(Picture(width=640, height=360, bitrate_bps=1_000_000, gop_pictures=250)) as stage,
        Link(stage.udp_port) as link,
    ):
        page = await watch(chromium, stage, f"{{link: {link.port}}}")
        await decoded(page, 25)
        link.loss = 1.0
        await asyncio.sleep(3)
        link.loss = 0.0

        found = await more(page, 75)

    assert found["pliCount"] >= 1
    assert found["totalFreezesDuration"] < 6
    assert len(stage.viewers) == 1


async def test_a_viewer_whose_address_changes_is_followed(chromium: Browser) -> None:
    """As when a phone leaves the house: the next check comes from elsewhere, and the picture goes there."""
    async with Stage(PICTURE) as stage, Link(stage.udp_port) as link:
        page = await watch(chromium, stage, f"{{link: {link.port}}}")
        await decoded(page, 50)
        link.move()

        found = await more(page, 100)

    assert found["state"] == "connected"
    assert len(stage.viewers) == 1
