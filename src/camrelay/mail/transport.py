"""The way of a letter: to a mail server over SMTP, or into a folder while one develops.

What a server says stays here: its texts repeat addresses.
"""

from __future__ import annotations

import asyncio
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Protocol

import aiosmtplib
from aiosmtplib import SMTPDataError, SMTPException, SMTPRecipientsRefused

from camrelay.config import Mail
from camrelay.durable import make_private_directory, write_new
from camrelay.errors import ConfigError, MailFailed

#: For connecting, and for each answer; a server that greylists answers at once.
TIMEOUT_S = 30.0

#: From here on a server means it for good (RFC 5321 §4.2.1).
_PERMANENT = 500


class Transport(Protocol):
    """Takes letters."""

    async def send(self, message: EmailMessage) -> None:
        """Delivers a letter.

        Raises:
            MailFailed: nobody has taken it.
        """
        ...


class Smtp:
    """A mail server.

    Args:
        options: [mail], with a server; TLS from the first byte is RFC 8314.
        context: whose certificates are believed; None: those that this machine trusts.
    """

    def __init__(
        self,
        options: Mail,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._options = options
        self._host, _, port = options.server.rpartition(":")
        self._port = int(port)
        self._context = context

    async def send(self, message: EmailMessage) -> None:
        """Delivers a letter, by a connection of its own.

        Raises:
            MailFailed: final when the server does not want this letter or this recipient, ever.
        """
        try:
            await aiosmtplib.send(
                message,
                hostname=self._host,
                port=self._port,
                use_tls=self._options.security == "tls",
                # True fails where the server has no STARTTLS, instead of going on in the clear.
                start_tls=self._options.security == "starttls",
                username=self._options.username or None,
                password=self._options.password or None,
                tls_context=self._context,
                timeout=TIMEOUT_S,
            )
        except SMTPRecipientsRefused as e:
            raise MailFailed(is_final=all(each.code >= _PERMANENT for each in e.recipients)) from None
        except SMTPDataError as e:
            raise MailFailed(is_final=e.code >= _PERMANENT) from None
        except (SMTPException, OSError, ValueError):
            raise MailFailed(is_final=False) from None


class Outbox:
    """A folder of letters as files, for whoever tries camrelay without a mail server."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def send(self, message: EmailMessage) -> None:
        """Writes a letter, readable by camrelay's user alone; one that is there already stays."""
        await asyncio.to_thread(self._write, message)

    def _write(self, message: EmailMessage) -> None:
        path = self._directory / f"{str(message['Message-ID']).strip('<>').partition('@')[0]}.eml"
        try:
            make_private_directory(self._directory)
            if not path.exists():
                write_new(path, message.as_bytes(policy=SMTP))
        except (OSError, ConfigError):
            raise MailFailed(is_final=False) from None


def transport_of(options: Mail) -> Transport | None:
    """What [mail] names; None when no letters are written."""
    if options.outbox:
        return Outbox(Path(options.outbox))
    return Smtp(options) if options.server else None
