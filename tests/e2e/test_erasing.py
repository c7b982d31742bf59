"""Somebody looks at what is on record of them, and has it erased, while the relay runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from asking import ask, media_playlist, open_session
from processes import Relay, camrelay

pytestmark = pytest.mark.e2e

CANARY = "canary-of-a-person-9e2b"

#: What the documentation promises.
ERASED_WITHIN_S = 60

LIMIT_MS = 20_000


async def test_case_66_a_person_is_erased_and_found_nowhere(relay: Relay, chromium: Browser) -> None:
    """Their media ends, no byte of any file knows them, the proof holds, and a backup forgets again."""
    token = await relay.token("cam1", "1h", "--for", CANARY)
    opened = await open_session(relay, "cam1", token)
    playlist = await media_playlist(relay, opened.json["hls"])
    assert (await ask(relay, "GET", playlist)).status == 200
    people = [relay.folder / "store" / name for name in ("people.db", "people.db-wal")]
    backup = {path: path.read_bytes() for path in people}

    page = await chromium.new_page()
    await page.goto(relay.url(f"/me/record#token={token}"))
    row = page.locator("tbody tr").first
    await expect(row).to_contain_text("Began to watch", timeout=LIMIT_MS)
    await page.click("#erase")
    began = time.monotonic()
    await page.click('#sure button[value="yes"]')
    await expect(page.locator("#empty h1")).to_have_text("You are erased", timeout=ERASED_WITHIN_S * 1000)
    assert time.monotonic() - began < ERASED_WITHIN_S

    assert (await ask(relay, "GET", playlist)).status == 410
    assert (await open_session(relay, "cam1", token)).status == 401
    assert found(relay) == []
    manager = await relay.token("*", "1h", "--action", "manage", "--for", "olga")
    await page.goto(relay.url(f"/cameras/cam1/watched#token={manager}"))
    await expect(page.locator("tbody tr").first).to_contain_text("Without a name", timeout=LIMIT_MS)
    status, output, _ = await camrelay("audit", "verify", "--config", str(relay.config))
    assert (status, "are as they were signed" in output) == (0, True)

    await relay.stop()
    for path, content in backup.items():
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    (relay.folder / "store" / "people.db-shm").unlink(missing_ok=True)
    await relay.start()
    status, output, _ = await camrelay("audit", "export", "--subject", CANARY, "--config", str(relay.config))
    assert (status, output.strip()) == (0, "[\n\n]")
    assert found(relay) == []


def found(relay: Relay) -> list[Path]:
    """The files of a relay, its log among them, that know the canary."""
    every = [path for path in relay.folder.rglob("*") if path.is_file()]
    assert relay.log in every
    return [path for path in every if CANARY.encode() in path.read_bytes()]
