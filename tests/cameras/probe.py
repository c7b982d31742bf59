"""Looks at a camera with ffprobe."""

from __future__ import annotations

import asyncio
import json
from typing import Any


async def ffprobe(url: str, *, transport: str = "tcp", packets: int = 30, timeout_s: float = 20.0) -> Any:
    """What ffprobe says after `packets` packets: its JSON with "streams" and "packets".

    Raises:
        AssertionError: with ffprobe's own words, when it cannot read the camera.
    """
    process = await asyncio.create_subprocess_exec(
        "ffprobe",
        *("-v", "error", "-rtsp_transport", transport, "-of", "json", "-show_streams", "-show_packets"),
        *("-read_intervals", f"%+#{packets}", url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode == 0, err.decode()
    return json.loads(out)
