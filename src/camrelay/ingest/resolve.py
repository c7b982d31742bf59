"""Names to addresses, without holding up the event loop and not for ever (camera fault F12)."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

from camrelay.errors import CameraUnreachable
from camrelay.ingest.egress import IpAddress

#: A resolver on the same network answers in milliseconds, and gives up itself after about this.
RESOLVE_TIMEOUT_S = 5.0


async def resolve(host: str, port: int) -> list[IpAddress]:
    """Every address of a name; one that is an address already is its own.

    Raises:
        CameraUnreachable: there is none, or no answer in time.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise CameraUnreachable("the camera's name does not resolve") from None
    return [ip_address(address) for address in dict.fromkeys(str(answer[4][0]) for answer in answers)]
