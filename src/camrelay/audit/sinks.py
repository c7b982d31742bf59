"""Copies of the record on their way to sinks: every line at least once, in order, once it is durable here.

Each sink has a cursor, the day and the byte it has taken everything up to, in `sinks.json`. It moves when the
sink has acknowledged: after a crash some lines go twice, none is left out. A sink that fails is tried again,
more and more rarely, and holds up neither the record nor another sink; how far it is behind is counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from camrelay import metrics
from camrelay.audit.archive import day_of, log_files, log_path
from camrelay.audit.signer import private
from camrelay.audit.sink import Address, syslog
from camrelay.audit.table import utc
from camrelay.durable import replace
from camrelay.errors import CamrelayError

CURSORS = "sinks.json"

#: What travels at once: half a second of the busiest record.
BATCH_BYTES = 256 * 1024
#: How late a line sets out.
POLL_S = 1.0
#: A sink that does not answer for this long has failed.
ANSWER_S = 10.0
LONGEST_WAIT_S = 60.0
#: How long a stop waits for what is on its way; it would go a second time.
STOP_S = 1.0

#: A day, and how many bytes of it.
Place = tuple[str, int]
Check = Callable[[IPv4Address | IPv6Address, int], None]

logger = logging.getLogger("camrelay.audit")


class Sinks:
    """Sends the log in a directory to sinks.

    Args:
        durable: up to where the log is durable.
        check: raises when an address may not be connected to.
        utc_us: the clock of syslog messages.
    """

    def __init__(
        self,
        directory: Path,
        addresses: Sequence[Address],
        durable: Callable[[], Place],
        check: Check,
        utc_us: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._addresses = addresses
        self._durable = durable
        self._check = check
        self._utc_us = utc_us
        self._cursors: dict[str, Place] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = asyncio.Event()

    async def start(self) -> None:
        """Begins to send, from where each sink was."""
        if not self._addresses:
            return
        with suppress(FileNotFoundError, msgspec.DecodeError):
            content = await asyncio.to_thread((self._directory / CURSORS).read_bytes)
            self._cursors = msgspec.json.decode(content, type=dict[str, Place])
        self._tasks = [asyncio.create_task(self._feed(address)) for address in self._addresses]

    async def stop(self) -> None:
        """Sends no more; what was not sent goes after the next start. What is on its way may arrive."""
        self._is_stopping.set()
        if self._tasks:
            _, slow = await asyncio.wait(self._tasks, timeout=STOP_S)
            for task in slow:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _feed(self, address: Address) -> None:
        wait_s = POLL_S
        while not self._is_stopping.is_set():
            try:
                while not self._is_stopping.is_set() and await self._pass_on(address):
                    wait_s = POLL_S
            except (OSError, aiohttp.ClientError, TimeoutError, CamrelayError) as error:
                metrics.audit_sink_failures.labels(address.name).inc()
                if wait_s == POLL_S:
                    logger.error("the sink %s takes nothing (%s)", address.name, type(error).__name__)
                wait_s = min(LONGEST_WAIT_S, wait_s * 2)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_stopping.wait(), wait_s)

    async def _pass_on(self, address: Address) -> bool:
        """Sends what comes next; False when there is nothing."""
        key = f"{address.kind}:{address.target}"
        before, durable = self._cursors.get(key, ("", 0)), self._durable()
        lines, after = await asyncio.to_thread(read_on, self._directory, before, durable)
        if after == before:
            metrics.audit_sink_behind.labels(address.name).set(0)
            return False
        if lines:
            await self._send(address, lines)
            metrics.audit_sink_lines.labels(address.name).inc(len(lines))
        self._cursors[key] = after
        content = msgspec.json.encode(self._cursors)
        await asyncio.to_thread(replace, self._directory / CURSORS, content)
        behind = durable[1] - after[1] if durable[0] == after[0] else BATCH_BYTES
        metrics.audit_sink_behind.labels(address.name).set(behind)
        return True

    async def _send(self, address: Address, lines: list[bytes]) -> None:
        """Returns when the sink has taken lines."""
        async with asyncio.timeout(ANSWER_S):
            if address.kind == "file":
                await asyncio.to_thread(_append, Path(address.target), lines)
            elif address.kind == "syslog":
                await self._send_syslog(address, lines)
            else:
                await self._post(address, lines)

    async def _send_syslog(self, address: Address, lines: list[bytes]) -> None:
        (found, *_) = await _Guarded(self._check).resolve(address.host, address.port)
        _, writer = await asyncio.open_connection(found["host"], address.port)
        try:
            writer.write(syslog(lines, utc(self._utc_us())))
            await writer.drain()
        finally:
            writer.close()
        await writer.wait_closed()

    async def _post(self, address: Address, lines: list[bytes]) -> None:
        resolver = _Guarded(self._check)
        # aiohttp asks no resolver about what is an address already.
        await resolver.resolve(address.host, address.port)
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
        headers = {"Content-Type": "application/x-ndjson"}
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(
                address.target, data=b"".join(lines), headers=headers, allow_redirects=False
            ) as answer,
        ):
            if not 200 <= answer.status < 300:
                raise OSError(f"the sink answered {answer.status}")


class _Guarded(AbstractResolver):
    """Looks names up, and lets only addresses through that may be connected to."""

    def __init__(self, check: Check) -> None:
        self._check = check

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises CamrelayError when an address may not be connected to."""
        loop = asyncio.get_running_loop()
        found: list[Any] = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        for *_, place in found:
            self._check(ip_address(place[0]), port)
        return [
            ResolveResult(
                hostname=host, host=place[0], port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
            )
            for family, *_, place in found
        ]

    async def close(self) -> None:
        """Nothing is kept."""


def read_on(directory: Path, cursor: Place, durable: Place) -> tuple[list[bytes], Place]:
    """The lines behind a cursor, at most about BATCH_BYTES, and the cursor behind them. Blocks."""
    days = [day_of(path) for path in log_files(directory) if cursor[0] <= day_of(path) <= durable[0]]
    if not days:
        return [], cursor
    day, offset = days[0], cursor[1] if days[0] == cursor[0] else 0
    end = durable[1] if day == durable[0] else None
    size = BATCH_BYTES if end is None else max(0, min(BATCH_BYTES, end - offset))
    with open(log_path(directory, day), "rb") as file:
        file.seek(offset)
        # A line is never cut: one that is longer than all that travels at once travels alone.
        data = file.read(size)
        data += file.readline() if data and not data.endswith(b"\n") else b""
    if data or len(days) == 1:
        return data.splitlines(keepends=True), (day, offset + len(data))
    return [], (days[1], 0)


def _append(path: Path, lines: list[bytes]) -> None:
    with open(path, "ab", opener=private) as file:
        file.write(b"".join(lines))
        file.flush()
        os.fsync(file.fileno())
