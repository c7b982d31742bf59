"""Addresses through proxies, prefixes and agent families."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay.auth.client import address_prefix, agent_family, client_address, parse_networks

PROXIES = parse_networks(["10.0.0.1", "192.168.0.0/16", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        # Case 42: a header is worth what its writer is worth.
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 192.168.7.7"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "192.168.7.7"], "198.51.100.1"),
        ("10.0.0.1", ["192.168.7.7"], "192.168.7.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.x"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("fd00::1", ["[2001:db8::5]:443"], "2001:db8::5"),
        ("fd00::1", ["2001:db8::5"], "2001:db8::5"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fe80::1%eth0", [], "fe80::1"),
        (None, ["198.51.100.1"], None),
        ("", [], None),
    ],
)
def test_the_nearest_address_that_is_not_a_proxy(
    peer: str | None, forwarded_for: list[str], address: str | None
) -> None:
    """Read from the right, as far as the proxies reach."""
    found = client_address(peer, forwarded_for, PROXIES)
    assert (None if found is None else str(found)) == address


@given(st.text(max_size=50), st.lists(st.text(max_size=50), max_size=3))
def test_any_header_is_harmless(peer: str, forwarded_for: list[str]) -> None:
    """No text in either place raises, and what comes out is a prefix."""
    prefix = address_prefix(client_address(peer, forwarded_for, PROXIES))
    assert prefix == "" or prefix.endswith(("/24", "/48"))


@pytest.mark.parametrize(
    ("peer", "prefix"),
    [("203.0.113.9", "203.0.113.0/24"), ("2001:db8:1:2::9", "2001:db8:1::/48"), (None, "")],
)
def test_the_record_gets_a_network_not_an_address(peer: str | None, prefix: str) -> None:
    """A /24 or a /48 is shared by many."""
    assert address_prefix(client_address(peer, [], [])) == prefix


def test_a_network_that_is_none_is_refused() -> None:
    """The operator learns it at start."""
    with pytest.raises(ValueError, match=r"10\.0\.0\.300"):
        parse_networks(["10.0.0.300"])


CHROMIUM = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
)


@pytest.mark.parametrize(
    ("header", "family"),
    [
        (CHROMIUM, "Chrome"),
        (CHROMIUM + " Edg/156.0.0.0", "Edge"),
        (CHROMIUM + " OPR/120.0", "Opera"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox"),
        (
            "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
            "Safari",
        ),
        ("AppleCoreMedia/1.0.0.22A (iPhone; U; CPU OS 26_0 like Mac OS X)", "Apple player"),
        ("VLC/3.0.21 LibVLC/3.0.21", "VLC"),
        ("Lavf/62.12.100", "FFmpeg"),
        ("GStreamer souphttpsrc 1.22.0 libsoup/3.2.2", "GStreamer"),
        ("curl/8.5.0", "curl"),
        ("\x1b[31m\nweird\x00", "other"),
        ("", ""),
    ],
)
def test_agent_families(header: str, family: str) -> None:
    """Case 60: a closed list of words, whatever the header holds."""
    assert agent_family(header) == family
