"""`camrelay discover` at a terminal."""

from __future__ import annotations

import json

import pytest

from cameras.onvif_discovery import Discoverable
from camrelay.ingest.discovery import PORT
from processes import camrelay

#: All of these listen, and some answer, where cameras of other tests do.
pytestmark = pytest.mark.usefixtures("multicast")

LOOPBACK = ("--interface", "lo", "--timeout", "1")


async def test_it_prints_a_table() -> None:
    """One line for each device; what is said while listening goes to standard error."""
    async with Discoverable("http://0.0.0.0:8000/onvif/device_service", port=PORT):
        status, output, errors = await camrelay("discover", *LOOPBACK)

    head, row = output.splitlines()
    assert status == 0
    assert head.split() == ["ADDRESS", "NAME", "HARDWARE", "SERVICE"]
    assert row.split() == [
        *("127.0.0.1", "Front", "Door", "CAM-2"),
        "http://127.0.0.1:8000/onvif/device_service",
    ]
    assert "listening for 1 s" in errors


async def test_programs_get_json() -> None:
    """And nothing else on standard output."""
    async with Discoverable("http://0.0.0.0:8000/onvif/device_service", port=PORT):
        _, output, _ = await camrelay("discover", "--json", *LOOPBACK)

    (device,) = json.loads(output)
    assert (device["host"], device["port"], device["name"]) == ("127.0.0.1", 8000, "Front Door")


async def test_nothing_found_says_what_to_try() -> None:
    """With exit status 1, so that a script can tell."""
    status, output, errors = await camrelay("discover", *LOOPBACK)

    assert (status, output) == (1, "")
    assert "--host ADDRESS" in errors


async def test_a_wrong_interface_or_name_is_one_line() -> None:
    """No traceback, nothing searched."""
    for wrong in (("--interface", "nope0"), ("--host", "camera.invalid")):
        status, _, errors = await camrelay("discover", "--timeout", "1", *wrong)

        assert status == 1
        assert errors.splitlines()[-1].startswith("Error: ")
        assert any(word in errors for word in ("nope0", "does not resolve"))
