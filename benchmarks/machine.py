"""What was measured on: without it a figure says nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

_PACKAGES = ("camrelay", "aiohttp", "aiortc", "av", "cryptography", "uvloop")


def machine() -> dict[str, str | int]:
    """Processor, memory, kernel."""
    processor = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "processor": processor[1] if processor else platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_mb": int(memory[1]) // 1024 if memory else 0,
        "kernel": platform.release(),
    }


def versions() -> dict[str, str]:
    """Python, the packages that do the work, and our own commit."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if commit.returncode == 0:
        found["commit"] = commit.stdout.strip()
    return found


def load_average() -> float:
    """Runnable processes over the last minute: what else ran when a measurement began."""
    return os.getloadavg()[0]
