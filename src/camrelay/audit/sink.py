"""Where copies of the record go: what an option means, and how lines travel there.

"file:/path" gets the lines as they are, "syslog://host:port" one message each over TCP (RFC 5424, counted as
in RFC 6587 §3.4.1), "http://" and "https://" a POST of lines (application/x-ndjson).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from camrelay.errors import ConfigError

_PORTS = {"syslog": 601, "http": 80, "https": 443}

#: Facility "log audit" (13), severity "informational" (6): RFC 5424 §6.2.1.
_PRIORITY = 13 * 8 + 6


class Address(NamedTuple):
    """Of a sink. `name` is what logs and metrics call it, without anything that may be secret."""

    kind: str
    name: str
    host: str
    port: int
    #: A path for a file, the whole URL for HTTP.
    target: str


def parse_address(text: str) -> Address:
    """Takes an option apart; ConfigError when it is none, which never repeats it."""
    kind, _, rest = text.partition(":")
    if kind == "file" and rest.startswith("/"):
        return Address("file", "file", "", 0, rest)
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port or _PORTS[url.scheme]
    except (KeyError, ValueError):
        raise ConfigError(
            "a sink is file:/path, syslog://host:port, http:// or https://", hint="see [audit] sinks"
        ) from None
    if not host or url.username is not None or url.password is not None:
        raise ConfigError("a sink names a host, and no user or password")
    return Address(url.scheme, f"{url.scheme}://{host}:{port}", host, port, text)


def syslog(lines: Iterable[bytes], timestamp: str) -> bytes:
    """Lines as syslog messages, each behind its length."""
    head = f"<{_PRIORITY}>1 {timestamp} - camrelay - access - ".encode()
    messages = (head + line.rstrip(b"\n") for line in lines)
    return b"".join(b"%d %b" % (len(message), message) for message in messages)
