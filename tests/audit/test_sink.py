"""Where copies of the record go."""

from __future__ import annotations

import pytest

from camrelay.audit.sink import Address, parse_address, syslog
from camrelay.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("file:/var/log/access.jsonl", Address("file", "file", "", 0, "/var/log/access.jsonl")),
        ("syslog://logs.example", Address("syslog", "syslog://logs.example:601", "logs.example", 601, "")),
        ("syslog://[::1]:6514", Address("syslog", "syslog://::1:6514", "::1", 6514, "")),
        ("http://10.0.0.1/x", Address("http", "http://10.0.0.1:80", "10.0.0.1", 80, "")),
        (
            "https://logs.example/s3cret",
            Address("https", "https://logs.example:443", "logs.example", 443, ""),
        ),
    ],
)
def test_options_are_taken_apart(text: str, address: Address) -> None:
    """What logs and metrics call a sink has no path in it, which may be secret."""
    found = parse_address(text)
    target = address.target or text
    assert found == address._replace(target=target)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "file:relative",
        "ftp://h/s3cret",
        "http://",
        "http://u:s3cret@h/",
        "syslog://h:99999",
        "https:///s3cret",
    ],
)
def test_what_is_no_sink_is_refused_without_repeating_it(text: str) -> None:
    """A URL may hold a password."""
    with pytest.raises(ConfigError) as refusal:
        parse_address(text)
    assert "s3cret" not in str(refusal.value)


def test_syslog_messages_are_counted() -> None:
    """RFC 6587 §3.4.1: each behind its length, so that no line can look like two."""
    sent = syslog([b'{"a":1}\n', b"{}\n"], "2026-11-22T00:00:00.000000Z")
    first = b'<110>1 2026-11-22T00:00:00.000000Z - camrelay - access - {"a":1}'
    assert sent.startswith(b"%d %b" % (len(first), first))
    assert sent.endswith(b" - {}")
    assert sent.count(b"<110>1 ") == 2
