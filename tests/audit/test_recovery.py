"""What a crash left behind."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from camrelay.audit.archive import log_files
from camrelay.audit.chain import Header
from camrelay.audit.record import Record, serialize
from camrelay.audit.recovery import read, recover
from camrelay.model import EndReason, EventType

NOW_US = 9_000_000


def start(n: int, ts_us: int = 1_000_000) -> Record:
    return Record(
        type=EventType.START,
        ts_us=ts_us,
        camera="door",
        outcome="allow",
        protocol="hls",
        viewing=f"v{n}",
        session=f"s{n}",
        person="a1",
        id="e1",
        commitment="c1",
    )


def stop(n: int, ts_us: int = 2_000_000) -> Record:
    return Record(type=EventType.STOP, ts_us=ts_us, camera="door", outcome="allow", viewing=f"v{n}")


NODE = Record(type=EventType.NODE_START, ts_us=0, camera="", outcome="info")


def write(directory: Path, day: int, *events: Record, tail: bytes = b"") -> Path:
    path = directory / f"access-2026-11-{day:02}.jsonl"
    path.write_bytes(b"".join(map(serialize, events)) + tail)
    return path


def test_a_viewing_that_never_ended_is_closed(tmp_path: Path) -> None:
    """By a stop with the reason, dated now, as long as the log is known to have run on."""
    write(tmp_path, 21, NODE, start(1), start(2), stop(2, ts_us=4_500_000))
    assert recover(tmp_path, NOW_US) == [
        Record(
            type=EventType.STOP,
            ts_us=NOW_US,
            camera="door",
            outcome="allow",
            protocol="hls",
            viewing="v1",
            session="s1",
            person="a1",
            reason=EndReason.SERVER_CRASH,
            duration_ms=3500,
        )
    ]


def test_viewings_may_run_through_midnights(tmp_path: Path) -> None:
    """Started days ago, in a file the server has long left; what lies before its own start is closed."""
    write(tmp_path, 18, start(1))
    write(tmp_path, 19, NODE, start(2), start(3))
    write(tmp_path, 20, stop(2))
    write(tmp_path, 21, start(4))
    assert [event.viewing for event in recover(tmp_path, NOW_US)] == ["v3", "v4"]


def test_without_any_file_nothing_is_open(tmp_path: Path) -> None:
    """The first start of all; other files are none of ours."""
    (tmp_path / "access-notes.jsonl").write_text("x")
    assert recover(tmp_path, NOW_US) == []


def test_a_log_without_a_node_start_is_read_from_its_beginning(tmp_path: Path) -> None:
    """Somebody removed the older files."""
    write(tmp_path, 20, start(1))
    write(tmp_path, 21, start(2))
    assert [event.viewing for event in recover(tmp_path, NOW_US)] == ["v1", "v2"]


def test_a_clock_that_was_set_back_gives_no_negative_duration(tmp_path: Path) -> None:
    """Zero is all that is known then."""
    write(tmp_path, 21, NODE, start(1, ts_us=8_000_000))
    path = write(tmp_path, 21, NODE, start(1, ts_us=-5))
    assert recover(tmp_path, NOW_US)[0].duration_ms == 0
    assert path.exists()


LINE = serialize(start(2))


@pytest.mark.parametrize(
    "tail",
    [
        LINE[:-1],
        LINE[:1],
        LINE[: len(LINE) // 2],
        b"\0" * 4096,
        b"\0" * 200_000,
        b"\n" * 8192,
        LINE[:50] + b"\0" * 100 + LINE[50:],
        b"x\n" + LINE[:9] + b"\n\0",
    ],
)
def test_what_was_never_complete_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    """Half a line, a hole of zeros after a power cut, blank lines of an interrupted probe."""
    path = write(tmp_path, 21, NODE, start(1), tail=tail)
    assert [event.viewing for event in recover(tmp_path, NOW_US)] == ["v1"]
    assert path.read_bytes() == serialize(NODE) + serialize(start(1))


@pytest.mark.parametrize("cut", range(len(LINE) + 1))
def test_a_crash_at_any_byte(tmp_path: Path, cut: int) -> None:
    """The whole line is kept when it is whole, and only then."""
    path = write(tmp_path, 21, NODE, tail=LINE[:cut])
    recover(tmp_path, NOW_US)
    assert path.read_bytes() == serialize(NODE) + (LINE if cut == len(LINE) else b"")


def test_a_file_of_nothing_but_rubbish_is_removed(tmp_path: Path) -> None:
    """The very first write was torn: the day has not begun."""
    path = write(tmp_path, 21, tail=LINE[:20])
    assert recover(tmp_path, NOW_US) == []
    assert not path.exists()


def test_a_header_is_no_record_and_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Alone at the end of a file it stays; in the middle of one it is strange."""
    header = Header("camrelay-1", "2026-11-21", 0, "0" * 64).line()
    path = tmp_path / "access-2026-11-21.jsonl"
    path.write_bytes(header + LINE[:20])
    assert recover(tmp_path, NOW_US) == []
    assert path.read_bytes() == header
    assert list(read(path)) == []
    assert "no access records" not in caplog.text
    path.write_bytes(header + header)
    assert list(read(path)) == []
    assert "1 lines" in caplog.text


def test_damage_in_the_middle_is_reported_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Records behind it were acknowledged: they stay."""
    damaged = serialize(start(2)).replace(b"a1", b"a\n")
    path = tmp_path / "access-2026-11-21.jsonl"
    content = serialize(start(1)) + damaged + b"\n" + serialize(start(3))
    path.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        assert [event.viewing for event in read(path)] == ["v1", "v3"]
    assert "2 lines of access-2026-11-21.jsonl are no access records" in caplog.text
    recover(tmp_path, NOW_US)
    assert path.read_bytes() == content


def test_files_come_in_order(tmp_path: Path) -> None:
    """Oldest first, whatever the directory says."""
    for day in (21, 3, 12):
        write(tmp_path, day)
    assert [path.name[-8:-6] for path in log_files(tmp_path)] == ["03", "12", "21"]
