"""Options of simulated cameras: what can be written, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from camrelay.errors import ConfigError
from camrelay.simulate.options import Options, Picture, parse_bitrate, parse_gop, parse_size


@pytest.mark.parametrize(
    ("text", "bps"), [("2M", 2_000_000), ("1.5m", 1_500_000), ("800k", 800_000), ("64000", 64_000)]
)
def test_bitrates(text: str, bps: int) -> None:
    """Bits per second, thousands, millions."""
    assert bps == parse_bitrate(text)


@pytest.mark.parametrize(("text", "pictures"), [("2s", 50), ("0.5s", 12), ("50", 50), ("10s", 250)])
def test_gops(text: str, pictures: int) -> None:
    """Seconds or pictures."""
    assert pictures == parse_gop(text, fps=25)


def test_sizes() -> None:
    """Width x height."""
    assert parse_size("1280x720") == (1280, 720)


@pytest.mark.parametrize("text", ["", "2G", "-1", "2 M", "M", "1e6", "99999999999"])
def test_nonsense_is_no_bitrate(text: str) -> None:
    """The error says how it is written."""
    with pytest.raises(ConfigError, match="written like 2M"):
        parse_bitrate(text)


@pytest.mark.parametrize("text", ["", "720p", "1280*720", "1280x", "x720", "-1x2"])
def test_nonsense_is_no_size(text: str) -> None:
    """The error says how it is written."""
    with pytest.raises(ConfigError, match="written like 1280x720"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "s", "2.5", "2m", "-2s"])
def test_nonsense_is_no_gop(text: str) -> None:
    """Half pictures do not exist either."""
    with pytest.raises(ConfigError, match="written like 2s"):
        parse_gop(text, fps=25)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bitrate_bps": 1}, "bitrate must be between 50000 and 50000000, not 1"),
        ({"width": 63}, "width must be"),
        ({"height": 2161}, "height must be"),
        ({"fps": 0}, "fps must be"),
        ({"gop_pictures": 0}, "gop must be"),
        ({"gop_pictures": 301, "fps": 5}, "gop must be between 1 and 300"),
        ({"b_frames": 5}, "b-frames must be"),
        ({"slices": 17}, "slices must be"),
        ({"width": 321}, "even"),
        ({"height": 181}, "even"),
        ({"profile": "baseline", "b_frames": 1}, "baseline has no b-frames"),
        ({"codec": "h265", "profile": "high"}, "h265 has the profile main"),
    ],
)
def test_pictures_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    """With the option's name as the command line has it."""
    with pytest.raises(ConfigError, match=message):
        Picture(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cameras": 0}, "cameras must be"),
        ({"port": 65536}, "port must be"),
        ({"clock_every": 0}, "clock-every must be"),
    ],
)
def test_simulators_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    """Like pictures."""
    with pytest.raises(ConfigError, match=message):
        Options(**wrong)
