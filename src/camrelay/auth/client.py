"""Who is calling, as coarsely as the access record wants it: an address prefix and a family of agents.

A header says where a request came from only when the proxy that wrote it is trusted; everybody else's is
noise (X-Forwarded-For is a list that grows to the right, so it is read from the right).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: What to look for, most specific first: every browser also claims to be Mozilla, most to be Safari.
_FAMILIES = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("AppleCoreMedia/", "Apple player"),
    ("Safari/", "Safari"),
    ("VLC/", "VLC"),
    ("Lavf/", "FFmpeg"),
    ("mpv", "mpv"),
    ("GStreamer", "GStreamer"),
    ("ExoPlayer", "ExoPlayer"),
    ("curl/", "curl"),
)


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and CIDR networks as networks; ValueError names the first that is neither."""
    return tuple(ip_network(text, strict=False) for text in texts)


def client_address(
    peer: str | None, forwarded_for: Iterable[str], trusted: Iterable[Network]
) -> Address | None:
    """The nearest address that is not one of our proxies.

    Args:
        peer: the other end of the connection, None when it has no address (a Unix socket).
        forwarded_for: values of the X-Forwarded-For headers, in order.
        trusted: networks of the proxies whose headers are believed.
    """
    address = _parse(peer or "")
    networks = tuple(trusted)
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    while address is not None and hops and any(address in network for network in networks):
        claimed = _parse(hops.pop())
        if claimed is None:
            break
        address = claimed
    return address


def address_prefix(address: Address | None) -> str:
    """The network of an address, /24 for IPv4 and /48 for IPv6; "" without an address."""
    if address is None:
        return ""
    bits = 24 if address.version == 4 else 48
    return str(ip_network((address, bits), strict=False))


def agent_family(user_agent: str) -> str:
    """The family a User-Agent header belongs to: one of a closed list, "other", or "" without a header."""
    if not user_agent:
        return ""
    return next((family for mark, family in _FAMILIES if mark in user_agent), "other")


def _parse(text: str) -> Address | None:
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
