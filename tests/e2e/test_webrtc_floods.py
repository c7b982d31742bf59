"""Abandoned offers and garbage: who plays does not notice, and nothing of it stays."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import tracemalloc
from itertools import pairwise

import aiohttp
import pytest
from aioice import stun

from camrelay.fanout.webrtc import server
from camrelay.fanout.webrtc.peer import Peer
from camrelay.model import EndReason
from camrelay.simulate.options import Picture
from stage import CAMERA, Stage
from whep_client import WhepClient, offer

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

PICTURE = Picture(width=320, height=180, bitrate_bps=300_000, gop_pictures=25)

URL = f"/whep/{CAMERA}"

OFFERS = 1000

GARBAGE = 10_000


def gaps(client: WhepClient, since: int) -> int:
    """Packets of the media stream that did not arrive."""
    numbers = [packet.sequence_number for packet in client.media()[since:]]
    return sum((after - before - 1) & 0xFFFF for before, after in pairwise(numbers))


async def test_a_thousand_abandoned_offers_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is forgotten at its deadline: session, task, memory; a playing viewer loses nothing."""
    monkeypatch.setattr(server, "MAX_JOINING", OFFERS)
    async with (
        Stage(PICTURE, listen="127.0.0.1:0", handshake_timeout_s=1.0) as stage,
        aiohttp.ClientSession(stage.url) as http,
    ):
        client = WhepClient()
        await client.join(http, URL)
        await client.more_packets(20)
        since = len(client.media())
        body, headers = offer(), {"Content-Type": "application/sdp"}

        async def abandon(count: int) -> None:
            for _ in range(count):
                async with http.post(URL, data=body, headers=headers) as response:
                    assert response.status == 201

        await abandon(50)
        await all_over(stage, 1)
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        await asyncio.gather(*(abandon(OFFERS // 10) for _ in range(10)))
        await all_over(stage, 1)
        stage.viewers[1:] = []
        await client.more_packets(20)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert gaps(client, since) == 0
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("connect")]
        assert len([thing for thing in gc.get_objects() if isinstance(thing, Peer)]) == 1
        # Packets that the client keeps are in it; a tenth of a peer that stayed would be more.
        assert after - before < OFFERS * 2_000
        client.close()


async def all_over(stage: Stage, running: int) -> None:
    """Waits until all but the first viewings have ended, as they must have by their deadline."""
    for viewer in stage.viewers[running:]:
        end: asyncio.Future[EndReason] = asyncio.get_running_loop().create_future()
        viewer.on_end(end.set_result)
        assert await asyncio.wait_for(end, 15) == EndReason.NEGOTIATION_TIMEOUT
    assert len(stage.server._peers) == running


async def test_ten_thousand_garbage_datagrams_do_not_reach_anybody() -> None:
    """Noise of every first byte, and checks with wrong names and wrong signatures, while a viewer plays."""
    async with Stage(PICTURE, listen="127.0.0.1:0") as stage, aiohttp.ClientSession(stage.url) as http:
        client = WhepClient()
        await client.join(http, URL)
        await client.more_packets(20)
        since = len(client.media())
        seeded = random.Random(1)
        unsigned = stun.Message(
            stun.Method.BINDING, stun.Class.REQUEST, attributes={"USERNAME": client._username}
        )
        unsigned.add_message_integrity(b"guessed")
        forged = bytes(unsigned)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for count in range(GARBAGE):
                noise = forged if count % 10 == 0 else seeded.randbytes(seeded.randrange(1, 1400))
                stranger.sendto(noise, ("127.0.0.1", stage.udp_port))
                if count % 100 == 0:
                    await asyncio.sleep(0.01)
            stranger.setblocking(False)
            with pytest.raises(BlockingIOError):
                stranger.recv(2048)
        await client.more_packets(20)

        assert gaps(client, since) == 0
        assert client.undecryptable == 0
        assert len(stage.server._port._by_address) == 1
        client.close()
