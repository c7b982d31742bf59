"""Signing keys on disk."""

from __future__ import annotations

import base64
import os
import stat
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from auth_builders import NOW_US, OTHER_KEY, make_grant
from camrelay.auth.keys import ACTIVATION_S, KeyRing, key_id
from camrelay.auth.token import sign, verify
from camrelay.config import Auth, TenantKey
from camrelay.errors import ConfigError, TokenMalformed


def age(directory: Path, seconds: float = ACTIVATION_S) -> None:
    """Makes every key look that much older."""
    for path in directory.glob("*.pem"):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def test_the_first_start_makes_a_key_that_nobody_else_can_read(tmp_path: Path) -> None:
    """Directory 0700, file 0600; later starts find the same key."""
    directory = tmp_path / "store" / "keys"
    ring = KeyRing(directory)
    (path,) = directory.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    again = KeyRing(directory)
    assert again.signing.kid == ring.signing.kid
    assert list(again.verification) == [ring.signing.kid]


def test_what_the_ring_signs_the_ring_verifies(tmp_path: Path) -> None:
    """The id in the token names the key in the ring."""
    ring = KeyRing(tmp_path)
    grant = make_grant(key=ring.signing.kid)
    assert verify(sign(grant, ring.signing, Auth()), ring.verification, Auth(), NOW_US) == grant


def test_key_ids_are_jwk_thumbprints() -> None:
    """The example of RFC 8037 appendix A.3."""
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert key_id(Ed25519PublicKey.from_public_bytes(public)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_rotation_refuses_nobody(tmp_path: Path) -> None:
    """Case 27: the new key is believed before it signs, in every process; the old one stays believed."""
    ring, server = KeyRing(tmp_path), KeyRing(tmp_path)
    old = ring.signing.kid
    age(tmp_path)
    new = ring.rotate().kid
    server.refresh()
    assert ring.signing.kid == old
    assert set(server.verification) == {old, new}
    age(tmp_path)
    ring.refresh()
    assert ring.signing.kid == new
    assert set(ring.verification) == {old, new}


def test_a_retired_key_is_believed_no_more(tmp_path: Path) -> None:
    """The one that signs cannot be retired, nor one that is not there."""
    ring = KeyRing(tmp_path)
    old = ring.signing.kid
    with pytest.raises(ValueError, match="rotate first"):
        ring.retire(old)
    age(tmp_path)
    new = ring.rotate().kid
    age(tmp_path)
    ring.refresh()
    ring.retire(old)
    assert set(ring.verification) == {new}
    with pytest.raises(ValueError, match="no such key"):
        ring.retire(old)


def test_two_processes_may_rotate_at_once(tmp_path: Path) -> None:
    """Both keys are kept: neither overwrites the other."""
    one, two = KeyRing(tmp_path), KeyRing(tmp_path)
    made = {one.signing.kid, one.rotate().kid, two.rotate().kid}
    assert len(made) == 3
    assert set(two.verification) == made


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Case 80: its tokens may be anybody's."""
    KeyRing(tmp_path)
    next(tmp_path.iterdir()).chmod(mode)
    with pytest.raises(ConfigError, match="read by others"):
        KeyRing(tmp_path)


def encrypted() -> bytes:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

    return Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    )


@pytest.mark.parametrize(
    ("pem", "message"),
    [
        (b"", "no private key"),
        (b"not a key", "no private key"),
        (encrypted(), "no private key"),
        (
            X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "not an Ed25519 key",
        ),
    ],
)
def test_a_file_that_is_no_key_is_named(tmp_path: Path, pem: bytes, message: str) -> None:
    """The operator learns which file, and nothing of what is in it."""
    path = tmp_path / "grant-0001.pem"
    path.write_bytes(pem)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=message):
        KeyRing(tmp_path)


def test_a_link_is_no_key(tmp_path: Path) -> None:
    """Nobody slips in a key from somewhere else."""
    KeyRing(tmp_path / "other")
    (tmp_path / "keys").mkdir(mode=0o700)
    (tmp_path / "keys" / "grant-0001.pem").symlink_to(tmp_path / "other" / "grant-0001.pem")
    with pytest.raises(ConfigError):
        KeyRing(tmp_path / "keys")


def test_a_clock_set_back_leaves_a_key_to_sign_with(tmp_path: Path) -> None:
    """Every key seems to come from the future: the oldest signs."""
    ring = KeyRing(tmp_path)
    first = ring.signing.kid
    ring.rotate()
    age(tmp_path, seconds=time.time() - 2 * time.time())
    ring.refresh()
    assert ring.signing.kid == first


def test_a_tenants_key_is_believed_for_its_tenant_and_takes_no_place_of_ours(tmp_path: Path) -> None:
    """Case 3: its grants say the tenant; under the id of one of our keys it is not heard of."""
    public = base64.urlsafe_b64encode(OTHER_KEY.private.public_key().public_bytes_raw()).rstrip(b"=").decode()
    ours = KeyRing(tmp_path).signing.kid
    ring = KeyRing(tmp_path, [TenantKey(id=id, tenant="hotel", public=public) for id in ("k2", ours)])
    assert set(ring.own) == {ours}
    assert ring.verification[ours].tenant == ""
    grant = make_grant(key="k2", tenant="hotel")
    assert verify(sign(grant, OTHER_KEY, Auth()), ring.verification, Auth(), NOW_US) == grant
    with pytest.raises(TokenMalformed, match="wrong_tenant"):
        verify(
            sign(make_grant(key="k2", tenant="main"), OTHER_KEY, Auth()), ring.verification, Auth(), NOW_US
        )
