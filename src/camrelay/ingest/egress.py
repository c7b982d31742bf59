"""Which addresses a camera may have: what keeps camrelay from being a door into its own host (SSRF).

A camera's address comes from whoever registers it, its name from whoever runs the DNS. So a URL must be
plain RTSP without credentials, its host a name or an IP address written the one canonical way, and every
address the name resolves to must be inside the allowed networks. Loopback, link-local, multicast, the
addresses of cloud metadata services and the forms that hide IPv4 in IPv6 are refused unless a listed network
lies inside them: "0.0.0.0/0" opens the internet, never the host itself.

The default is the private networks of RFC 1918 and RFC 4193, where cameras live.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import NamedTuple

from camrelay import config
from camrelay.errors import ConfigError, EgressDenied

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

#: Longer than any camera's; FFmpeg keeps URLs in buffers of 4 KB.
MAX_URL_LENGTH = 2_048
DEFAULT_PORT = {"rtsp": 554, "rtsps": 322}

_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")

#: Networks that no wider entry opens, with what to call them.
_SPECIAL: tuple[tuple[IpNetwork, str], ...] = tuple(
    (ip_network(network), name)
    for network, name in (
        ("127.0.0.0/8", "loopback"),
        ("::1/128", "loopback"),
        ("0.0.0.0/8", "unspecified"),
        ("::/128", "unspecified"),
        ("169.254.0.0/16", "link-local"),
        ("fe80::/10", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("ff00::/8", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("fd00:ec2::/32", "cloud metadata"),
        ("100.100.100.200/32", "cloud metadata"),
        ("168.63.129.16/32", "cloud metadata"),
        ("::ffff:0:0/96", "IPv4 inside IPv6"),
        ("::/96", "IPv4 inside IPv6"),
        ("64:ff9b::/96", "IPv4 inside IPv6"),
        ("64:ff9b:1::/48", "IPv4 inside IPv6"),
        ("2002::/16", "IPv4 inside IPv6"),
        ("2001::/32", "IPv4 inside IPv6"),
    )
)

_URL = re.compile(r"([a-z]+)://([^/?]*)([/?].*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
#: "10.0.0.0/8", "10.0.0.0/8:554,8554", "[fd00::/8]:554" or "fd00::/8".
_ENTRY = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+)|([^\[\]]+))(?::([0-9]+(?:,[0-9]+)*))?")


class CameraUrl(NamedTuple):
    """A camera's URL taken apart. `address` is None while `host` is a name; `target` is path and query."""

    tls: bool
    host: str
    address: IpAddress | None
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"


def parse_camera_url(text: str) -> CameraUrl:
    """Takes a camera's URL apart.

    Raises:
        ConfigError: not a plain rtsp:// or rtsps:// URL; the text never repeats the URL.
    """
    if len(text) > MAX_URL_LENGTH:
        raise ConfigError(f"the camera URL is longer than {MAX_URL_LENGTH} characters")
    if not all("!" <= character <= "~" and character != "\\" for character in text):
        raise ConfigError(
            "the camera URL has spaces, control characters, backslashes or characters outside ASCII",
            hint="percent-encode them",
        )
    matched = _URL.fullmatch(text)
    scheme = matched[1].lower() if matched else ""
    if not matched or scheme not in DEFAULT_PORT:
        raise ConfigError("a camera URL begins with rtsp:// or rtsps://")
    if "@" in matched[2]:
        raise ConfigError(
            "the camera URL holds a user or password", hint="put them in `username` and `password`"
        )
    authority = _AUTHORITY.fullmatch(matched[2])
    port = int(authority[2] or DEFAULT_PORT[scheme]) if authority else 0
    if not authority or not 1 <= port <= 65_535:
        raise ConfigError("the camera URL names no host, or no possible port")
    host, address = _parse_host(authority[1])
    return CameraUrl(scheme == "rtsps", host, address, port, matched[3] or "")


def _parse_host(text: str) -> tuple[str, IpAddress | None]:
    if text.startswith("["):
        try:
            ipv6 = IPv6Address(text[1:-1])
        except ValueError:
            raise ConfigError("the camera URL holds brackets without an IPv6 address inside") from None
        if ipv6.scope_id is not None:
            raise ConfigError("the camera URL names an interface of this machine")
        return text, ipv6
    labels = text.removesuffix(".").lower().split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        # What ends in a number is an IPv4 address to a resolver, however spelled: 127.1, 0x7f000001.
        try:
            return text, IPv4Address(text)
        except ValueError:
            raise ConfigError("write the camera's IPv4 address as four decimal numbers") from None
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ConfigError("the camera URL holds no possible host name")
    return ".".join(labels), None


class EgressPolicy:
    """The networks of [egress] allow, ready to be asked.

    Raises:
        ConfigError: an entry is not "NETWORK" or "NETWORK:PORT,PORT".
    """

    def __init__(self, options: config.Egress) -> None:
        self._allowed = [_parse_entry(entry) for entry in options.allow or _PRIVATE]

    def check(self, address: IpAddress, port: int) -> None:
        """Returns when a camera may have this address and port.

        Raises:
            EgressDenied: it may not.
        """
        fitting = [
            network
            for network, ports in self._allowed
            if network.version == address.version and address in network and (not ports or port in ports)
        ]
        for special, name in _SPECIAL:
            # Both hold the address, so the one with the longer prefix lies inside the other.
            if address in special and not any(network.prefixlen >= special.prefixlen for network in fitting):
                raise EgressDenied(f"{name} addresses are refused unless [egress] allow lists them")
        if not fitting:
            raise EgressDenied("the address or port is outside the networks of [egress] allow")

    def check_url(self, url: CameraUrl) -> None:
        """Checks what can be checked without asking the DNS; names are checked again at every attempt.

        Raises:
            EgressDenied: the host is an address that no camera may have.
        """
        if url.address is not None:
            self.check(url.address, url.port)
        elif url.host == "localhost" or url.host.endswith(".localhost"):
            self.check(IPv4Address("127.0.0.1"), url.port)  # RFC 6761 §6.3


def _parse_entry(entry: str) -> tuple[IpNetwork, frozenset[int]]:
    """Network and ports of an entry; no ports mean every port."""
    matched = _ENTRY.fullmatch(entry)
    bracketed, plain, ipv6, ports = matched.groups() if matched else ("", "", "", "")
    try:
        network = ip_network(bracketed or plain or ipv6)
        numbers = frozenset(int(port) for port in ports.split(",")) if ports else frozenset()
        if not all(1 <= number <= 65_535 for number in numbers):
            raise ValueError(ports)
    except ValueError:
        raise ConfigError(
            f"[egress] allow has an entry that is no network: {entry!r}",
            hint='write "192.168.10.0/24", "192.168.10.0/24:554,8554" or "[fd00::/8]:554"',
        ) from None
    return network, numbers
