"""The last seconds of one camera, in memory, as whole GOPs.

Two limits, bytes and seconds, and whichever is reached first drops the oldest GOP. A single GOP that outgrows
them (a camera with an endless GOP) loses its head instead: the ring then holds a tail that no decoder can
start on, and says so by having nothing since the last key frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain

from camrelay.model import CLOCK_RATE, AccessUnit

#: What an access unit costs beside its bytes: the struct, two integers, the bytes header and a deque slot.
#: Without it, a camera that sends empty access units would be bounded by nothing but time.
AU_OVERHEAD_BYTES = 256


class _Gop:
    """Access units that belong together; `has_key` while the key frame that starts them is still there."""

    __slots__ = ("has_key", "size_bytes", "units")

    def __init__(self, *, has_key: bool) -> None:
        self.has_key = has_key
        self.size_bytes = 0
        self.units: deque[AccessUnit] = deque()


def _size_bytes(au: AccessUnit) -> int:
    return len(au.data) + AU_OVERHEAD_BYTES


class Ring:
    """Access units of one camera, GOP-aligned and bounded.

    Args:
        seconds: longest span between the decoding times of the first and the last access unit.
        max_bytes: most memory the access units may hold, their overhead included.
    """

    __slots__ = ("_gops", "_max_bytes", "_max_ticks", "size_bytes")

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self._max_ticks = round(seconds * CLOCK_RATE)
        self._max_bytes = max_bytes
        self._gops: deque[_Gop] = deque()
        #: Memory held by the access units, their overhead included.
        self.size_bytes = 0

    def append(self, au: AccessUnit) -> None:
        """Adds the newest access unit and drops what no longer fits.

        A break in the timeline that does not start with a key frame cannot be decoded from the GOP before it,
        so it begins a GOP of its own, without a key frame.
        """
        if au.is_key or au.discontinuity or not self._gops:
            self._gops.append(_Gop(has_key=au.is_key))
        gop = self._gops[-1]
        size_bytes = _size_bytes(au)
        gop.units.append(au)
        gop.size_bytes += size_bytes
        self.size_bytes += size_bytes
        if self._is_over():
            self._shrink(gop)

    def _shrink(self, gop: _Gop) -> None:
        """Drops the oldest GOPs, and if that is not enough, the head of `gop`, the last one."""
        while len(self._gops) > 1 and self._is_over():
            self.size_bytes -= self._gops.popleft().size_bytes
        while len(gop.units) > 1 and self._is_over():
            size_bytes = _size_bytes(gop.units.popleft())
            gop.has_key = False
            gop.size_bytes -= size_bytes
            self.size_bytes -= size_bytes

    def clear(self) -> None:
        """Forgets everything."""
        self._gops.clear()
        self.size_bytes = 0

    def since_last_key(self) -> tuple[AccessUnit, ...]:
        """What a joiner needs: the access units from the last key frame on, () when there is none."""
        if not self._gops or not self._gops[-1].has_key:
            return ()
        return tuple(self._gops[-1].units)

    @property
    def bit_rate_bps(self) -> int:
        """Bits of access units per second over what is held, 0 while that is less than two of them."""
        ticks = self._ticks()
        units = sum(len(gop.units) for gop in self._gops)
        return (self.size_bytes - units * AU_OVERHEAD_BYTES) * 8 * CLOCK_RATE // ticks if ticks else 0

    def __iter__(self) -> Iterator[AccessUnit]:
        """Everything held, oldest first."""
        return chain.from_iterable(gop.units for gop in self._gops)

    def _is_over(self) -> bool:
        return self.size_bytes > self._max_bytes or self._ticks() > self._max_ticks

    def _ticks(self) -> int:
        return self._gops[-1].units[-1].dts - self._gops[0].units[0].dts if self._gops else 0

    def __repr__(self) -> str:
        units = sum(len(gop.units) for gop in self._gops)
        return f"<Ring {units} access units in {len(self._gops)} GOPs, {self.size_bytes} bytes>"
