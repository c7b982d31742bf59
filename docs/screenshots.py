"""Takes docs/screenshots from the real pages: simulated cameras, a relay, and the system's Chromium.

    .venv/bin/python docs/screenshots.py

Every scene is taken at the width of a phone, a tablet and a desk, in light and in dark.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from camrelay.simulate.options import Options, Picture
from camrelay.simulate.server import Simulator

FOLDER = Path(__file__).parent / "screenshots"
COMMAND = (sys.executable, "-m", "camrelay")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]

#: What a page's own script sends.
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}

PHONE = 390
SIZES = {PHONE: 844, 1024: 768, 1600: 900}

#: Low, because noise makes large files.
PICTURE = Picture(bitrate_bps=400_000)

#: A relay with its first cameras, and Chromium with a first picture, on a machine that does other things too.
LIMIT_MS = 40_000

#: Longer than the rest of this script.
DOWN_S = 600

#: Id, title and time zone. The last one is switched off while somebody watches.
CAMERAS = [
    ("gate", "Yard gate", "Europe/Berlin"),
    ("quay", "Harbour, north quay", "Europe/Lisbon"),
    ("workshop", "Workshop", "Europe/Berlin"),
    ("orchard", "Orchard", "Europe/Berlin"),
    ("roof", "Roof, looking west", "Europe/Berlin"),
]
GOING_OFFLINE = CAMERAS[-1][0]

OPERATOR = "olga@cams.example"


def config(folder: Path, port: int, urls: list[str]) -> str:
    """A relay on loopback with these cameras."""
    tables = [
        f'[[camera]]\nid = "{id}"\ntitle = "{title}"\ntime_zone = "{zone}"\nurl = "{url}"\n'
        'visibility = "link"\ndescription = "A simulated camera with a running clock."\n'
        for (id, title, zone), url in zip(CAMERAS, urls, strict=True)
    ]
    return "\n".join(
        [
            f'[server]\nlisten = "127.0.0.1:{port}"\n[metrics]\nenabled = false\n',
            f'[webrtc]\nlisten = "0.0.0.0:{free_port(socket.SOCK_DGRAM)}"\n',
            f'[egress]\nallow = ["127.0.0.0/8"]\n[store]\ndirectory = "{folder}/store"\n',
            *tables,
        ]
    )


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody has at the moment."""
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def relay(urls: list[str]) -> AsyncIterator[tuple[str, str, str]]:
    """A running relay: its address, a token for all its cameras, and the password of its operator."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        file = folder / "camrelay.toml"
        file.write_text(config(folder, port, urls))
        process = await asyncio.create_subprocess_exec(*COMMAND, "serve", "--config", str(file))
        try:
            await accepts(port)
            where = ("--config", str(file))
            token = await printed("token", "create", *where, "--camera", "*", "--ttl", "1h", "--for", "ana")
            password = await printed("user", "add", *where, OPERATOR, "--name", "Olga", "--role", "operator")
            yield f"http://127.0.0.1:{port}", token, password
        finally:
            process.terminate()
            await process.wait()


async def printed(*arguments: str) -> str:
    """What a command says."""
    process = await asyncio.create_subprocess_exec(*COMMAND, *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode().strip()


async def accepts(port: int) -> None:
    """Waits until somebody listens."""
    async with asyncio.timeout(LIMIT_MS / 1000):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


async def players(page: Page, state: str, count: int) -> None:
    """Waits until that many players are in a state."""
    await page.wait_for_function(
        "([state, count]) => document.querySelectorAll(`camera-player[state=${state}]`).length >= count",
        arg=[state, count],
        timeout=LIMIT_MS,
    )


async def shoot(page: Page, scene: str, state: str | None = None) -> None:
    """Takes a scene at every width and in both schemes, once its player is in `state`."""
    for width, height in SIZES.items():
        await page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            if state:
                await players(page, state, 1)
            await page.mouse.move(0, 0)
            if state and width > PHONE:
                await page.locator("camera-player").first.hover()
            await page.wait_for_timeout(1200)  # transitions, and a measurement's next second
            await page.screenshot(path=FOLDER / f"{scene}-{width}-{scheme}.png")


async def people(browser: Browser, url: str, password: str) -> None:
    """What somebody with an account sees, once others have watched."""
    context = await browser.new_context(base_url=url, locale="en-GB")
    page = await context.new_page()
    await page.goto("/sign-in")
    await page.wait_for_selector("#credentials")
    await shoot(page, "sign-in")

    camera = CAMERAS[0][0]
    credentials = {"email": OPERATOR, "password": password}
    ben = {"email": "ben@cams.example", "name": "Ben", "password": "a long enough sentence"}
    for target, body in (
        ("/v1/login", credentials),
        ("/v1/admin/accounts", ben),
        (f"/v1/cameras/{camera}/shares", {"email": ben["email"], "actions": ["watch"]}),
        (f"/v1/cameras/{camera}/links", {"name": "Neighbours", "actions": ["watch"]}),
    ):
        answer = await context.request.post(target, data=body, headers=SAME_ORIGIN)
        assert answer.ok, await answer.text()
    for path, scene, ready in (
        (f"/cameras/{camera}/share", "share", "#share:not([hidden])"),
        (f"/cameras/{camera}/watched", "watched", "#watched:not([hidden]) tbody tr"),
        ("/find", "find", "main"),
        ("/me", "me", "main"),
    ):
        await page.goto(path)
        await page.wait_for_selector(ready)
        await shoot(page, scene)


async def scenes(browser: Browser, url: str, token: str, cameras: Simulator) -> None:
    """All scenes in an order that lets one camera go offline while it is watched."""
    context = await browser.new_context(locale="en-GB")
    grid, live, lost, empty = [await context.new_page() for _ in range(4)]
    await empty.goto(url)
    await empty.wait_for_selector("#empty:not([hidden])")
    await shoot(empty, "empty")
    await empty.close()

    await live.goto(f"{url}/cameras/{CAMERAS[0][0]}#token={token}")
    await players(live, "live", 1)
    await live.locator("camera-player .delay").click()
    await shoot(live, "live", "live")
    await live.close()

    await grid.set_viewport_size({"width": 1600, "height": 900})
    await grid.goto(f"{url}/#token={token}")
    await lost.goto(f"{url}/cameras/{GOING_OFFLINE}#token={token}")
    await players(grid, "live", len(CAMERAS))
    await players(lost, "live", 1)
    cameras.reboot(len(CAMERAS), DOWN_S)
    await players(lost, "offline", 1)
    await players(grid, "offline", 1)
    await shoot(lost, "offline")
    await lost.close()
    await shoot(grid, "grid", "live")


async def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    async with (
        Simulator(Options(cameras=len(CAMERAS), picture=PICTURE)) as cameras,
        async_playwright() as playwright,
    ):
        urls = [cameras.url(number) for number in range(1, len(CAMERAS) + 1)]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        async with relay(urls) as (url, token, password):
            await scenes(browser, url, token, cameras)
            await people(browser, url, password)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
