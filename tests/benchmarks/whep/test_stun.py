"""Our few STUN messages against aioice, which is not ours."""

from __future__ import annotations

import aioice.stun

from benchmarks.whep import stun

LOCAL, REMOTE = ("lufrag", "local-password"), ("rufrag", "remote-password")


def checks() -> stun.Checks:
    return stun.Checks(LOCAL, REMOTE, tie_breaker=7)


def test_a_check_is_what_an_ice_agent_expects() -> None:
    """Controlling, nominating, signed with the remote password, fingerprint last."""
    message = aioice.stun.parse_message(checks().request(b"t" * 12))
    assert message.message_method == aioice.stun.Method.BINDING
    assert message.message_class == aioice.stun.Class.REQUEST
    assert message.attributes["USERNAME"] == "rufrag:lufrag"
    assert message.attributes["ICE-CONTROLLING"] == 7
    assert "USE-CANDIDATE" in message.attributes
    assert message.check_message_integrity(b"remote-password")


def test_a_response_tells_the_address_it_answers() -> None:
    """Signed with the local password, XOR-MAPPED-ADDRESS undone by the other side."""
    message = aioice.stun.parse_message(checks().response(b"t" * 12, ("127.0.0.9", 40_123)))
    assert message.message_class == aioice.stun.Class.RESPONSE
    assert message.attributes["XOR-MAPPED-ADDRESS"] == ("127.0.0.9", 40_123)
    assert message.check_message_integrity(b"local-password")


def test_parse_knows_stun_from_other_things() -> None:
    """Type and transaction of a message; None of media and of rubbish."""
    assert stun.parse(checks().request(b"t" * 12)) == (stun.BINDING_REQUEST, b"t" * 12)
    assert stun.parse(b"\x80" + bytes(40)) is None
    assert stun.parse(b"\0\1") is None
