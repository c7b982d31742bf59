"""The store of accounts, on both databases: found by address, named by nobody else, and gone when removed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from auth_builders import NOW_US, make_account
from camrelay import config
from camrelay.account_store import AccountStore
from camrelay.auth.account import Account, Credentials, Invitation, Role, Tier, WebSession
from camrelay.camera_store import CameraStore
from camrelay.database import Database
from camrelay.errors import BadRequest, ConfigError, NameTaken, NotFound
from camrelay.sealing import Seal

SEAL = Seal(bytes(range(32)))
ANNA = make_account(email="canary@cams.example")
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def store(database: Database) -> AccountStore:
    return AccountStore(database, SEAL)


def bert(**overrides: object) -> Account:
    """An account beside Anna's, made after it."""
    return make_account(id="bert", email="bert@cams.example", created_us=NOW_US + 1, **overrides)


def session(
    id: str = "w1", *, created_us: int = NOW_US, used_us: int = NOW_US, is_kept: bool = False
) -> WebSession:
    return WebSession(id, "anna", created_us, used_us, NOW_US, "Firefox", "192.0.2.0/24", is_kept)


async def test_an_account_is_found_by_id_and_by_address(store: AccountStore) -> None:
    """As it was stored; and others are not."""
    await store.add(ANNA, "hash")

    assert await store.account("anna") == await store.by_email(ANNA.email) == ANNA
    assert await store.account("bert") is None
    assert await store.by_email("bert@cams.example") is None
    assert await store.credentials("anna") == Credentials("hash", None)
    assert await store.credentials("bert") is None


async def test_case_41_an_address_has_one_account(store: AccountStore) -> None:
    """Whoever comes second is told, when they are added and when they change to it."""
    await store.add(ANNA, "hash")
    with pytest.raises(NameTaken):
        await store.add(msgspec.structs.replace(ANNA, id="bert"), "hash")
    await store.add(bert(), "hash")
    with pytest.raises(NameTaken):
        await store.change(msgspec.structs.replace(ANNA, id="bert"))

    assert await store.accounts() == [ANNA, bert()]


async def test_changes_and_tenants(store: AccountStore) -> None:
    """A tenant begins with its first account; each lists its own."""
    other = bert(tenant="other")
    await store.add(ANNA, "hash")
    await store.add(other, "hash")
    changed = msgspec.structs.replace(ANNA, role=Role.STAFF, name="Anna B.", is_active=False)
    await store.change(changed)

    assert await store.accounts("main") == [changed]
    assert await store.accounts("other") == [other]
    with pytest.raises(NotFound):
        await store.change(make_account(id="carl", email="carl@cams.example"))


async def test_tiers_are_their_tenants_own(store: AccountStore) -> None:
    """An account has one of its own tenant, or none; one that somebody has stays."""
    home = Tier("main", "home", 2, 10)
    await store.set_tier(home)
    await store.set_tier(msgspec.structs.replace(home, max_cameras=3))
    await store.add(msgspec.structs.replace(ANNA, tier="home"), "hash")

    assert await store.tiers("main") == [Tier("main", "home", 3, 10)]
    assert await store.tier_of("anna") == Tier("main", "home", 3, 10)
    assert await store.tier_of("bert") is None
    for stranger in (bert(tier="none"), bert(tier="home", tenant="other")):
        with pytest.raises(BadRequest):
            await store.add(stranger, "hash")
    with pytest.raises(BadRequest):
        await store.remove_tier("main", "home")
    await store.change(ANNA)
    await store.remove_tier("main", "home")
    with pytest.raises(NotFound):
        await store.remove_tier("main", "home")


async def test_what_somebody_signs_in_with_is_replaced(store: AccountStore) -> None:
    """Password and second factor, each by itself."""
    await store.add(ANNA, "hash")
    await store.set_password("anna", "other")
    await store.set_totp("anna", SECRET)
    assert await store.credentials("anna") == Credentials("other", SECRET)

    await store.set_totp("anna", None)
    assert await store.credentials("anna") == Credentials("other", None)


async def test_a_code_works_once_however_many_try(store: AccountStore) -> None:
    """Nor does one from before it."""
    await store.add(ANNA, "hash")

    assert sorted(await asyncio.gather(*(store.use_totp("anna", 5) for _ in range(20)))).count(True) == 1
    assert not await store.use_totp("anna", 4)
    assert await store.use_totp("anna", 6)


async def test_a_session_is_found_by_its_cookie_alone(store: AccountStore) -> None:
    """With whose it is; a new cookie replaces the old one."""
    await store.add(ANNA, "hash")
    await store.add_session(session(), b"digest")
    assert await store.find_session(b"digest") == (ANNA, session())

    await store.use_session("w1", NOW_US + 1)
    await store.rotate_session("w1", b"other", NOW_US + 2)

    assert await store.find_session(b"digest") is None
    (found,) = await store.sessions("anna")
    assert (found.used_us, found.confirmed_us) == (NOW_US + 2, NOW_US + 2)


async def test_sessions_end_one_by_one_and_all_but_one(store: AccountStore) -> None:
    """Nobody ends those of others."""
    await store.add(ANNA, "hash")
    for place in range(4):
        await store.add_session(session(f"w{place}", created_us=NOW_US + place), bytes([place]))

    assert await store.end_sessions(account="bert", only="w0") == []
    assert await store.end_sessions(account="anna", only="w0") == ["w0"]
    assert sorted(await store.end_sessions(account="anna", but="w2")) == ["w1", "w3"]
    assert [each.id for each in await store.sessions("anna")] == ["w2"]
    assert await store.end_sessions(account="anna") == ["w2"]


async def test_old_and_unused_sessions_end(store: AccountStore) -> None:
    """By when they began and by when they were last used."""
    await store.add(ANNA, "hash")
    for id, created_us, used_us in (("old", 10, 90), ("idle", 50, 60), ("alive", 50, 90)):
        await store.add_session(session(id, created_us=created_us, used_us=used_us), id.encode())

    assert sorted(await store.end_unused(20, 70, kept=False)) == ["idle", "old"]
    assert await store.end_unused(20, 70, kept=False) == []
    await store.add_session(session("kept", created_us=10, used_us=10, is_kept=True), b"kept")
    assert await store.end_unused(20, 70, kept=False) == []
    assert await store.end_unused(20, 70, kept=True) == ["kept"]


async def test_an_invitation_is_used_once_and_before_its_end(store: AccountStore) -> None:
    """By one of those who try together; what nobody came by is forgotten."""
    await store.set_tier(Tier("main", "home", 1, 1))
    invitation = Invitation("main", Role.OWNER, "home", NOW_US)
    for digest in (b"one", b"two", b"three"):
        await store.add_invitation(invitation, digest)
    with pytest.raises(BadRequest):
        await store.add_invitation(msgspec.structs.replace(invitation, tier="none"), b"four")

    taken = await asyncio.gather(*(store.take_invitation(b"one", NOW_US - 1) for _ in range(20)))
    assert [each for each in taken if each is not None] == [invitation]
    assert await store.take_invitation(b"two", NOW_US) is None
    await store.drop_invitations(NOW_US)
    assert await store.take_invitation(b"three", NOW_US - 1) is None


async def test_removing_takes_everything_along(store: AccountStore, database: Database) -> None:
    """Once their cameras are gone."""
    await store.add(ANNA, "hash")
    await store.add_session(session(), b"digest")
    cameras = CameraStore(database, SEAL)
    await cameras.add_camera(config.Camera(id="door", url="rtsp://192.0.2.1/", owner="anna"))
    with pytest.raises(BadRequest):
        await store.remove("anna")

    await cameras.remove_camera("door")
    await store.remove("anna")

    assert await store.accounts() == []
    assert await store.credentials("anna") is None
    assert await store.find_session(b"digest") is None
    with pytest.raises(NotFound):
        await store.remove("anna")


async def test_a_stolen_database_names_nobody(
    store: AccountStore, database: Database, database_url: str, tmp_path: Path
) -> None:
    """Addresses and secrets are sealed; another key neither finds nor opens them."""
    await store.add(ANNA, "hash")
    await store.set_totp("anna", SECRET)
    if database_url.startswith("sqlite"):
        assert (tmp_path / "camrelay.db").exists()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"canary" not in kept
    assert SECRET.encode() not in kept

    thief = AccountStore(database, Seal(bytes(32)))
    assert await thief.by_email(ANNA.email) is None
    with pytest.raises(ConfigError):
        await thief.accounts()
