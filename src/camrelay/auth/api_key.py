"""API keys: what programs show for months. Like a grant token, but long-lived, and kept: as a hash.

A key begins with "cr_live_", so that scanners of published code know it, and names its id; the rest is 256
random bits. What it allows is a grant, so nothing that judges grants needs to know of keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from camrelay.auth.token import Grant
from camrelay.model import Action

PREFIX = "cr_live_"
#: Longer than a year asks for a key that nobody remembers.
MAX_LIFE_S = 400 * 86_400


class ApiKey(msgspec.Struct, frozen=True):
    """What is kept of a key; times are microseconds of UTC. `name` says who uses it."""

    id: str
    digest: bytes
    name: str
    cameras: tuple[str, ...]
    actions: tuple[Action, ...]
    created_us: int
    expires_us: int

    @property
    def grant(self) -> Grant:
        """What it allows; revoked like a token, by its id."""
        return Grant(
            id=self.id,
            key="api-key",
            subject=f"key-{self.id}",
            cameras=self.cameras,
            actions=self.actions,
            issued_us=self.created_us,
            not_before_us=self.created_us,
            expires_us=self.expires_us,
        )


def spell(key_id: str, secret: str) -> str:
    """The key as its user shows it."""
    return f"{PREFIX}{key_id}_{secret}"


def digest(raw: str) -> bytes:
    """What a key is found by."""
    return hashlib.sha256(raw.encode(errors="replace")).digest()


class ApiKeys:
    """Every key there is, in memory: a request with one costs no database call."""

    def __init__(self, keys: Iterable[ApiKey] = ()) -> None:
        self.become(keys)

    def __iter__(self) -> Iterator[ApiKey]:
        return iter(list(self._keys.values()))

    def __len__(self) -> int:
        return len(self._keys)

    def grant(self, raw: str) -> Grant | None:
        """What a key allows, None when it is none of ours; whether its time is over the caller judges."""
        key = self._keys.get(digest(raw))
        return key.grant if key else None

    def add(self, key: ApiKey) -> None:
        """Believes a key from now on."""
        self._keys[key.digest] = key

    def become(self, keys: Iterable[ApiKey]) -> None:
        """Believes these keys and no others."""
        self._keys = {key.digest: key for key in keys}

    def remove(self, key_id: str) -> bool:
        """Believes a key no more; False when there was none."""
        found = [key.digest for key in self._keys.values() if key.id == key_id]
        for each in found:
            del self._keys[each]
        return bool(found)
