"""Until when an authority holds, and what ends when it is withdrawn.

One heap of deadlines and one index per handle. A handle is anything a lease hangs on: its token, the key
that signed it, the camera, the account. Deadlines are monotonic seconds, so setting the wall clock lengthens
nothing.
"""

from __future__ import annotations

import enum
import hashlib
import heapq
import math
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

_DIGEST = "sha256:"


class HandleKind(enum.StrEnum):
    """By what a lease can be ended early."""

    TOKEN = "token"  # noqa: S105 - a kind of handle, not a secret
    KEY = "key"
    ACCOUNT = "account"
    TENANT = "tenant"
    CAMERA = "camera"
    SHARE = "share"
    LINK = "link"
    WEB_SESSION = "web_session"
    SESSION = "session"


class Handle(NamedTuple):
    """One thing a lease hangs on, such as (TOKEN, its jti)."""

    kind: HandleKind
    id: str


def disguised(handle: Handle) -> Handle:
    """The same handle without an account's name, which may be a person's own; once is enough."""
    if handle.kind is not HandleKind.ACCOUNT or handle.id.startswith(_DIGEST):
        return handle
    digest = hashlib.sha256(b"camrelay account\0" + handle.id.encode(errors="replace")).hexdigest()
    return Handle(handle.kind, _DIGEST + digest[:32])


class _Lease(msgspec.Struct):
    deadline: float
    handles: tuple[Handle, ...]


class Leases:
    """Every lease that is alive. It ends once: by `remove`, `revoke` or `expire`, whichever comes first."""

    def __init__(self) -> None:
        self._leases: dict[str, _Lease] = {}
        self._by_handle: dict[Handle, dict[str, None]] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._leases)

    def add(self, id: str, deadline: float, handles: Iterable[Handle] = ()) -> None:
        """Begins a lease that ends at `deadline` (math.inf: only by revocation)."""
        assert id not in self._leases, "lease ids are given once"
        lease = self._leases[id] = _Lease(deadline, tuple(handles))
        for handle in lease.handles:
            self._by_handle.setdefault(handle, {})[id] = None
        if deadline != math.inf:
            heapq.heappush(self._heap, (deadline, id))

    def renew(self, id: str, deadline: float, handles: Iterable[Handle] = ()) -> bool:
        """Gives a running lease a new deadline and new handles.

        Returns:
            False when the lease is over: what has ended is not brought back.
        """
        if not self.remove(id):
            return False
        self.add(id, deadline, handles)
        return True

    def remove(self, id: str) -> bool:
        """Forgets a lease; False when it was over already."""
        lease = self._leases.pop(id, None)
        if lease is None:
            return False
        for handle in lease.handles:
            siblings = self._by_handle.get(handle, {})
            siblings.pop(id, None)
            if not siblings:
                self._by_handle.pop(handle, None)
        self._drop_stale_deadlines()
        return True

    def revoke(self, handle: Handle) -> list[str]:
        """Ends every lease that hangs on `handle` and returns their ids, oldest first."""
        ended = list(self._by_handle.get(handle, ()))
        for id in ended:
            self.remove(id)
        return ended

    def expire(self, now: float) -> list[str]:
        """Ends every lease whose deadline is reached and returns their ids, earliest deadline first."""
        ended = []
        while self._heap and self._heap[0][0] <= now:
            deadline, id = heapq.heappop(self._heap)
            lease = self._leases.get(id)
            if lease is not None and lease.deadline == deadline:
                self.remove(id)
                ended.append(id)
        return ended

    def next_deadline(self) -> float | None:
        """When `expire` should be called next; it may find nothing to end then."""
        return self._heap[0][0] if self._heap else None

    def _drop_stale_deadlines(self) -> None:
        # Entries of renewed and removed leases stay behind in the heap; it never outgrows the leases twofold.
        # The constant spares small heaps the work.
        if len(self._heap) > 2 * len(self._leases) + 64:
            self._heap = [(x.deadline, id) for id, x in self._leases.items() if x.deadline != math.inf]
            heapq.heapify(self._heap)
