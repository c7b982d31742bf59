"""The moving picture of a simulated camera, painted into plain bytes: planar YUV 4:2:0, full planes one after
another, no padding.

Top to bottom: the camera's name, the running clock, a bar that crosses the picture once per second, and a
band of fresh noise. The noise is what makes an encoder spend the bit rate it was given; all else is easy.
"""

from __future__ import annotations

import hashlib

#: Five columns by seven rows per glyph; one number per row, the leftmost column is the highest bit.
FONT = {
    " ": (0, 0, 0, 0, 0, 0, 0),
    "+": (0, 4, 4, 31, 4, 4, 0),
    ".": (0, 0, 0, 0, 0, 12, 12),
    ":": (0, 12, 12, 0, 12, 12, 0),
    "0": (14, 17, 19, 21, 25, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 2, 4, 8, 31),
    "3": (31, 2, 4, 2, 1, 17, 14),
    "4": (2, 6, 10, 18, 31, 2, 2),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "6": (6, 8, 16, 30, 17, 17, 14),
    "7": (31, 1, 2, 4, 8, 8, 8),
    "8": (14, 17, 17, 14, 17, 17, 14),
    "9": (14, 17, 17, 15, 1, 2, 12),
    "A": (14, 17, 17, 31, 17, 17, 17),
    "C": (14, 17, 16, 16, 16, 17, 14),
    "M": (17, 27, 21, 21, 17, 17, 17),
}
_COLUMNS, _ROWS = 5, 7

#: Luma of video range (BT.601 §2.5): ink, paper behind the ink, and the darkest of the background.
_INK, _PAPER, _DARKEST = 235, 16, 48

#: Noise is this far around mid grey: enough that no bit rate we allow runs out of detail.
_NOISE = bytes(112 + value % 48 for value in range(256))


def clock_text(index: int, fps: int) -> str:
    """Time of picture `index` within the loop, as minutes, seconds and hundredths."""
    hundredths = index * 100 // fps
    return f"{hundredths // 6000:02}:{hundredths // 100 % 60:02}.{hundredths % 100:02}"


class Painter:
    """Paints one camera's pictures.

    Args:
        width, height: in pixels, both even.
        fps: pictures per second.
        name: at most 8 characters of FONT; also decides the tint.
    """

    def __init__(self, width: int, height: int, fps: int, name: str) -> None:
        self._width, self._height, self._fps, self._name = width, height, fps, name
        #: Pixels per dot of a glyph: eight glyphs fill the width of a small picture.
        self._dot = max(1, min(height // 60, width // 60))
        self._noise_rows = height // 4
        row = bytes(_DARKEST + 96 * x // width for x in range(width))
        self._background = row * height
        noise = hashlib.shake_128(b"camera noise").digest(4 * width * self._noise_rows)
        self._noise = noise.translate(_NOISE)
        tint = hashlib.sha256(name.encode()).digest()
        quarter = width * height // 4
        self._chroma = bytes((112 + tint[0] % 32,)) * quarter + bytes((112 + tint[1] % 32,)) * quarter

    def paint(self, index: int) -> bytes:
        """Picture number `index` of the loop."""
        luma = bytearray(self._background)
        self._paint_bar(luma, index)
        line = (_ROWS + 2) * self._dot
        self._paint_text(luma, self._dot, self._name)
        self._paint_text(luma, self._dot + line, clock_text(index, self._fps))
        self._paint_noise(luma, index)
        return bytes(luma) + self._chroma

    def _paint_bar(self, luma: bytearray, index: int) -> None:
        thickness = max(2, self._width // 40)
        left = (self._width - thickness) * (index % self._fps) // self._fps
        bar = bytes((_INK,)) * thickness
        for start in range(left, self._width * (self._height - self._noise_rows), self._width):
            luma[start : start + thickness] = bar

    def _paint_text(self, luma: bytearray, top: int, text: str) -> None:
        on, off = bytes((_INK,)) * self._dot, bytes((_PAPER,)) * self._dot
        for row in range(_ROWS):
            dots = off
            for glyph in (FONT[character] for character in text):
                bits = glyph[row]
                dots += b"".join(on if bits >> column & 1 else off for column in range(_COLUMNS - 1, -1, -1))
                dots += off
            for y in range(top + row * self._dot, top + (row + 1) * self._dot):
                start = y * self._width + self._dot
                luma[start : start + len(dots)] = dots

    def _paint_noise(self, luma: bytearray, index: int) -> None:
        size = self._width * self._noise_rows
        # A large step, so that neighbouring pictures share nothing an encoder's motion search could find.
        start = index * 7919 * 101 % (len(self._noise) - size)
        luma[len(luma) - size :] = self._noise[start : start + size]
