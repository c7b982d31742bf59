"""Turns what followed "Bearer " into a grant that holds now.

The signature is checked once; keys, revocations and times are looked up at every use. A token seen once also
ends on the monotonic clock, so that setting the wall clock back does not lengthen it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from camrelay.auth.api_key import PREFIX, ApiKeys
from camrelay.auth.lease import Handle, HandleKind, disguised
from camrelay.auth.policy import grant_handles
from camrelay.auth.token import CLOCK_SKEW_US, Grant, VerificationKey, verify
from camrelay.config import Auth
from camrelay.errors import TokenExpired, TokenRevoked, TokenSignatureInvalid

#: About 8 MB of the largest grants. A viewer shows its token a few times, then its media session's secret.
CACHE_LIMIT = 4096
#: These mean one credential, now and later; the other kinds mean everything issued before the revocation.
_FOR_GOOD = {HandleKind.TOKEN, HandleKind.KEY}


class Verifier:
    """Verified tokens and what has been revoked.

    Args:
        options: whose tokens are meant and how long they may live.
        keys: the verification keys by id, as they are now.
        api_keys: what stands in the place of a token for months.
    """

    def __init__(
        self,
        options: Auth,
        keys: Callable[[], Mapping[str, VerificationKey]],
        api_keys: ApiKeys | None = None,
    ) -> None:
        self._options = options
        self._keys = keys
        self._api_keys = ApiKeys() if api_keys is None else api_keys
        self._verified: dict[bytes, tuple[Grant, float]] = {}
        self._revoked: dict[Handle, int] = {}
        self._prune_at = 1024

    def verify(self, raw: str, now: float, now_us: int) -> tuple[Grant, float]:
        """The grant in a token, and the monotonic second it ends at.

        Raises:
            TokenError: it is not a grant, not ours, over, not begun or withdrawn.
        """
        known = self._api_key(raw, now, now_us) if raw.startswith(PREFIX) else self._token(raw, now, now_us)
        grant, deadline = known
        if now >= deadline or now_us >= grant.expires_us:
            raise TokenExpired("expired")
        if any(self._is_revoked(handle, grant) for handle in grant_handles(grant)):
            raise TokenRevoked("revoked")
        return known

    def revoke(self, handle: Handle, at_us: int) -> None:
        """Refuses from now on that token or key, or everything that account or tenant was given before."""
        handle = disguised(handle)
        self._revoked[handle] = max(at_us, self._revoked.get(handle, 0))
        if len(self._revoked) > self._prune_at:
            self._prune(at_us)

    def _token(self, raw: str, now: float, now_us: int) -> tuple[Grant, float]:
        digest = hashlib.sha256(raw.encode(errors="replace")).digest()
        known = self._verified.get(digest)
        if known is None or known[0].key not in self._keys():
            grant = verify(raw, self._keys(), self._options, now_us)
            known = self._remember(digest, grant, now + (grant.expires_us - now_us) / 1e6)
        return known

    def _api_key(self, raw: str, now: float, now_us: int) -> tuple[Grant, float]:
        grant = self._api_keys.grant(raw)
        if grant is None:
            raise TokenSignatureInvalid("unknown_api_key")
        return grant, now + (grant.expires_us - now_us) / 1e6

    def _is_revoked(self, handle: Handle, grant: Grant) -> bool:
        at_us = self._revoked.get(disguised(handle))
        return at_us is not None and (handle.kind in _FOR_GOOD or grant.issued_us <= at_us)

    def _remember(self, digest: bytes, grant: Grant, deadline: float) -> tuple[Grant, float]:
        self._verified.pop(digest, None)
        if len(self._verified) >= CACHE_LIMIT:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = (grant, deadline)
        return grant, deadline

    def _prune(self, now_us: int) -> None:
        # Whatever was issued before has expired by then. A key stays revoked: its holder writes any date.
        horizon = now_us - self._options.max_token_life_s * 1_000_000 - CLOCK_SKEW_US
        self._revoked = {
            handle: at_us
            for handle, at_us in self._revoked.items()
            if at_us >= horizon or handle.kind == HandleKind.KEY
        }
        self._prune_at = 2 * len(self._revoked) + 1024
