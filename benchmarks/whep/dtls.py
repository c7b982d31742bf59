"""One DTLS handshake over datagrams, either role, ending in SRTP keys (RFC 5764).

Nothing here owns a socket or a clock: datagrams go in, datagrams come out. One certificate serves every
viewer of the process, as one browser profile would.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

#: The profiles offered, the cheap one first; the value is (key bytes, salt bytes) of RFC 5764 §4.1.2 and RFC
#: 7714 §12.
PROFILES = {b"SRTP_AEAD_AES_128_GCM": (16, 12), b"SRTP_AES128_CM_SHA1_80": (16, 14)}

#: Datagrams of a flight stay below every path's MTU.
_MTU_BYTES = 1200

_RECORD_HEADER_BYTES = 13


class SrtpKeys(NamedTuple):
    """What the handshake leaves behind; `*_key` is master key and master salt in a row."""

    profile: str
    local_key: bytes
    remote_key: bytes


class HandshakeFailed(Exception):
    """The DTLS handshake cannot succeed any more; the text says why."""


class Certificate:
    """A self-signed ECDSA P-256 certificate, the TLS context that uses it, and its fingerprint for SDP."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "load client")])
        now = datetime.datetime.now(tz=datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=7))
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
        self.context = SSL.Context(SSL.DTLS_METHOD)
        self.context.set_options(SSL.OP_NO_TICKET)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)
        self.context.set_tlsext_use_srtp(b":".join(PROFILES))
        # The certificate is checked against the description's fingerprint after the handshake.
        self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)


class Handshake:
    """One handshake. `client` is True when the answer said `a=setup:passive`."""

    def __init__(self, certificate: Certificate, *, client: bool, remote_fingerprint: str) -> None:
        self._connection = SSL.Connection(certificate.context)
        self._connection.set_ciphertext_mtu(_MTU_BYTES)
        self._client = client
        self._remote_fingerprint = remote_fingerprint.upper()
        if client:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()
        self.keys: SrtpKeys | None = None

    def step(self, datagram: bytes | None = None) -> list[bytes]:
        """Takes one datagram, or None to start or after a timeout.

        Returns:
            The datagrams to send now.

        Raises:
            HandshakeFailed: the peer refused, or is not who its description says.
        """
        if datagram is not None:
            self._connection.bio_write(datagram)
        elif self.keys is None:
            self._connection.DTLSv1_handle_timeout()
        if self.keys is None:
            try:
                self._connection.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                raise HandshakeFailed(f"DTLS: {error}") from None
            else:
                self._finish()
        return self._flight()

    def _finish(self) -> None:
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        assert certificate is not None, "the context asks for a certificate"
        if certificate.fingerprint(hashes.SHA256()).hex(":").upper() != self._remote_fingerprint:
            raise HandshakeFailed("the certificate is not the one the description announced")
        profile = self._connection.get_selected_srtp_profile()
        if profile not in PROFILES:
            raise HandshakeFailed("no common SRTP profile")
        key_bytes, salt_bytes = PROFILES[profile]
        material = self._connection.export_keying_material(
            b"EXTRACTOR-dtls_srtp", 2 * (key_bytes + salt_bytes)
        )
        client_key, server_key = material[:key_bytes], material[key_bytes : 2 * key_bytes]
        client_salt, server_salt = material[2 * key_bytes :][:salt_bytes], material[-salt_bytes:]
        both = (client_key + client_salt, server_key + server_salt)
        local, remote = both if self._client else reversed(both)
        self.keys = SrtpKeys(profile.decode(), local, remote)

    def _flight(self) -> list[bytes]:
        """What OpenSSL wrote, cut at record boundaries into datagrams (RFC 6347 §4.1.1)."""
        try:
            data = self._connection.bio_read(65536)
        except SSL.WantReadError:
            return []
        datagrams: list[bytes] = []
        start = position = 0
        while position < len(data):
            end = position + _RECORD_HEADER_BYTES + int.from_bytes(data[position + 11 : position + 13])
            if end - start > _MTU_BYTES and position > start:
                datagrams.append(data[start:position])
                start = position
            position = end
        datagrams.append(data[start:])
        return datagrams
