"""The Transport header of RTSP (RFC 2326 §12.39): what is asked for, and what cameras make of it."""

from __future__ import annotations

import re

_CHANNELS = re.compile(r"interleaved=(\d{1,2})(?:-(\d{1,2}))?")
_SERVER_PORTS = re.compile(r"server_port=(\d{1,5})(?:-(\d{1,5}))?")
_HOSTS = re.compile(r"(?:source|destination)=\[?([0-9A-Fa-f.:]+)\]?")


def wish(udp_port: int | None, channel: int) -> str:
    """RTP to this port and RTCP to the next; without a port, on these two channels of the connection."""
    if udp_port is None:
        return f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}"
    return f"RTP/AVP;unicast;client_port={udp_port}-{udp_port + 1}"


def channels_of(header: str) -> tuple[int, int] | None:
    """The channels of RTP and RTCP; None when it names none."""
    return _pair(_CHANNELS, header)


def server_ports_of(header: str) -> tuple[int, int] | None:
    """The camera's own ports of RTP and RTCP; None when it names none."""
    return _pair(_SERVER_PORTS, header)


def hosts_of(header: str) -> list[str]:
    """Every address it names."""
    return _HOSTS.findall(header)


def _pair(pattern: re.Pattern[str], header: str) -> tuple[int, int] | None:
    found = pattern.search(header)
    return (int(found[1]), int(found[2] or int(found[1]) + 1)) if found else None
