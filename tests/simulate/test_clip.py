"""Encoded loops: decoded again by libav, cached, and equal to what was asked for."""

from __future__ import annotations

from pathlib import Path

import av
import msgspec
import pytest

from camrelay.simulate import clip as module
from camrelay.simulate.clip import Clip, clip, encode
from camrelay.simulate.options import Picture

SMALL = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)


def decode(made: Clip, codec: str = "h264") -> list[av.VideoFrame]:
    """Every picture of the loop, in the order of showing."""
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = []
    for coded in made.pictures:
        frames += decoder.decode(av.Packet(b"".join(b"\0\0\0\1" + unit for unit in coded.nal_units)))
    return frames + decoder.decode(None)


@pytest.mark.parametrize(
    ("picture", "profile"),
    [
        (SMALL, "Main"),
        (Picture(width=322, height=182, bitrate_bps=300_000, profile="high", b_frames=2, slices=3), "High"),
        (Picture(width=320, height=180, bitrate_bps=200_000, fps=10, profile="baseline"), "Baseline"),
    ],
)
def test_a_loop_is_what_was_asked_for(picture: Picture, profile: str) -> None:
    """Size, profile, key frames, slices and bit rate; whole GOPs of at least ten seconds, all decodable."""
    made = encode(picture, "CAM1")

    frames = decode(made)
    assert len(made.pictures) == len(frames) >= 10 * picture.fps
    assert {(picture.width, picture.height)} == {(f.width, f.height) for f in frames}
    assert profile == {66: "Baseline", 77: "Main", 100: "High"}[made.sps[1]]
    assert [at % picture.gop_pictures == 0 for at in range(len(frames))] == [p.is_key for p in made.pictures]
    assert {picture.slices} == {sum(u[0] & 31 <= 5 for u in p.nal_units) for p in made.pictures}
    size = sum(len(unit) for coded in made.pictures for unit in coded.nal_units)
    assert size * 8 * picture.fps / len(frames) == pytest.approx(picture.bitrate_bps, rel=0.1)


def test_key_frames_carry_parameter_sets_and_nothing_carries_anothers_sei() -> None:
    """SPS and PPS open each key frame; the encoder's signature is gone."""
    made = encode(SMALL, "CAM1")

    assert all((made.sps, made.pps) == p.nal_units[:2] for p in made.pictures if p.is_key)
    assert {1, 5, 7, 8} == {unit[0] & 31 for p in made.pictures for unit in p.nal_units}


def test_delay_is_that_of_b_frames() -> None:
    """Shown in order when sorted by when they were taken; never taken after being sent; none without."""
    made = encode(Picture(width=320, height=180, bitrate_bps=300_000, b_frames=2), "CAM1")

    taken = [sent - coded.delay for sent, coded in enumerate(made.pictures)]
    assert len(set(taken)) == len(taken)
    assert {0, 2, 3} <= {coded.delay for coded in made.pictures}
    assert min(coded.delay for coded in made.pictures) == 0
    assert {0} == {coded.delay for coded in encode(SMALL, "CAM1").pictures}


def test_a_loop_is_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time it comes from the cache; another name or option is another loop."""
    calls = []
    made = encode(SMALL, "CAM1")
    monkeypatch.setattr(module, "encode", lambda picture, name: calls.append(name) or made)

    first = clip(SMALL, "CAM1", str(tmp_path / "new"))
    again = clip(SMALL, "CAM1", str(tmp_path / "new"))
    clip(SMALL, "CAM2", str(tmp_path / "new"))

    assert calls == ["CAM1", "CAM2"]
    assert made == first == again


def test_a_damaged_cache_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a file is as good as none."""
    made = encode(SMALL, "CAM1")
    monkeypatch.setattr(module, "encode", lambda picture, name: made)
    clip(SMALL, "CAM1", str(tmp_path))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])

    assert made == clip(SMALL, "CAM1", str(tmp_path))
    assert [path] == list(tmp_path.iterdir())
    assert path.stat().st_size > 1000


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where a file stands in the way, nor where the last step fails; nothing unfinished remains."""
    made = encode(SMALL, "CAM1")
    monkeypatch.setattr(module, "encode", lambda picture, name: made)
    (tmp_path / "file").write_text("")
    assert made == clip(SMALL, "CAM1", str(tmp_path / "file"))

    def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(Path, "replace", fail)
    assert made == clip(SMALL, "CAM1", str(tmp_path / "dir"))
    assert list((tmp_path / "dir").iterdir()) == []


def test_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under XDG_CACHE_HOME when no directory is named."""
    made = encode(SMALL, "CAM1")
    monkeypatch.setattr(module, "encode", lambda picture, name: made)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    clip(SMALL, "CAM1")

    assert len(list((tmp_path / "camrelay" / "clips").iterdir())) == 1


def test_h265_is_a_loop_too() -> None:
    """Decodable, with all three parameter sets in each key frame."""
    made = encode(msgspec.structs.replace(SMALL, codec="h265"), "CAM1")

    frames = decode(made, "hevc")
    assert len(made.pictures) == len(frames) == 250
    assert (frames[0].width, frames[0].height) == (320, 180)
    assert all((made.vps, made.sps, made.pps) == p.nal_units[:3] for p in made.pictures if p.is_key)
    assert [at % 25 == 0 for at in range(250)] == [p.is_key for p in made.pictures]
