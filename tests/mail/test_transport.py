"""Letters on their way: to a real SMTP server with each kind of TLS, and into a folder."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from camrelay.config import Mail
from camrelay.errors import MailFailed
from camrelay.mail.transport import Outbox, Smtp, transport_of
from test_tls import write_certificate


class Postbox:
    """A server's handler: keeps what comes, or answers as it is told."""

    def __init__(self) -> None:
        self.received: list[Envelope] = []
        self.over_tls: list[bool] = []
        self.users: list[bytes] = []
        self.to_recipient = "250 fine"
        self.to_data = "250 taken"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.received.append(envelope)
        self.over_tls.append(server.transport.get_extra_info("ssl_object") is not None)
        return self.to_data

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        self.users.append(data.login)
        return AuthResult(success=data.password == b"secret", handled=False)


@pytest.fixture
def box() -> Postbox:
    return Postbox()


@pytest.fixture
def letter() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "relay@cams.example", "bert@post.example"
    message["Subject"], message["Message-ID"] = "Привет", "<9f86@cams.example>"
    message.set_content("Здравствуйте!\n")
    return message


@asynccontextmanager
async def serving(box: Postbox, folder: Path, security: str, **options: Any) -> AsyncIterator[Smtp]:
    """A way to a server of this security, which believes the server's certificate alone."""
    write_certificate(folder)
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    ours = ssl.create_default_context(cafile=folder / "cert.pem")
    ours.check_hostname = False

    def protocol() -> SMTP:
        starttls = theirs if security == "starttls" else None
        return SMTP(
            box, hostname="mail.example", tls_context=starttls, authenticator=box.authenticate,
            auth_require_tls=False, loop=asyncio.get_running_loop(),
        )  # fmt: skip

    server = await asyncio.get_running_loop().create_server(
        protocol, "127.0.0.1", 0, ssl=theirs if security == "tls" else None
    )
    port = server.sockets[0].getsockname()[1]
    yield Smtp(Mail(server=f"127.0.0.1:{port}", **({"security": security} | options)), ours)
    server.close()


@pytest.mark.parametrize("security", ["tls", "starttls", "none"])
async def test_a_letter_arrives(box: Postbox, tmp_path: Path, letter: EmailMessage, security: str) -> None:
    """As it was written, encrypted as configured."""
    async with serving(box, tmp_path, security) as smtp:
        await smtp.send(letter)

    (received,) = box.received
    assert (received.mail_from, received.rcpt_tos) == ("relay@cams.example", ["bert@post.example"])
    assert b"Message-ID: <9f86@cams.example>" in received.content
    assert box.over_tls == [security != "none"]


@pytest.mark.parametrize(("password", "is_taken"), [("secret", True), ("wrong", False)])
async def test_a_server_may_want_a_password(
    box: Postbox, tmp_path: Path, letter: EmailMessage, password: str, is_taken: bool
) -> None:
    """A wrong one is the operator's fault, not the letter's: it is tried again."""
    async with serving(box, tmp_path, "starttls", username="relay", password=password) as smtp:
        if is_taken:
            await smtp.send(letter)
        else:
            with pytest.raises(MailFailed) as failed:
                await smtp.send(letter)
            assert not failed.value.is_final

    assert set(box.users) == {b"relay"}
    assert len(box.received) == is_taken


async def test_nothing_is_said_to_a_server_that_was_to_encrypt_and_does_not(
    box: Postbox, tmp_path: Path, letter: EmailMessage
) -> None:
    """A server without STARTTLS, or somebody who takes it out of its answer, gets no letter."""
    async with serving(box, tmp_path, "none", username="relay", password="secret") as plain:
        options = Mail(server=plain._options.server, security="starttls", username="relay", password="secret")
        smtp = Smtp(options)
        with pytest.raises(MailFailed) as failed:
            await smtp.send(letter)

    assert not failed.value.is_final
    assert (box.received, box.users) == ([], [])


async def test_a_certificate_that_nobody_vouches_for_gets_no_letter(
    box: Postbox, tmp_path: Path, letter: EmailMessage
) -> None:
    """This machine's own trust counts where no other is given."""
    async with serving(box, tmp_path, "tls") as trusting:
        with pytest.raises(MailFailed):
            await Smtp(Mail(server=trusting._options.server, security="tls")).send(letter)

    assert box.received == []


@pytest.mark.parametrize(
    ("to_recipient", "to_data", "is_final"),
    [
        ("550 no such user", "250 taken", True),
        ("450 greylisted", "250 taken", False),
        ("250 fine", "554 not such a letter", True),
        ("250 fine", "451 later", False),
    ],
)
async def test_a_server_says_whether_to_come_again(
    box: Postbox, tmp_path: Path, letter: EmailMessage, to_recipient: str, to_data: str, is_final: bool
) -> None:
    """5xx about the recipient or the letter is for good, 4xx is not; its words go no further."""
    box.to_recipient, box.to_data = to_recipient, to_data
    async with serving(box, tmp_path, "none") as smtp:
        with pytest.raises(MailFailed) as failed:
            await smtp.send(letter)

    assert failed.value.is_final is is_final
    assert failed.value.__cause__ is None
    assert "user" not in str(failed.value)


async def test_a_server_that_is_not_there_may_be_back(letter: EmailMessage, unused_tcp_port: int) -> None:
    """Nobody listens."""
    with pytest.raises(MailFailed) as failed:
        await Smtp(Mail(server=f"127.0.0.1:{unused_tcp_port}", security="none")).send(letter)

    assert not failed.value.is_final


async def test_an_outbox_has_each_letter_once(tmp_path: Path, letter: EmailMessage) -> None:
    """As a file that only camrelay's user can read; a folder that others write into gets none."""
    outbox = transport_of(Mail(outbox=str(tmp_path / "outbox")))
    assert isinstance(outbox, Outbox)
    await outbox.send(letter)
    await outbox.send(letter)

    (path,) = (tmp_path / "outbox").iterdir()
    assert (path.name, path.stat().st_mode & 0o777) == ("9f86.eml", 0o600)
    assert b"To: bert@post.example" in path.read_bytes()
    (tmp_path / "outbox").chmod(0o777)
    with pytest.raises(MailFailed):
        await outbox.send(letter)


def test_the_configuration_chooses_the_way() -> None:
    """A server, a folder, or none at all."""
    assert transport_of(Mail()) is None
    assert isinstance(transport_of(Mail(server="mail.example:465")), Smtp)
