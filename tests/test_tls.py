"""The listener's certificate: used, exchanged while connections are open, and never half."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from camrelay.errors import ConfigError
from camrelay.server import Route, build, listen, port_of
from camrelay.tls import Certificate, fingerprint, redirecting


def write_certificate(folder: Path, name: str = "localhost") -> bytes:
    """A new certificate and its key in `folder`; the certificate's SHA-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(text)
    return hashlib.sha256(made.public_bytes(Encoding.DER)).digest()


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    write_certificate(tmp_path)
    return Certificate(tmp_path / "cert.pem", tmp_path / "key.pem")


@pytest.fixture
async def port(certificate: Certificate) -> AsyncIterator[int]:
    """A listener with that certificate."""

    async def fine(_: web.Request) -> web.Response:
        return web.Response(text="fine")

    runner = await listen(build([Route("GET", "/x", fine)]), "127.0.0.1:0", tls=certificate.context)
    yield port_of(runner)
    await runner.cleanup()


async def shown(port: int) -> bytes:
    """The SHA-256 of the certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return hashlib.sha256(found).digest()


async def test_browsers_are_told_to_come_back_over_tls(port: int, tmp_path: Path) -> None:
    """RFC 6797; whoever knows the file knows the listener."""
    pin = aiohttp.Fingerprint(fingerprint(tmp_path / "cert.pem"))
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"https://127.0.0.1:{port}/x", ssl=pin) as answer,
    ):
        assert await answer.text() == "fine"
        assert answer.headers["Strict-Transport-Security"] == "max-age=15552000"


async def test_a_new_certificate_is_shown_without_a_restart(
    certificate: Certificate, port: int, tmp_path: Path
) -> None:
    """And the old one is, until both files are there."""
    before = await shown(port)
    assert not certificate.refresh()

    old_key = (tmp_path / "key.pem").read_bytes()
    after = write_certificate(tmp_path, "new")
    new_key = (tmp_path / "key.pem").read_bytes()
    (tmp_path / "key.pem").write_bytes(old_key)
    assert not certificate.refresh()
    assert await shown(port) == before

    (tmp_path / "key.pem").write_bytes(new_key)
    os.utime(tmp_path / "key.pem", ns=(1, 1))  # also when two writes share a tick of the clock
    assert certificate.refresh()
    assert await shown(port) == after != before


async def test_a_certificate_that_goes_away_stays_in_use(
    certificate: Certificate, port: int, tmp_path: Path
) -> None:
    """Renewal removes files before it writes them."""
    before = await shown(port)
    (tmp_path / "cert.pem").unlink()

    assert not certificate.refresh()
    assert await shown(port) == before


@pytest.mark.parametrize("broken", ["cert.pem", "key.pem"])
def test_a_certificate_that_is_none_stops_the_start(tmp_path: Path, broken: str) -> None:
    """With the options to look at, and nothing of what is in the files."""
    write_certificate(tmp_path)
    (tmp_path / broken).write_text("S3cret")

    with pytest.raises(ConfigError, match=r"server\.tls_certificate") as caught:
        Certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
    assert "S3cret" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        fingerprint(tmp_path / "nothing.pem")


async def test_the_plain_listener_sends_on_and_takes_nothing() -> None:
    """A body that came in the clear is refused; the place asked for is kept."""
    runner = await listen(build([Route("*", "/{path:.*}", redirecting(8443))]), "127.0.0.1:0")
    base = f"http://127.0.0.1:{port_of(runner)}"
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{base}/cameras/a?b=c", allow_redirects=False) as answer:
            assert answer.status == 308
            assert answer.headers["Location"] == "https://127.0.0.1:8443/cameras/a?b=c"
            assert "Strict-Transport-Security" not in answer.headers
        async with http.get(base, allow_redirects=False, headers={"Host": "cams.example"}) as answer:
            assert answer.headers["Location"] == "https://cams.example:8443/"
        async with http.post(f"{base}/v1/login", json={"password": "x"}) as answer:
            assert answer.status == 403
    await runner.cleanup()
