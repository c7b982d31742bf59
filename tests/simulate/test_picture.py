"""The painted picture: a name and a clock that can be read, something that moves, something hard."""

from __future__ import annotations

import pytest

from camrelay.simulate.picture import FONT, Painter, clock_text

WIDTH, HEIGHT, FPS = 320, 180, 25


def read_text(planes: bytes, width: int, top: int, dot: int, glyphs: int) -> str:
    """Reads the dots of one line of text back into characters."""
    known = {rows: character for character, rows in FONT.items()}
    text = ""
    for glyph in range(glyphs):
        left = dot * (2 + 6 * glyph)
        rows = tuple(
            sum(
                (planes[(top + row * dot) * width + left + column * dot] > 128) << 4 - column
                for column in range(5)
            )
            for row in range(7)
        )
        text += known[rows]
    return text


@pytest.mark.parametrize(
    ("index", "text"), [(0, "00:00.00"), (31, "00:01.24"), (25 * 61, "01:01.00"), (25 * 6000, "100:00.00")]
)
def test_the_clock_shows_the_time_within_the_loop(index: int, text: str) -> None:
    """Minutes, seconds, hundredths."""
    assert text == clock_text(index, FPS)


def test_name_and_clock_can_be_read() -> None:
    """Dots of the picture read back as the name and the time."""
    dot = min(HEIGHT // 60, WIDTH // 60)
    planes = Painter(WIDTH, HEIGHT, FPS, "CAM4+").paint(31)

    assert read_text(planes, WIDTH, dot, dot, 5) == "CAM4+"
    assert read_text(planes, WIDTH, dot + 9 * dot, dot, 8) == "00:01.24"


@pytest.mark.parametrize(("width", "height"), [(64, 64), (320, 180), (1280, 720), (180, 320)])
def test_a_picture_is_planar_yuv_of_its_size(width: int, height: int) -> None:
    """One byte of luma and half a byte of chroma per pixel, in video range."""
    planes = Painter(width, height, FPS, "CAM1").paint(7)

    assert width * height * 3 // 2 == len(planes)
    assert min(planes) >= 16
    assert max(planes) <= 235


def test_pictures_differ_by_bar_and_noise_and_repeat_exactly() -> None:
    """The same number gives the same picture, another number another one, in both places that move."""
    first, again = (Painter(WIDTH, HEIGHT, FPS, "CAM1").paint(3) for _ in range(2))
    second = Painter(WIDTH, HEIGHT, FPS, "CAM1").paint(4)
    middle = slice(WIDTH * (HEIGHT // 2), WIDTH * (HEIGHT // 2 + 1))
    bottom = slice(WIDTH * (HEIGHT - 1), WIDTH * HEIGHT)

    assert first == again
    assert first[middle] != second[middle]
    assert first[bottom] != second[bottom]


def test_cameras_have_tints() -> None:
    """The chroma planes of two cameras differ."""
    one, two = (Painter(WIDTH, HEIGHT, FPS, name).paint(0)[WIDTH * HEIGHT :] for name in ("CAM1", "CAM2"))

    assert one != two
