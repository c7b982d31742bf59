"""Tests of camrelay.fanout.hls.sound: a track without gaps and overlaps, whatever comes."""

from __future__ import annotations

import io
from itertools import pairwise

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import AAC, PARAMS
from camrelay.fanout.hls import fmp4, sound
from camrelay.fanout.hls.sound import LATE_S, SAMPLES, Soundtrack
from camrelay.model import CLOCK_RATE, AudioCodec, AudioParams
from camrelay.simulate.tone import tone

#: Of an access unit of 48 kHz, in ticks.
STEP = SAMPLES * CLOCK_RATE // 48_000
PART = CLOCK_RATE // 5
STEREO = AudioParams(AudioCodec.AAC, 48_000, 2, bytes.fromhex("1190"))


def units(run: fmp4.SoundRun | None) -> list[bytes]:
    return list(run.units) if run else []


def test_sound_leaves_with_the_pictures_of_its_time() -> None:
    """Access units follow each other; each part's begin where the last one's ended."""
    track = Soundtrack(AAC, 0)
    for n in range(4):
        track.add(n * STEP, b"%d" % n)
    first = track.take(PART)
    track.add(4 * STEP, b"4")
    second = track.take(2 * PART)

    assert first is not None
    assert second is not None
    assert (units(first), first.decode_time, first.duration) == ([b"0", b"1", b"2", b"3"], 0, SAMPLES)
    assert (units(second), second.decode_time) == ([b"4"], 4 * SAMPLES)
    assert track.take(2 * PART) is None


def test_a_hole_becomes_silence() -> None:
    """As much as is missing, to the nearest access unit."""
    track = Soundtrack(AAC, 0)
    track.add(0, b"0")
    track.add(3 * STEP + STEP // 3, b"3")
    run = track.take(PART)
    assert [unit if len(unit) == 1 else b"-" for unit in units(run)] == [b"0", b"-", b"-", b"3"]


def test_what_comes_for_a_time_that_is_over_is_left_out() -> None:
    """Before the pictures began, twice, or far in the future."""
    track = Soundtrack(AAC, 10 * STEP)
    times = (8 * STEP, 10 * STEP, 10 * STEP, 10 * STEP + 3 * CLOCK_RATE)
    assert [track.add(pts, b"x") for pts in times] == [False, True, False, False]
    assert units(track.take(11 * STEP)) == [b"x"]


def test_sound_that_stops_is_replaced_and_may_come_back() -> None:
    """After half a second without, silence reaches as far as the pictures; then it waits for sound."""
    track = Soundtrack(AAC, 0)
    track.add(0, b"x")
    ends = [n * PART for n in range(1, 6)]
    silent = [len(units(track.take(end))) for end in ends]
    assert silent[:2] == [1, 0]
    assert sum(silent) * STEP > ends[-1] - STEP

    taken = [track.add(ends[-1] - 10 * STEP + n * STEP, b"back") for n in range(30)]
    heard = units(track.take(ends[-1] + PART))
    assert set(heard) == {b"back"}
    assert taken.index(True) >= 9
    assert all(taken[taken.index(True) :])


def test_sound_that_is_always_late_is_heard() -> None:
    """By less than what counts as missing, and not a bit of it is replaced."""
    track = Soundtrack(AAC, 0)
    late = round(LATE_S * CLOCK_RATE) - PART
    heard: list[bytes] = []
    for n in range(1, 20):
        for pts in range(0, 20 * PART, STEP):
            if (n - 1) * PART <= pts + late < n * PART:
                track.add(pts, b"x")
        heard += units(track.take(n * PART))
    assert set(heard) == {b"x"}


@given(st.lists(st.tuples(st.integers(-CLOCK_RATE, CLOCK_RATE), st.booleans()), max_size=60))
def test_whatever_comes_the_track_is_whole_and_holds_up_nothing(steps: list[tuple[int, bool]]) -> None:
    """No gap, no overlap, never more than LATE_S and a part behind the pictures."""
    track, end, runs = Soundtrack(AAC, 0), 0, []
    for step, is_part in steps:
        if is_part:
            end += PART
            run = track.take(end)
            runs += [run] if run else []
            reached = runs[-1].decode_time + len(runs[-1].units) * SAMPLES if runs else 0
            assert end * 48_000 // CLOCK_RATE - reached <= LATE_S * 48_000 + SAMPLES
        else:
            track.add(end + step, b"x")
    assert all(a.decode_time + len(a.units) * SAMPLES == b.decode_time for a, b in pairwise(runs))


@pytest.mark.parametrize("params", [AAC, STEREO], ids=["mono", "stereo"])
def test_a_decoder_takes_the_silence_and_hears_nothing(params: AudioParams) -> None:
    """The silent access unit is one, and all its samples are zero."""
    track = Soundtrack(params, 0)
    run = track.take(CLOCK_RATE)
    decoded = decode(params, run)
    assert decoded.samples >= 40_000
    assert decoded.loudest == 0


def test_a_decoder_hears_the_sound_beside_the_pictures() -> None:
    """libav reads both tracks of init section and fragment, and every access unit of the sound decodes."""
    beep = tone("aac")
    assert beep is not None
    track = Soundtrack(AAC, 0)
    for n, payload in enumerate(beep.payloads):
        track.add(n * STEP, payload[4:])
    run = track.take(CLOCK_RATE)
    decoded = decode(AAC, run)
    assert decoded.samples >= len(beep.payloads[1:]) * SAMPLES
    assert decoded.loudest > 0.1


class Decoded:
    """What libav made of a fragment's sound."""

    def __init__(self) -> None:
        self.samples = 0
        self.loudest = 0.0


def decode(params: AudioParams, run: fmp4.SoundRun | None) -> Decoded:
    init = fmp4.init_section(PARAMS, sound.track(params), sound.TRACK_ID)
    picture = fmp4.Sample(b"\0\0\0\x01\x65", CLOCK_RATE, 0, True)
    data = init + b"".join(fmp4.fragment(1, 0, [picture], run))
    decoded = Decoded()
    with av.open(io.BytesIO(data), format="mp4") as container:
        (video,), (audio,) = container.streams.video, container.streams.audio
        assert (audio.rate, audio.codec_context.channels) == (params.clock_rate, params.channels)
        assert video.width == PARAMS.width
        for packet in container.demux(audio):
            for frame in packet.decode():
                decoded.samples += frame.samples
                decoded.loudest = max(decoded.loudest, float(abs(frame.to_ndarray()).max()))
    return decoded
