"""Tests of camrelay.simulate.tone."""

from __future__ import annotations

import pytest

from camrelay.simulate.options import Sound
from camrelay.simulate.tone import tone


@pytest.mark.parametrize(
    ("sound", "name", "samples"),
    [
        ("aac", "MPEG4-GENERIC/48000/1", 1024),
        ("opus", "opus/48000/2", 960),
        ("pcmu", "PCMU/8000", 160),
        ("pcma", "PCMA/8000", 160),
    ],
)
def test_a_loop_of_a_second(sound: Sound, name: str, samples: int) -> None:
    """In packets of equal time, about one second in all."""
    made = tone(sound)
    assert made is not None
    assert (made.name, made.samples) == (name, samples)
    assert 0.9 < len(made.payloads) * samples / made.clock_rate < 1.1


def test_silence_is_no_sound() -> None:
    """A camera without a microphone."""
    assert tone("none") is None
