"""Somebody looks at what is on record of them, and has it erased, while the relay runs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.async_api import Browser, expect

from asking import ask, media_playlist, open_session
from camrelay.cli import main
from processes import Relay, StartRelay, camrelay

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


@pytest.mark.parametrize("people_url", ["postgresql"], indirect=True)
async def test_people_in_a_postgresql_are_shown_and_erased(start_relay: StartRelay, people_url: str) -> None:
    """By the relay and by the command, each of which has to know where they are."""
    relay = await start_relay({}, {"audit": f'url = "{people_url}"'})
    manager = await relay.token("*", "1h", "--action", "manage", "--for", "olga")
    for _ in range(2):
        events = await ask(relay, "GET", "/v1/audit/events", token=manager)
    assert [each["subject"] for each in events.json["events"] if each["type"] == "record.read"] == ["olga"]
    own = await ask(relay, "GET", "/v1/me/record", token=manager)
    assert {each["subject"] for each in own.json["events"]} == {"olga"}
    erased = await asyncio.to_thread(camrelay_here, "audit", "erase", "olga", "--yes", relay=relay)
    assert "forgotten: " in erased
    exported = await asyncio.to_thread(camrelay_here, "audit", "export", "--subject", "olga", relay=relay)
    assert exported.strip() == "[\n\n]"
    assert not (relay.folder / "store" / "people.db").exists()


def camrelay_here(*arguments: str, relay: Relay) -> str:
    """What a command prints, without a process of its own."""
    done = CliRunner().invoke(main, [*arguments, "--config", str(relay.config)])
    assert done.exit_code == 0, done.output
    return done.output
