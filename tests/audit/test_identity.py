"""Pseudonyms, addresses and sealed details: linkable while their keys exist, and not afterwards."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay.audit.identity import (
    Details,
    IpMode,
    Origin,
    Sidecar,
    Trace,
    cipher,
    details,
    pseudonym,
    seal,
    trace,
    unseal,
)
from camrelay.errors import ChainBroken

ANNA, BORIS = b"a" * 32, b"b" * 32
MONDAY, TUESDAY = b"m" * 32, b"t" * 32
SALT, NONCE = b"s" * 32, b"n" * 12
V4, V6 = IPv4Address("203.0.113.77"), IPv6Address("2001:db8:1:2::9")


# Pseudonyms.


def test_a_person_has_one_name_a_month() -> None:
    """The same in every event of the month, another in the next, and never somebody else's."""
    names = {
        pseudonym(key, month)
        for key in (ANNA, BORIS)
        for month in ("2026-10", "2026-11", "2027-11", "2026-1")
    }
    assert len(names) == 8
    assert pseudonym(ANNA, "2026-11") == pseudonym(ANNA, "2026-11")
    assert all(len(name) == 32 for name in names)


def test_pseudonyms_do_not_change_between_versions() -> None:
    """What is on disk must be found again: the construction is fixed."""
    assert pseudonym(ANNA, "2026-11") == "b7ba0ca826d0fa4e5d71c86ab3384ae4"
    assert trace(V4, IpMode.KEYED, MONDAY).address_hash == "fbd6c716406160c5481c2973d48fe00c"


# Addresses.


@pytest.mark.parametrize(
    ("mode", "network", "is_hashed", "is_sealed"),
    [
        (IpMode.NONE, "", False, False),
        (IpMode.PREFIX, "203.0.113.0/24", False, False),
        (IpMode.KEYED, "203.0.113.0/24", True, False),
        (IpMode.SEALED, "203.0.113.0/24", True, True),
    ],
)
def test_what_each_mode_keeps(mode: IpMode, network: str, is_hashed: bool, is_sealed: bool) -> None:
    """In the clear and under seal; the whole address is in the clear in none."""
    kept = trace(V4, mode, MONDAY)
    assert kept.network == network
    assert bool(kept.address_hash) == is_hashed
    assert details(V4, mode).ip == (str(V4) if is_sealed else "")
    assert str(V4) not in repr(kept)


def test_ipv6_keeps_a_48() -> None:
    """About what a household or a site has."""
    assert trace(V6, IpMode.PREFIX, MONDAY).network == "2001:db8:1::/48"


def test_no_address_leaves_nothing() -> None:
    """A Unix socket has none."""
    for mode in IpMode:
        assert trace(None, mode, MONDAY) == Trace()
        assert details(None, mode) == Details()


def test_an_address_is_the_same_all_day_and_another_the_next() -> None:
    """Abuse can be joined within the day."""
    today = {trace(V4, IpMode.KEYED, MONDAY).address_hash for _ in range(3)}
    assert len(today) == 1
    assert trace(V4, IpMode.KEYED, TUESDAY).address_hash not in today
    assert trace(IPv4Address("203.0.113.78"), IpMode.KEYED, MONDAY).address_hash not in today


def test_a_stolen_hash_is_found_by_whoever_has_the_key_and_by_nobody_after_the_day() -> None:
    """Case 70: hashing a sample of all IPv4 finds the planted address with the day's key, not without."""
    stolen = trace(V4, IpMode.KEYED, MONDAY).address_hash
    sample = [IPv4Address(n) for n in random.Random(1).sample(range(2**32), 20_000)] + [V4]

    def search(key: bytes) -> list[IPv4Address]:
        return [address for address in sample if trace(address, IpMode.KEYED, key).address_hash == stolen]

    assert search(MONDAY) == [V4]
    for guess in (TUESDAY, bytes(32), b"", ANNA):
        assert search(guess) == []


@given(st.ip_addresses(), st.ip_addresses())
def test_different_addresses_have_different_hashes(one: IPv4Address, other: IPv4Address) -> None:
    """Version 4 and 6 do not mix either."""
    hashes = [trace(address, IpMode.KEYED, MONDAY).address_hash for address in (one, other)]
    assert (hashes[0] == hashes[1]) == (one == other)


def test_uses_of_one_key_do_not_mix() -> None:
    """A pseudonym is no address hash, even over the same bytes."""
    month = V4.packed.decode("latin-1")
    assert pseudonym(ANNA, month) != trace(V4, IpMode.KEYED, ANNA).address_hash


# Sidecars.

KNOWN = Details(ip=str(V4), user_agent="Mozilla/5.0 canary", email="anna@example.org", path="/m/x")
CLEAR = trace(V4, IpMode.KEYED, MONDAY)


def sealed(event_id: str = "e1", known: Details = KNOWN, **overrides: Any) -> tuple[Sidecar, bytes]:
    chosen = {"cipher": cipher(ANNA), "salt": SALT, "nonce": NONCE, **overrides}
    blob, commitment = seal(Origin(known, CLEAR), event_id=event_id, **chosen)
    return Sidecar(CLEAR, blob), commitment


@given(
    st.builds(
        Details,
        ip=st.ip_addresses().map(str),
        user_agent=st.text(max_size=512),
        email=st.text(max_size=320),
        path=st.text(max_size=512),
    ),
    st.text(max_size=40),
)
def test_what_was_sealed_is_opened_with_the_key(known: Details, event_id: str) -> None:
    """Any details, any event."""
    sidecar, commitment = sealed(event_id, known)
    assert unseal(sidecar, commitment, event_id=event_id, cipher=cipher(ANNA)) == known


def test_nothing_of_it_can_be_read() -> None:
    """Case 66: a scan of what is stored finds no canary."""
    sidecar, commitment = sealed()
    stored = msgspec.msgpack.encode(sidecar) + commitment
    for canary in (str(V4), "canary", "anna", "example.org"):
        assert canary.encode() not in stored


def test_a_destroyed_key_takes_the_details_along() -> None:
    """Another key, or a fresh one for the same person, opens nothing."""
    sidecar, commitment = sealed()
    for key in (BORIS, bytes(32)):
        with pytest.raises(ChainBroken, match="cannot be opened"):
            unseal(sidecar, commitment, event_id="e1", cipher=cipher(key))


def test_a_sidecar_belongs_to_its_event() -> None:
    """Moved to another event, cut or changed anywhere, it does not open."""
    sidecar, commitment = sealed()
    with pytest.raises(ChainBroken):
        unseal(sidecar, commitment, event_id="e2", cipher=cipher(ANNA))
    blob = sidecar.blob
    changed = [bytes([*blob[:i], blob[i] ^ 1, *blob[i + 1 :]]) for i in range(len(blob))]
    for other in (*changed, b"", blob[:11], blob[:-1], blob + b"x"):
        with pytest.raises(ChainBroken, match="cannot be opened"):
            unseal(Sidecar(CLEAR, other), commitment, event_id="e1", cipher=cipher(ANNA))


def test_the_envelope_is_committed_to_its_sidecar() -> None:
    """Even with the key, nobody can put other details, network or hash beside the chain."""
    sidecar, commitment = sealed()
    others = [
        sealed(known=Details())[0],
        Sidecar(Trace("198.51.100.0/24", CLEAR.address_hash), sidecar.blob),
        Sidecar(Trace(CLEAR.network, "0" * 32), sidecar.blob),
        Sidecar(Trace(CLEAR.network + CLEAR.address_hash, ""), sidecar.blob),
    ]
    for other in others:
        with pytest.raises(ChainBroken, match="not those"):
            unseal(other, commitment, event_id="e1", cipher=cipher(ANNA))


def test_a_key_can_be_exchanged_without_touching_the_chain() -> None:
    """The commitment is to the plain details: sealed anew under another key they still fit."""
    _, commitment = sealed()
    again, same = sealed(cipher=cipher(BORIS), nonce=b"N" * 12)
    assert same == commitment
    assert unseal(again, commitment, event_id="e1", cipher=cipher(BORIS)) == KNOWN


def test_a_commitment_tells_nothing_to_whoever_guesses() -> None:
    """Case 70: without the salt, guessing the right details does not show that they are right."""
    _, commitment = sealed(salt=b"q" * 32)
    for salt in (SALT, bytes(32)):
        assert sealed(salt=salt)[1] != commitment


def test_commitments_do_not_change_between_versions() -> None:
    """What a line says of its sidecar must be true as long as the line is kept."""
    assert sealed()[1].hex() == "f609a28fa22cdfd7ac715ae7d3ebd19d2afdc7e879bd46f534d4bc4ae5f6394d"


def test_two_events_of_one_person_look_unrelated() -> None:
    """The same details twice: other salt, other commitment."""
    assert sealed(salt=b"1" * 32)[1] != sealed(salt=b"2" * 32)[1]
    assert sealed("e1")[1] != sealed("e2")[1]


def test_long_texts_are_cut() -> None:
    """A header of eight kilobytes does not become a record of eight kilobytes."""
    known = details(V6, IpMode.SEALED, user_agent="\udcff" * 9000, email="e" * 9000, path="p" * 9000)
    assert (len(known.user_agent), len(known.email), len(known.path)) == (512, 320, 512)
    assert ip_address(known.ip) == V6
    assert known.user_agent == "?" * 512


@pytest.mark.parametrize("wrong", [{"salt": b""}, {"nonce": b"n" * 16}])
def test_keys_salts_and_nonces_have_one_size(wrong: dict[str, bytes]) -> None:
    """A programming mistake is caught before anything is sealed with it."""
    with pytest.raises(AssertionError):
        sealed(**wrong)
    with pytest.raises(AssertionError):
        cipher(b"short")
