"""The ICE-lite agent: who is answered, who is believed, and where packets go from then on."""

from __future__ import annotations

import contextlib

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from bounded import cpu_s
from camrelay.errors import BadStunMessage
from camrelay.fanout.webrtc.ice import MAX_ADDRESSES, Agent, local_ufrag

PASSWORD = "p" * 22
HOME = ("192.0.2.7", 5000)
TRAIN = ("198.51.100.7", 6000)


#: What one datagram of a stranger may cost.
LIMIT_S = 0.01


def make_agent(now: float = 0.0) -> Agent:
    return Agent("ours", PASSWORD, "theirs", now)


def check(
    *,
    username: str = "ours:theirs",
    password: str = PASSWORD,
    nominate: bool = False,
    role: str = "ICE-CONTROLLING",
    signed: bool = True,
) -> bytes:
    """A connectivity check as a browser sends it (RFC 8445 §7.2.2)."""
    attributes: dict[str, object] = {"USERNAME": username, "PRIORITY": 1, role: 7}
    if nominate:
        attributes["USE-CANDIDATE"] = None
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=attributes)
    if signed:
        message.add_message_integrity(password.encode())
    return bytes(message)


def test_a_signed_check_is_answered_with_the_address_it_came_from() -> None:
    """The response is signed as well, so that the viewer can believe it."""
    request = check()

    reply = make_agent().receive(request, HOME, 1.0)

    response = stun.parse_message(reply.data)
    assert response.message_class == stun.Class.RESPONSE
    assert response.transaction_id == request[8:20]
    assert response.attributes["XOR-MAPPED-ADDRESS"] == HOME
    assert response.check_message_integrity(PASSWORD.encode())


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        (("::ffff:192.0.2.7", 5000, 0, 0), ("192.0.2.7", 5000)),
        (("fe80::1%eth0", 5000, 0, 3), ("fe80::1", 5000)),
        (("2001:db8::1", 5000, 0, 0), ("2001:db8::1", 5000)),
    ],
)
def test_addresses_are_told_as_the_viewer_knows_them(
    address: tuple[str, int, int, int], seen: tuple[str, int]
) -> None:
    """Not as a dual-stack socket writes them."""
    reply = make_agent().receive(check(), address, 1.0)

    assert stun.parse_message(reply.data).attributes["XOR-MAPPED-ADDRESS"] == seen


def test_packets_go_to_the_nominated_address() -> None:
    """Before a nomination to the newest proven one, afterwards only where the viewer says."""
    agent = make_agent()
    assert agent.selected is None

    agent.receive(check(), HOME, 1.0)
    assert agent.selected == HOME
    agent.receive(check(), TRAIN, 2.0)
    assert agent.selected == TRAIN
    agent.receive(check(nominate=True), HOME, 3.0)
    agent.receive(check(), TRAIN, 4.0)
    assert agent.selected == HOME


def test_a_viewer_that_moves_is_followed() -> None:
    """It nominates its new address with a signed check; nothing has to be negotiated again."""
    agent = make_agent()
    assert agent.receive(check(nominate=True), HOME, 1.0).is_new

    moved = agent.receive(check(nominate=True), TRAIN, 2.0)

    assert moved.is_new
    assert not agent.receive(check(nominate=True), TRAIN, 3.0).is_new
    assert agent.selected == TRAIN
    assert agent.addresses == (HOME, TRAIN)


def test_each_check_renews_the_consent() -> None:
    """RFC 7675: a viewer that no longer checks no longer wants to be sent to."""
    agent = make_agent(5.0)
    assert agent.consented_s == 5.0

    agent.receive(check(), HOME, 9.0)

    assert agent.consented_s == 9.0


def test_a_viewer_that_claims_our_role_is_corrected() -> None:
    """A lite agent is always controlled: 487, and the claim proves no address."""
    agent = make_agent()

    reply = agent.receive(check(role="ICE-CONTROLLED"), HOME, 1.0)

    response = stun.parse_message(reply.data)
    assert response.message_class == stun.Class.ERROR
    assert response.error_code == 487
    assert agent.selected is None
    assert agent.addresses == ()


@pytest.mark.parametrize(
    "data",
    [
        check(password="q" * 22),
        check(signed=False),
        check(username="ours:somebody"),
        check(username="other:theirs"),
        check()[:-1],
        b"",
        bytes(20),
    ],
    ids=["password", "unsigned", "remote name", "local name", "cut short", "empty", "zeros"],
)
def test_what_is_not_signed_for_us_is_not_answered(data: bytes) -> None:
    """Silence: no answer that could be sent to a third address, and no change of ours."""
    agent = make_agent()

    with pytest.raises(BadStunMessage):
        agent.receive(data, HOME, 1.0)

    assert agent.selected is None
    assert agent.consented_s == 0.0


def test_addresses_are_limited() -> None:
    """The oldest gives way, never the one in use."""
    agent = make_agent()
    agent.receive(check(nominate=True), HOME, 0.0)

    forgotten = [agent.receive(check(), ("192.0.2.9", port), 1.0).forgotten for port in range(MAX_ADDRESSES)]

    assert forgotten == [None] * (MAX_ADDRESSES - 1) + [("192.0.2.9", 0)]
    assert HOME in agent.addresses
    assert len(agent.addresses) == MAX_ADDRESSES


def test_the_session_is_found_by_the_first_half_of_the_user_name() -> None:
    """Wherever the attribute stands."""
    assert local_ufrag(check()) == "ours"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(100),
        check()[:19],
        check(username="nocolon"),
        check(username="ü:theirs"),
        check(username="x" * 1300 + ":y"),
        bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST)),
        bytes(stun.Message(stun.Method.BINDING, stun.Class.RESPONSE)),
        b"\0\1\0\4\x21\x12\xa4\x42" + bytes(12) + b"\0\1\xff\xff",
    ],
    ids=[
        "empty",
        "zeros",
        "cut",
        "no colon",
        "not ASCII",
        "long",
        "no name",
        "response",
        "attribute past the end",
    ],
)
def test_what_names_no_session_is_dropped_early(data: bytes) -> None:
    """No user name, another message, noise: one cheap look is all it gets."""
    with pytest.raises(BadStunMessage):
        local_ufrag(data)


@given(st.binary(max_size=1500), st.booleans())
def test_noise_raises_nothing_else(data: bytes, is_headed: bool) -> None:
    """Raw, and behind a proper STUN header; and it does not take long."""
    if is_headed:
        data = b"\0\1" + len(data).to_bytes(2) + stun.COOKIE.to_bytes(4) + bytes(12) + data

    def look() -> None:
        with contextlib.suppress(BadStunMessage):
            local_ufrag(data)
        with contextlib.suppress(BadStunMessage):
            make_agent().receive(data, HOME, 0.0)

    assert cpu_s(look, LIMIT_S) <= LIMIT_S


@given(st.integers(0, len(check()) - 9), st.integers(1, 255))
def test_a_flipped_byte_is_noticed(at: int, mask: int) -> None:
    """Wherever it stands before the fingerprint, which follows the signature: nothing else is unsigned."""
    data = bytearray(check())
    data[at] ^= mask
    with pytest.raises(BadStunMessage):
        make_agent().receive(bytes(data), HOME, 0.0)
