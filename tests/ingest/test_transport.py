"""Tests of camrelay.ingest.transport."""

from __future__ import annotations

import pytest

from camrelay.ingest.transport import channels_of, hosts_of, server_ports_of, wish


def test_what_is_asked_for() -> None:
    """Two channels of the connection, or two ports."""
    assert wish(None, 2) == "RTP/AVP/TCP;unicast;interleaved=2-3"
    assert wish(5000, 2) == "RTP/AVP;unicast;client_port=5000-5001"


@pytest.mark.parametrize(
    ("header", "pair"),
    [("interleaved=4-5", (4, 5)), ("interleaved=6;ssrc=1", (6, 7)), ("unicast", None)],
)
def test_channels(header: str, pair: tuple[int, int] | None) -> None:
    """A single number has the next one beside it."""
    assert channels_of(f"RTP/AVP/TCP;{header}") == pair


def test_ports_and_hosts() -> None:
    """Of the server alone, and of every side."""
    header = "RTP/AVP;unicast;source=10.0.0.5;destination=[fe80::1];client_port=1-2;server_port=6970-6971"
    assert server_ports_of(header) == (6970, 6971)
    assert hosts_of(header) == ["10.0.0.5", "fe80::1"]
    assert server_ports_of("RTP/AVP") is None
