"""A sender that costs almost nothing: SRTP-like packets to any number of viewers, one system call per access
unit.

It exists to find the load client's own limit: what it says it has sent must have arrived. Packets are cut as
camrelay cuts them (equal fragments of 1,158 bytes, 28 bytes of RTP header and tag), with a key frame every 2
s.

As a program it prints its port, waits until every viewer has said hello, sends, then prints its account as
JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import sys
import time

from benchmarks.whep.mmsg import SOL_UDP

#: udp(7); Python has no name for it.
_UDP_SEGMENT = 103

_FPS, _GOP = 25, 50
_PACKET_BYTES = 12 + 1158 + 16
#: Below the 64 KiB of one UDP_SEGMENT call.
_PACKETS_PER_CALL = 44
#: A key frame against the other pictures of its GOP.
_KEY_FRAME_WEIGHT = 8

#: For what is under way, and for the hellos of thousands of viewers at once.
_BUFFER_BYTES = 4_194_304
_HELLO_TIMEOUT_S = 30.0


class Stream:
    """Packets of one made-up camera; the bytes are the same for every viewer but for nothing."""

    def __init__(self, bitrate_bps: int, seed: int) -> None:
        self._random = random.Random(seed)
        pictures = _GOP - 1 + _KEY_FRAME_WEIGHT
        self._unit_bytes = bitrate_bps / 8 * _GOP / _FPS / pictures
        self._sequence = 65_000  # The first wrap comes soon.
        self._picture = 0
        self._body = self._random.randbytes(_PACKET_BYTES - 4)

    def access_unit(self) -> list[bytes]:
        """The next access unit as runs of equal packets, only the last one shorter."""
        weight = _KEY_FRAME_WEIGHT if self._picture % _GOP == 0 else self._random.uniform(0.7, 1.3)
        self._picture += 1
        total = int(self._unit_bytes * weight)
        count = -(-total // _PACKET_BYTES)
        packets = []
        for index in range(count):
            last = index == count - 1
            length = max(64, total - index * _PACKET_BYTES) if last else _PACKET_BYTES
            head = struct.pack("!BBH", 0x80, 0x80 * last | 97, self._sequence)
            self._sequence = (self._sequence + 1) & 0xFFFF
            packets.append(head + self._body[: length - 4])
        runs = range(0, count, _PACKETS_PER_CALL)
        return [b"".join(packets[start : start + _PACKETS_PER_CALL]) for start in runs]


def send(viewers: int, seconds: float, bitrate_bps: int, seed: int) -> dict[str, float]:
    """Sends to as many viewers as said hello.

    Returns:
        packets, bytes: what the kernel took; refused: packets it did not; late_ms: the worst delay of an
        access unit.
    """
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        udp.setsockopt(socket.SOL_SOCKET, buffer, _BUFFER_BYTES)
    udp.bind(("127.0.0.1", 0))
    print(udp.getsockname()[1], flush=True)
    udp.settimeout(_HELLO_TIMEOUT_S)
    addresses = list({udp.recvfrom(64)[1]: None for _ in range(viewers)})
    udp.settimeout(1.0)
    stream = Stream(bitrate_bps, seed)
    segment = [(SOL_UDP, _UDP_SEGMENT, struct.pack("=H", _PACKET_BYTES))]
    packets = sent_bytes = refused = 0
    worst, cpu_s = 0.0, time.process_time()
    began = time.monotonic()
    for tick in range(int(seconds * _FPS)):
        due = began + tick / _FPS
        time.sleep(max(0.0, due - time.monotonic()))
        for run in stream.access_unit():
            buffers, count = [run], -(-len(run) // _PACKET_BYTES)
            control = segment if count > 1 else []
            for address in addresses:
                try:
                    sent_bytes += udp.sendmsg(buffers, control, 0, address)
                    packets += count
                except OSError:
                    refused += count
        worst = max(worst, time.monotonic() - due)
    udp.close()
    return {
        "viewers": len(addresses),
        "packets": packets,
        "bytes": sent_bytes,
        "refused": refused,
        "late_ms": round(worst * 1000, 1),
        "cpu_s": round(time.process_time() - cpu_s, 3),
    }


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--bitrate", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    account = send(options.viewers, options.seconds, options.bitrate, options.seed)
    json.dump(account, sys.stdout)


if __name__ == "__main__":
    main()
