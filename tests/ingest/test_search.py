"""Looking for devices on real sockets."""

from __future__ import annotations

import pytest

from cameras.onvif_discovery import Discoverable
from camrelay.errors import ConfigError
from camrelay.ingest.discovery import MAX_FOUND_PER_ADDRESS, Found
from camrelay.ingest.search import interface_addresses, search

LOOPBACK = ["127.0.0.1"]
XADDR = "http://0.0.0.0:8000/onvif/device_service"


async def found_by(device: Discoverable, *, seconds: float = 5.0, host: str = "") -> Found:
    """The first device that is found."""
    async for found in search(seconds=seconds, interfaces=LOOPBACK, host=host, port=device.port):
        return found
    raise AssertionError("nothing was found")


@pytest.mark.parametrize("only_for", ["", "dn:NetworkVideoTransmitter"])
async def test_a_device_is_found_by_multicast(only_for: str) -> None:
    """Whichever of the two probes it answers."""
    async with Discoverable(XADDR, only_for=only_for) as device:
        found = await found_by(device)

    assert (found.host, found.port, found.name) == ("127.0.0.1", 8000, "Front Door")


async def test_a_lost_probe_is_repeated() -> None:
    """A device that missed the first round answers the next."""
    async with Discoverable(XADDR, deaf_to=2) as device:
        assert (await found_by(device)).port == 8000

    assert len(device.probes) > 2


async def test_one_host_can_be_asked_directly() -> None:
    """When it is outside the segment, where multicast does not reach."""
    async with Discoverable(XADDR) as device:
        assert (await found_by(device, host="127.0.0.1")).port == 8000


async def test_nobody_answers_a_search_in_time() -> None:
    """It ends by itself, also when the host refuses datagrams."""
    async with Discoverable(XADDR) as gone:
        pass

    assert [found async for found in search(seconds=0.2, host="127.0.0.1", port=gone.port)] == []


async def test_a_flood_of_answers_leaves_a_bounded_list() -> None:
    """Thousands of forged devices are no reason to show them (abuse case 50)."""
    async with Discoverable(XADDR, forged=2_000) as device:
        found = [f async for f in search(seconds=3.0, interfaces=LOOPBACK, port=device.port)]

    assert len(found) == MAX_FOUND_PER_ADDRESS


async def test_a_machine_without_interfaces_cannot_search() -> None:
    """And says what else can be done."""
    with pytest.raises(ConfigError, match="no network interface") as e:
        [found async for found in search(seconds=1.0, interfaces=["203.0.113.77"])]

    assert "--host" in e.value.hint


def test_interfaces_are_known_by_name() -> None:
    """Loopback only when it is named."""
    assert interface_addresses("lo") == ["127.0.0.1"]
    assert "127.0.0.1" not in interface_addresses()
    assert interface_addresses("no-such-interface") == []
