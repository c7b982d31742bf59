"""The power fails at every moment of a run of the real writer: what it acknowledged is there afterwards.

The system calls of a program that writes the access record are recorded. At each of them the directory is
made again as a power cut may have left it: of what was not synced nothing is there, or all, or some, torn, or
zeros in its place (fsync(2) promises no more). The log then starts there, and is looked through.
"""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from camrelay.audit.archive import log_files, verify
from camrelay.audit.log import AccessLog
from camrelay.audit.people import opened
from camrelay.audit.record import Record
from camrelay.audit.recovery import read
from camrelay.audit.signer import Signer, read_notes
from camrelay.config import Audit
from camrelay.model import EventType

DAY_US = 86_400_000_000
LATER_US = 1_795_262_400_000_000 + 3 * DAY_US

_CALLS = "openat,write,pwrite64,fsync,fdatasync,ftruncate,rename,link,unlink"
_CALL = re.compile(r"(\d+) +(\w+)\((.*)\) += (\d+)")
_UNFINISHED = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FILE = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})*)>")

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")


class Call(msgspec.Struct, frozen=True):
    """A system call on the store, or an acknowledgement; names are those of files in the directory."""

    kind: str
    name: str = ""
    data: bytes = b""
    #: Of data; -1 is the end of the file. The new size of a truncation.
    at: int = -1
    other: str = ""


def parse(trace: str, directory: Path) -> Iterator[Call]:
    """What happened to the directory, in the order in which it was done."""
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        if unfinished := _UNFINISHED.match(line):
            begun[unfinished[1]] = line.partition(" <unfinished")[0]
            continue
        if resumed := _RESUMED.match(line):
            line = begun.pop(resumed[1]) + resumed[3]
        if (call := _CALL.match(line)) is None:
            continue
        kind, arguments = call[2], call[3]
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)]
        file = _FILE.match(arguments)
        path = Path(bytes.fromhex(file[2].replace("\\x", "")).decode()) if file else Path(texts[0].decode())
        if kind == "write" and file and file[1] == "1":
            yield Call("told", data=texts[0])
        elif directory not in (path, path.parent):
            continue
        elif kind in ("fsync", "fdatasync"):
            yield Call("sync" if path != directory else "sync names", path.name)
        elif kind == "openat" and "O_CREAT" in arguments:
            yield Call("create", path.name)
        elif kind == "write":
            yield Call("write", path.name, texts[0])
        elif kind == "pwrite64":
            yield Call("write", path.name, texts[0], int(arguments.rpartition(", ")[2]))
        elif kind == "ftruncate":
            yield Call("truncate", path.name, at=int(arguments.rpartition(", ")[2]))
        elif kind == "unlink":
            yield Call("unlink", path.name)
        elif kind in ("rename", "link"):
            yield Call(kind, path.name, other=Path(texts[1].decode()).name)


class File:
    """One file: what is durable of it, and the calls since."""

    def __init__(self) -> None:
        self.durable = b""
        self.pending: list[Call] = []

    def content(self, survives: Callable[[Call], bytes | None]) -> bytes:
        """What is there after the cut; `survives` says with which data a write got through, if it did."""
        content = bytearray(self.durable)
        end = len(content)
        for call in self.pending:
            if call.kind == "truncate":
                del content[call.at :]
                content.extend(bytes(call.at - len(content)))
                end = len(content)
                continue
            # Where it belongs does not depend on what became of those before it.
            at = end if call.at < 0 else call.at
            end = max(end, at + len(call.data))
            data = survives(call)
            if data is not None:
                content.extend(bytes(max(0, at - len(content))))
                content[at : at + len(data)] = data
        return bytes(content)


class Disk:
    """A directory whose power can fail."""

    def __init__(self) -> None:
        self._names: dict[str, File] = {}
        self._durable: dict[str, File] = {}
        self.told: list[str] = []

    def do(self, call: Call) -> None:
        """Goes on by one call."""
        match call.kind:
            case "told":
                self.told.append(f"v{int(call.data)}")
            case "create":
                self._names.setdefault(call.name, File())
            case "sync names":
                self._durable = dict(self._names)
            case "sync":
                file = self._names[call.name]
                file.durable, file.pending = file.content(lambda each: each.data), []
            case "unlink":
                del self._names[call.name]
            case "rename":
                self._names[call.other] = self._names.pop(call.name)
            case "link":
                self._names[call.other] = self._names[call.name]
            case _:
                self._names[call.name].pending.append(call)

    def after_cut(self, survives: Callable[[Call], bytes | None], *, keeps_names: bool) -> dict[str, bytes]:
        """Name -> content of every file."""
        names = self._names if keeps_names else self._durable
        # The index of SQLite's journal is shared memory, made again by whoever opens the database.
        return {name: f.content(survives) for name, f in names.items() if not name.endswith("-shm")}


def nothing(call: Call) -> bytes | None:
    return None


def everything(call: Call) -> bytes | None:
    return call.data


def some(rng: random.Random) -> Callable[[Call], bytes | None]:
    """Each write whole, not at all, torn, or as zeros."""

    def survives(call: Call) -> bytes | None:
        cut = rng.randrange(len(call.data) + 1)
        zeros = bytes(len(call.data))
        return rng.choice([call.data, None, call.data[:cut], call.data[:cut] + zeros[cut:]])

    return survives


def look(directory: Path) -> tuple[list[Record], set[str]]:
    """The starts in a log that verifies, and the viewings of those whose person is known."""
    signer = Signer.load(directory)
    found = verify(directory, signer, signer.read(read_notes(directory)))
    records = [record for path in log_files(directory) for record in read(path)]
    assert found.lines - found.days == len(records)
    starts = [record for record in records if record.type is EventType.START]
    with opened(directory) as people:
        known = people.identify(starts)
    return starts, {each.viewing for each, who in zip(starts, known, strict=True) if who.subject}


async def start_again(directory: Path) -> None:
    log = AccessLog(directory, Audit(), utc_us=lambda: LATER_US)
    await log.start()
    await log.stop()


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """A run of the real writer."""
    folder = tmp_path_factory.mktemp("traced")
    strace = ["strace", "-f", "-qq", "-y", "-xx", "-s", "1000000", "-e", f"trace={_CALLS}"]
    program = [sys.executable, str(Path(__file__).parent / "traced.py"), str(folder / "store")]
    command = [*strace, "-o", str(folder / "trace"), *program]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return list(parse((folder / "trace").read_text(), folder / "store"))


@needs_strace
def test_what_was_acknowledged_outlives_a_power_cut_at_any_moment(
    calls: list[Call],
) -> None:
    """Nothing is lost, doubled or torn, everybody is known, and the log goes on as it was signed."""
    rng, seen = random.Random(1), set[int]()
    disk = Disk()
    for call in calls:
        disk.do(call)
        if call.kind == "told":
            continue
        for survives, keeps_names in (
            (nothing, False),
            (everything, True),
            (some(rng), True),
            (some(rng), False),
        ):
            files = disk.after_cut(survives, keeps_names=keeps_names)
            key = hash((tuple(sorted(files.items())), len(disk.told)))
            if key in seen:
                continue
            seen.add(key)
            with tempfile.TemporaryDirectory(dir=_memory()) as folder:
                directory = Path(folder) / "store"
                directory.mkdir(mode=0o700)
                for name, content in files.items():
                    (directory / name).write_bytes(content)
                    (directory / name).chmod(0o600)
                asyncio.run(start_again(directory))
                starts, known = look(directory)
            assert len({each.viewing for each in starts}) == len(starts), call
            assert set(disk.told) <= known, call
    assert len(disk.told) == 16
    assert len(seen) > len(calls)


def _memory() -> Path | None:
    """Where syncing costs nothing: what is tested is not this disk."""
    path = Path("/dev/shm")  # noqa: S108 - a directory of our own in it
    return path if path.is_dir() else None
