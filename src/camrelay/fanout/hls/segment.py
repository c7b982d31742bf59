"""What HLS is made of here: init sections, parts, segments. Bytes never change once they are there."""

from __future__ import annotations

from typing import NamedTuple


class InitSection(NamedTuple):
    """What EXT-X-MAP names: running number, bytes, and what they decode, as in VideoParams.rfc6381."""

    number: int
    data: bytes
    codecs: str


class Part:
    """A partial segment. `number` runs through all segments, `duration` is in ticks, a gap has no `data`.

    Its pieces are bytes that the ring holds, too. They become one when the first viewer asks for them: most
    parts of most cameras nobody ever sees.
    """

    __slots__ = ("_pieces", "duration", "is_independent", "number", "size_bytes")

    def __init__(self, number: int, duration: int, is_independent: bool, *pieces: bytes) -> None:
        self.number = number
        self.duration = duration
        self.is_independent = is_independent
        self.size_bytes = sum(map(len, pieces))
        self._pieces = pieces

    @property
    def data(self) -> bytes:
        """What a viewer gets."""
        if len(self._pieces) != 1:
            self._pieces = (b"".join(self._pieces),)
        return self._pieces[0]

    @property
    def is_gap(self) -> bool:
        """Whether this part stands for media that never came."""
        return not self.size_bytes


class Segment:
    """A media segment: the concatenation of its parts, which are only ever appended, until `is_complete`.

    `date_us` is its program date in microseconds of UTC, `duration` is in ticks.
    """

    __slots__ = ("date_us", "duration", "init", "is_complete", "is_discontinuity", "is_gap", "msn", "parts")

    def __init__(
        self,
        msn: int,
        init: InitSection,
        date_us: int,
        *,
        is_discontinuity: bool = False,
        is_gap: bool = False,
    ) -> None:
        self.msn = msn
        self.init = init
        self.date_us = date_us
        self.is_discontinuity = is_discontinuity
        self.is_gap = is_gap
        self.is_complete = False
        self.duration = 0
        self.parts: list[Part] = []

    @property
    def size_bytes(self) -> int:
        """Bytes of all parts so far."""
        return sum(part.size_bytes for part in self.parts)

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "open"
        return f"<Segment {self.msn} {state}, {len(self.parts)} parts, {self.duration} ticks>"
