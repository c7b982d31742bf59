"""What somebody with the disk can do to a log, and how it is named."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from audit_builders import make_start, write_log
from camrelay.audit import archive
from camrelay.audit.archive import (
    Leaves,
    Lines,
    header,
    is_header,
    leaves_path,
    log_files,
    verify,
    verify_with,
)
from camrelay.audit.chain import Header, Tree, leaf_hash
from camrelay.audit.checkpoint import Checkpoint
from camrelay.audit.signer import CHECKPOINTS, Signer, append_note, read_notes
from camrelay.errors import ChainBroken

LINES = 41


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of 40 records behind a header."""
    directory = tmp_path_factory.mktemp("log") / "store"
    write_log(directory, [[make_start(day * 100 + n) for n in range(LINES - 1)] for day in range(3)])
    return directory


@contextmanager
def copy_of(original: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(original, Path(folder) / "store"))


def checkpoints(directory: Path) -> list[Checkpoint]:
    return Signer.load(directory).read(read_notes(directory))


def check(directory: Path, saved: list[Checkpoint] | None = None, since: str = "") -> archive.Verified:
    signed = checkpoints(directory) if saved is None else saved
    return verify(directory, Signer.load(directory), signed, since)


def broken(directory: Path, saved: list[Checkpoint] | None = None, since: str = "") -> tuple[str, int, int]:
    """The file and the first and last position that verify names."""
    with pytest.raises(ChainBroken) as raised:
        check(directory, saved, since)
    return str(raised.value).split(".jsonl")[0], raised.value.first, raised.value.last


def lines(directory: Path, day: int) -> list[bytes]:
    return list(Lines(log_files(directory)[day]))


def write(directory: Path, day: int, content: list[bytes]) -> None:
    log_files(directory)[day].write_bytes(b"".join(content))


def test_a_log_that_nobody_touched(original: Path) -> None:
    """Counted, and signed to its end; so it is from a day on."""
    found = check(original)
    assert (found.days, found.lines, found.unsigned) == (3, 3 * LINES, 0)
    assert check(original, since="2026-11-22").days == 2
    assert check(original, []).unsigned == LINES
    assert check(original, since="2027-01-01").lines == 0


Manipulation = Callable[[list[bytes], int, random.Random], list[bytes]]


def edit(day: list[bytes], at: int, rng: random.Random) -> list[bytes]:
    line = bytearray(day[at])
    place = rng.randrange(len(line) - 1)
    line[place] ^= 1 << rng.randrange(7)
    if 10 in line[:-1]:
        line[place] = 0x20
    return [*day[:at], bytes(line), *day[at + 1 :]]


def insert(day: list[bytes], at: int, rng: random.Random) -> list[bytes]:
    return [*day[:at], day[at].replace(b"anna", b"eve"), *day[at:]]


def double(day: list[bytes], at: int, rng: random.Random) -> list[bytes]:
    return [*day[: at + 1], day[at], *day[at + 1 :]]


def delete(day: list[bytes], at: int, rng: random.Random) -> list[bytes]:
    return [*day[:at], *day[at + 1 :]]


def exchange(day: list[bytes], at: int, rng: random.Random) -> list[bytes]:
    other = rng.choice([n for n in range(len(day)) if n != at])
    day = list(day)
    day[at], day[other] = day[other], day[at]
    return day


def truncate(day: list[bytes], at: int, rng: random.Random) -> list[bytes]:
    return day[:at]


@pytest.mark.parametrize("manipulate", [edit, insert, double, delete, exchange, truncate])
# Files are copied: how long that takes is the disk's.
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    day=st.integers(0, 2), at=st.integers(0, LINES - 1), seed=st.integers(0, 999), keeps_leaves=st.booleans()
)
@example(day=2, at=LINES - 1, seed=0, keeps_leaves=True)
@example(day=1, at=LINES - 1, seed=0, keeps_leaves=False)
def test_the_first_bad_line_is_named(
    original: Path, manipulate: Manipulation, day: int, at: int, seed: int, keeps_leaves: bool
) -> None:
    """Case 63: exactly, while the leaves beside the lines tell; else between the checkpoints around it."""
    before = lines(original, day)
    after = manipulate(before, at, random.Random(seed))
    pairs = enumerate(zip(before, [*after, b""], strict=False))
    expected = next((n for n, (one, other) in pairs if one != other), len(before))
    with copy_of(original) as directory:
        write(directory, day, after)
        if not keeps_leaves:
            leaves_path(log_files(directory)[day]).unlink()
        if expected == len(before) and day == 2:
            # The last line of all, doubled: behind the last checkpoint nothing is proven yet.
            assert check(directory, checkpoints(original)).unsigned == 1
            return
        name, first, last = broken(directory, checkpoints(original))
    assert name == log_files(original)[day].stem
    if keeps_leaves or expected == len(before):
        assert (first, last) == (expected, expected)
    else:
        assert first <= expected <= last < first + 11


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 2), (0, 2)])
def test_days_that_changed_places_are_named(original: Path, one: int, other: int) -> None:
    """With their leaves and all: the first of them, from its first line on."""
    with copy_of(original) as directory:
        first, second = (log_files(directory)[n] for n in (one, other))
        for a, b in ((first, second), (leaves_path(first), leaves_path(second))):
            content = a.read_bytes()
            a.write_bytes(b.read_bytes())
            b.write_bytes(content)
        name, position, _ = broken(directory)
    assert (name, position) == (log_files(original)[one].stem, 0)


@pytest.mark.parametrize("day", range(3))
def test_a_missing_day_is_named(original: Path, day: int) -> None:
    """Also when its checkpoints were removed with it, by the header of the next; the last day by its own."""
    with copy_of(original) as directory:
        path = log_files(directory)[day]
        path.unlink()
        kept = [c for c in checkpoints(original) if not path.stem.endswith(c.origin[-10:])]
        assert broken(directory)[0] == path.stem
        if day < 2:
            assert broken(directory, kept) == (log_files(original)[day + 1].stem, 0, 0)


def test_yesterdays_files_put_back_are_found_by_a_saved_checkpoint_only(original: Path) -> None:
    """Together with yesterday's checkpoints they are a log that was signed; it says nothing of today."""
    with copy_of(original) as directory:
        saved = checkpoints(original)
        today = log_files(directory)[2]
        content = lines(directory, 2)
        write(directory, 2, content[:21])
        leaves_path(today).write_bytes(leaves_path(today).read_bytes()[: 21 * 32])
        earlier = [c for c in saved if not c.origin.endswith("-23") or c.size <= 21]
        assert check(directory, earlier).unsigned == 0
        name, first, last = broken(directory, saved)
        assert name == today.stem
        assert first <= 21 <= last
        today.unlink()
        assert check(directory, [c for c in saved if not c.origin.endswith("-23")]).days == 2
        assert broken(directory, saved)[0] == today.stem


@pytest.mark.parametrize("day", range(2))
def test_a_line_added_to_a_day_that_is_over_is_named(original: Path, day: int) -> None:
    """Behind its last checkpoint; the header of the next day knows how long it was."""
    with copy_of(original) as directory:
        write(directory, day, [*lines(directory, day), lines(directory, day)[1]])
        assert broken(directory) == (log_files(directory)[day].stem, LINES, LINES)
        assert check(directory, since="2026-11-23").days == 1


def test_another_logs_checkpoint_is_said(original: Path, tmp_path: Path) -> None:
    """It was signed by this key, for another log."""
    with pytest.raises(ChainBroken, match="another log"):
        check(original, [Checkpoint("camrelay-0/2026-11-21", 1, b"r" * 32)])


def test_a_whole_new_history_is_found_by_a_saved_checkpoint(original: Path, tmp_path: Path) -> None:
    """Somebody with the signing key signed it all again; without what was kept elsewhere it looks well."""
    directory = tmp_path / "store"
    directory.mkdir(mode=0o700)
    shutil.copy(original / "audit.key", directory)
    write_log(directory, [[make_start(n, person="eve") for n in range(LINES - 1)]])
    assert check(directory).unsigned == 0
    assert broken(directory, checkpoints(original)) == ("access-2026-11-21", 0, 10)


def test_a_thiefs_own_checkpoints_do_not_mislead(original: Path) -> None:
    """They say that everything up to the saved one is as it was; the saved ones tell where it is not."""
    with copy_of(original) as directory:
        signer, saved = Signer.load(directory), checkpoints(original)
        write(directory, 2, [line for n, line in enumerate(lines(directory, 2)) if n != 5])
        leaves = list(map(leaf_hash, lines(directory, 2)))
        leaves_path(log_files(directory)[2]).write_bytes(b"".join(leaves))
        (directory / CHECKPOINTS).unlink()
        append_note(directory, signer.sign("2026-11-23", Tree(leaves)))
        assert verify_with(directory, signer, []).unsigned == 0
        with pytest.raises(ChainBroken, match="lines 0 to 10 are not") as raised:
            verify_with(directory, signer, saved)
        assert (raised.value.first, raised.value.last) == (0, 10)
    assert verify_with(original, Signer.load(original), saved).lines == 3 * LINES


def test_what_only_its_own_checkpoints_tell_is_found_too(original: Path) -> None:
    """The saved ones end before it."""
    with copy_of(original) as directory:
        write(directory, 2, edit(lines(directory, 2), 30, random.Random(1)))
        saved = [each for each in checkpoints(original) if not each.origin.endswith("-23")]
        for known in (saved, []):
            with pytest.raises(ChainBroken, match="line 30 "):
                verify_with(directory, Signer.load(directory), known)


def test_a_file_without_a_header_is_named(tmp_path: Path, original: Path) -> None:
    """Nothing was signed over it, and still it is no day of a log."""
    with copy_of(original) as directory:
        write(directory, 0, lines(directory, 0)[1:])
        assert broken(directory, []) == ("access-2026-11-21", 0, 0)


def test_headers_have_one_spelling() -> None:
    """A line that means the same is none."""
    line = Header("log", "2026-11-21", 0, "0" * 64).line()
    assert is_header(line)
    assert not is_header(line.replace(b":0,", b": 0,"))
    assert not is_header(b"\xff")
    assert not is_header(b"{}\n")
    assert not is_header(Header("l" * 2000, "2026-11-21", 0, "0" * 64).line())


def test_a_header_is_read(original: Path) -> None:
    """The first line of the file."""
    assert header(log_files(original)[0]).day == "2026-11-21"
    assert len(list(Leaves(log_files(original)[0]))) == LINES
