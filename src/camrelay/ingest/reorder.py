"""RTP datagrams in the order they were sent in, as far as that is worth waiting for (RFC 3550 §5.1)."""

from __future__ import annotations

#: How many datagrams are held while an earlier one is missing: a key frame's first hundred milliseconds.
REORDER_PACKETS = 64
#: How long; networks reorder by less, and a lost datagram must not hold up the picture for longer.
REORDER_S = 0.1


class Reorder:
    """Puts datagrams back into the order they were sent in, as far as that takes no longer than REORDER_S."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._held: dict[int, bytes] = {}
        self._held_since = 0.0

    def put(self, datagram: bytes, now: float) -> list[bytes]:
        """Takes one in; gives those whose turn it is."""
        sequence = int.from_bytes(datagram[2:4], "big")
        ahead = 0 if self._next is None else (sequence - self._next) & 0xFFFF
        if ahead == 0:
            self._next = sequence
        elif ahead >= 0x8000:
            # Late, or of a new count: not for this class to decide.
            return [datagram]
        if not self._held:
            self._held_since = now
        self._held[sequence] = datagram
        if len(self._held) > REORDER_PACKETS or now - self._held_since > REORDER_S:
            self._next = min(self._held, key=lambda held: (held - (self._next or 0)) & 0xFFFF)
        due = []
        at = self._next or 0
        while (following := self._held.pop(at, None)) is not None:
            due.append(following)
            at = (at + 1) & 0xFFFF
        if due:
            self._next, self._held_since = at, now
        return due
