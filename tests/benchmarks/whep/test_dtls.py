"""A DTLS handshake without sockets."""

from __future__ import annotations

import contextlib

import pytest

from benchmarks.whep.dtls import PROFILES, Certificate, Handshake, HandshakeFailed


def run(client: Handshake, server: Handshake) -> None:
    """Carries flights between the two until nobody has anything to say."""
    to_server, to_client = client.step(), []
    while to_server or to_client:
        to_client += [answer for datagram in to_server for answer in server.step(datagram)]
        to_server = [answer for datagram in to_client for answer in client.step(datagram)]
        to_client = []


@pytest.fixture(scope="module")
def certificates() -> tuple[Certificate, Certificate]:
    return Certificate(), Certificate()


def test_both_sides_end_with_the_same_keys(certificates: tuple[Certificate, Certificate]) -> None:
    """What one encrypts with is what the other decrypts with; AES-GCM is preferred."""
    ours, theirs = certificates
    client = Handshake(ours, client=True, remote_fingerprint=theirs.fingerprint)
    server = Handshake(theirs, client=False, remote_fingerprint=ours.fingerprint.lower())
    run(client, server)
    assert client.keys is not None
    assert server.keys is not None
    assert client.keys.profile == server.keys.profile == "SRTP_AEAD_AES_128_GCM"
    assert client.keys.local_key == server.keys.remote_key
    assert client.keys.remote_key == server.keys.local_key
    assert len(client.keys.local_key) == sum(PROFILES[b"SRTP_AEAD_AES_128_GCM"])


def test_flights_are_cut_into_datagrams_a_path_can_carry(
    certificates: tuple[Certificate, Certificate],
) -> None:
    """No datagram is over 1,200 bytes, and each begins with a DTLS record."""
    ours, theirs = certificates
    client = Handshake(ours, client=True, remote_fingerprint=theirs.fingerprint)
    server = Handshake(theirs, client=False, remote_fingerprint=ours.fingerprint)
    flights = client.step()
    flights += [answer for datagram in flights for answer in server.step(datagram)]
    assert all(20 <= datagram[0] <= 63 and len(datagram) <= 1200 for datagram in flights)


def test_somebody_else_is_refused(certificates: tuple[Certificate, Certificate]) -> None:
    """A certificate that the description did not announce ends the handshake."""
    ours, theirs = certificates
    client = Handshake(ours, client=True, remote_fingerprint=ours.fingerprint)
    server = Handshake(theirs, client=False, remote_fingerprint=ours.fingerprint)
    with pytest.raises(HandshakeFailed, match="announced"):
        run(client, server)
    assert client.keys is None


def test_rubbish_is_not_fatal_to_the_process(certificates: tuple[Certificate, Certificate]) -> None:
    """Bytes that are no DTLS record are ignored or end the handshake, nothing else."""
    ours, theirs = certificates
    client = Handshake(ours, client=True, remote_fingerprint=theirs.fingerprint)
    client.step()
    with contextlib.suppress(HandshakeFailed):
        client.step(b"\x16" + bytes(60))
    assert client.keys is None
