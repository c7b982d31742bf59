"""What is needed for so many: from figures that are easy to check by hand."""

from __future__ import annotations

import msgspec
import pytest

from camrelay.capacity import Capacity, Cost, Costs, plan, read
from camrelay.errors import ConfigError

CAMERAS = Costs(
    core_percent=Cost(2, 0.2, 0.05, 0.03, measured=200), memory_mb=Cost(150, 1, 0.5, 0.02, measured=200)
)
WEBRTC = Costs(
    core_percent=Cost(5, 0.01, 0.02, 0.1, measured=1000), memory_mb=Cost(160, 0.12, 0, 0.04, measured=1000)
)
MEASURED = Capacity("a machine", "2026-11-22", {"cameras": CAMERAS, "webrtc": WEBRTC})


def test_costs_add_up() -> None:
    """The relay's own part is counted once, with the cameras."""
    found = plan(MEASURED, cameras=10, viewers=100, mbps=2, protocol="webrtc")

    assert found.ingest_cores == pytest.approx((2 + 10 * 0.2 + 20 * 0.05) / 100)
    assert found.viewer_cores == pytest.approx((100 * 0.01 + 200 * 0.02) / 100)
    assert found.memory_mb == pytest.approx(150 + 10 + 20 * 0.5 + 100 * 0.12)
    assert found.in_mbps == 20
    assert found.out_mbps == pytest.approx(212)
    assert (found.cores, found.relays) == (1, 1)
    assert found.error == 0.1
    assert not found.is_beyond


def test_without_viewers_their_error_does_not_count() -> None:
    """Nor need they have been measured."""
    found = plan(Capacity("", "", {"cameras": CAMERAS}), cameras=10, viewers=0, mbps=2, protocol="hls")

    assert (found.viewer_cores, found.out_mbps, found.error) == (0, 0, 0.03)


def test_a_relay_sends_from_one_core() -> None:
    """Viewers for more than 80 % of one need another relay."""
    found = plan(MEASURED, cameras=1, viewers=3000, mbps=2, protocol="webrtc")

    assert found.viewer_cores == pytest.approx(1.5)
    assert (found.cores, found.relays) == (2, 2)
    assert found.is_beyond


@pytest.mark.parametrize(
    ("cameras", "viewers", "is_beyond"), [(200, 1000, False), (201, 0, True), (1, 1001, True)]
)
def test_more_than_was_measured_is_said(cameras: int, viewers: int, is_beyond: bool) -> None:
    """A line fitted to small numbers may bend later."""
    assert plan(MEASURED, cameras, viewers, 0.1, "webrtc").is_beyond == is_beyond


def test_a_fit_never_promises_less_than_nothing() -> None:
    """Noise may give a small negative slope."""
    assert Cost(1, -1, 0, 0, 1).at(10, 10) == 0


def test_what_was_not_measured_is_not_guessed() -> None:
    """The other protocol costs something else."""
    with pytest.raises(ConfigError, match="hls"):
        plan(MEASURED, 1, 1, 2, "hls")


def test_the_file_is_read() -> None:
    """As the fit wrote it."""
    assert read(msgspec.json.encode(MEASURED)) == MEASURED


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b'{"machine": "", "measured_on": "", "costs": {}}'],
    ids=["empty", "other", "no cameras"],
)
def test_another_file_is_refused(data: bytes) -> None:
    """With a word on how to make one."""
    with pytest.raises(ConfigError):
        read(data)
