"""Who may import whom: the rooms of the design, asserted by walking the imports.

errors, model, config <- cores <- shells, metrics, store <- server, app <- cli. Downwards or inside one's own
room, no cycles, no late imports, and each third-party door has its keepers.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"

BASE = {"errors", "model", "config", "config_fault", "config_file", "toml_lines"}

#: Synchronous, no I/O, no clock, no logging, no asyncio.
CORES = {
    "capacity",
    "exposition",
    "ingest.codecs",
    "ingest.h264",
    "ingest.h265",
    "ingest.h265_parameter_set",
    "ingest.rtp_h265",
    "ingest.parameter_set",
    "ingest.timeline",
    "ingest.backoff",
    "ingest.refusals",
    "ingest.requests",
    "ingest.feed",
    "ingest.soap",
    "ingest.keyframe",
    "ingest.report",
    "ingest.device",
    "ingest.discovery",
    "ingest.egress",
    "ingest.audio",
    "ingest.conversation",
    "ingest.reorder",
    "ingest.rtcp",
    "ingest.rtp",
    "ingest.rtsp",
    "ingest.sdp",
    "ingest.sound_clock",
    "ingest.sound_track",
    "ingest.target",
    "ingest.transport",
    "fanout.ring",
    "fanout.hls.fmp4",
    "fanout.hls.listing",
    "fanout.hls.part_target",
    "fanout.hls.peak",
    "fanout.hls.program_dates",
    "fanout.hls.segment",
    "fanout.hls.segmenter",
    "fanout.hls.sound",
    "fanout.hls.playlist",
    "fanout.hls.parser",
    "fanout.hls.waiting",
    "fanout.webrtc.pace",
    "fanout.webrtc.h265",
    "fanout.webrtc.rtp",
    "fanout.webrtc.rtcp",
    "fanout.webrtc.slots",
    "fanout.webrtc.srtp",
    "fanout.webrtc.sender",
    "fanout.webrtc.ice",
    "fanout.webrtc.sdp",
    "fanout.webrtc.answer",
    "auth.account",
    "auth.invitation",
    "mail.letter",
    "auth.patience",
    "auth.token",
    "auth.totp",
    "auth.policy",
    "auth.question",
    "auth.schedule",
    "auth.api_key",
    "auth.share",
    "auth.sent_away",
    "auth.lease",
    "auth.client",
    "auth.flood",
    "auth.hearing",
    "auth.jwks",
    "auth.verifier",
    "audit.record",
    "audit.chain",
    "audit.checkpoint",
    "audit.identity",
    "audit.viewing",
    "audit.dictionary",
    "audit.statistic",
    "audit.sink",
    "simulate.clock",
    "simulate.conversation",
    "simulate.credentials",
    "simulate.options",
    "simulate.picture",
    "simulate.rtp",
    "simulate.rtsp",
    "simulate.sdp",
    "simulate.soundtrack",
    "simulate.timeline",
}

#: Composition: may import every room.
TOP = {
    "server",
    "places",
    "accounts",
    "account_views",
    "administration",
    "api",
    "find",
    "records",
    "own_record",
    "keeping",
    "usage",
    "rights",
    "sharing",
    "invitations",
    "mailing",
    "api_keys",
    "share_views",
    "snapshots",
    "remote",
    "lineup",
    "check",
    "wiring",
    "app",
    "pages",
    "openapi",
    "demo",
    "cli",
    "__main__",
}

ROOMS = {"ingest", "fanout", "auth", "audit", "mail"}

#: Modules that do or wait for something. A core knows none of them.
IMPURE = {
    "asyncio", "concurrent", "http", "logging", "multiprocessing", "os", "pathlib", "random", "secrets",
    "select", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib",
    "aiohttp", "uvloop", "prometheus_client", "sqlalchemy",
}  # fmt: skip

#: Third-party door -> the modules that may open it. A name ending in "." stands for everything below it.
KEEPERS = {
    "av": {"ingest.snapshot", "simulate.", "tools."},
    "aiortc": {"fanout.webrtc.peer", "fanout.webrtc.sdp", "tools."},
    "onvif": {"ingest.onvif"},
    "zeep": {"ingest.onvif"},
    "prometheus_client": {"metrics"},
    "sqlalchemy": {
        "database",
        "camera_store",
        "news_store",
        "refusal_store",
        "account_store",
        "share_store",
        "invitation_store",
        "api_key_store",
        "migrations.",
    },
    "alembic": {"database", "migrations."},
    "asyncpg": {"database", "audit.postgres"},
    "jwt": {"auth.token"},
    "aiosmtplib": {"mail.transport"},
    "argon2": {"auth.password"},
    "zxcvbn": {"auth.common_password"},
    "jinja2": {"pages"},
    "click": {"cli", "commands."},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC / "camrelay").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p): p for p in sorted((SRC / "camrelay").rglob("*.py"))}


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """(name, line, at top level) of every import; `from a import b` is a.b when that is a module."""
    found = []
    tree = ast.parse(path.read_text())
    top = set()
    for node in tree.body:
        top.add(node)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            top.update(node.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, node in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = full.removeprefix("camrelay.") in MODULES
                found.append((full if is_module else str(node.module), node.lineno, node in top))
    return found


def own(name: str) -> str | None:
    """The module's name inside camrelay, None for anybody else's."""
    if name == "camrelay":
        return ""
    return name.removeprefix("camrelay.") if name.startswith("camrelay.") else None


def is_top(module: str) -> bool:
    return module in TOP or room(module) == "commands"


def room(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards_or_stay_in_the_room(module: str) -> None:
    """A room never imports another room, a core never a shell, nobody the composition root."""
    for name, line, _ in imports(MODULES[module]):
        target = own(name)
        if target is None or target == "":
            continue
        where = f"{module}:{line} imports {target}"
        if is_top(module) or room(module) == "tools":
            assert is_top(module) or not is_top(target), where
            continue
        assert not is_top(target), where
        assert room(target) != "tools", where
        if target in BASE:
            continue
        assert module not in BASE, where
        if module in CORES:
            assert target in CORES, where
            assert room(target) == room(module), where
        elif room(module) in ROOMS and room(target) in ROOMS:
            assert room(target) == room(module), where


@pytest.mark.parametrize("module", sorted((CORES | BASE) & set(MODULES)))
def test_cores_are_pure(module: str) -> None:
    """A core imports nothing that does I/O, reads a clock, logs, or waits."""
    for name, line, _ in imports(MODULES[module]):
        assert name == "urllib.parse" or name.split(".")[0] not in IMPURE, f"{module}:{line} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_each_third_party_door_has_its_keepers(module: str) -> None:
    """libav, aiortc, the database and the like are opened in one place each."""
    for name, line, _ in imports(MODULES[module]):
        keepers = KEEPERS.get(name.split(".")[0])
        if keepers is None:
            continue
        allowed = module in keepers or any(k.endswith(".") and module.startswith(k) for k in keepers)
        assert allowed, f"{module}:{line} imports {name}; its keepers are {sorted(keepers)}"


@pytest.mark.parametrize("module", MODULES)
def test_no_late_imports(module: str) -> None:
    """Imports stand at the top of the file, where they can be seen."""
    for name, line, at_top in imports(MODULES[module]):
        assert at_top, f"{module}:{line} imports {name} late"


def test_no_cycles() -> None:
    """The import graph is a graph one can read from the bottom up."""
    graph = {m: {t for n, _, _ in imports(p) if (t := own(n)) in MODULES and t} for m, p in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module in done:
            return
        for target in sorted(graph[module]):
            visit(target, (*path, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def test_the_relay_process_never_reaches_the_library_that_can_crash_it() -> None:
    """From app, no chain of imports of ours ends in `av` (the keepers of av are subprocesses and tools)."""
    graph = {m: [n for n, _, _ in imports(p)] for m, p in MODULES.items()}
    seen: set[str] = set()
    queue = [m for m in ("app",) if m in MODULES]
    while queue:
        module = queue.pop()
        if module in seen:
            continue
        seen.add(module)
        for name in graph[module]:
            assert name.split(".")[0] != "av", f"{module} imports {name} in the relay process"
            target = own(name)
            if target in MODULES and target:
                queue.append(target)
