"""Which sequence numbers came: the account a viewer keeps of its RTP packets."""

from __future__ import annotations

#: 0 to 65,535 and then the first few again, so that any run of one receive is a slice, also across the wrap.
_ORDER = tuple(range(65_536)) + tuple(range(4_096))


class Sequence:
    """Counts packets and gaps. `missing` goes down again when a packet comes late."""

    __slots__ = ("_expected", "_head", "late", "missing", "packets")

    def __init__(self) -> None:
        self._expected = -1
        self._head = -1
        self.packets = 0
        self.missing = 0
        self.late = 0

    @property
    def highest(self) -> int:
        """The highest sequence number so far."""
        return (self._expected - 1) & 0xFFFF

    def fast(self, heads: tuple[int, ...]) -> bool:
        """Counts a run of RTP packets that go on exactly where the last stopped.

        Args:
            heads: first two bytes and sequence number of each datagram, flat.

        Returns:
            False, with nothing counted, when they do not, or when one is not RTP: `packet` each of them.
        """
        count = len(heads) >> 1
        expected = self._expected
        if heads[1::2] != _ORDER[expected : expected + count]:
            return False
        firsts = heads[::2]
        # The second byte is marker bit and payload type; the marker stands on the last packet of a picture.
        if firsts.count(self._head) + firsts.count(self._head | 0x80) != count:
            return False
        self._expected = (expected + count) & 0xFFFF
        self.packets += count
        return True

    def packet(self, head: int, number: int) -> None:
        """Counts one RTP packet, whatever its place."""
        self._head = head & ~0x80
        self.packets += 1
        ahead = (number - self._expected) & 0xFFFF if self._expected >= 0 else 0
        if ahead < 0x8000:
            self.missing += ahead
            self._expected = (number + 1) & 0xFFFF
        else:
            self.missing -= 1
            self.late += 1
