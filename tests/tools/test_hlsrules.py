"""Tests of camrelay.tools.hlsrules: a playlist without fault, and one planted fault for each rule."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from camrelay.tools import hlsrules
from camrelay.tools.hlsrules import Failure, Fetched

GOOD = """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=12,PART-HOLD-BACK=0.6,CAN-SKIP-UNTIL=24
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:100
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXT-X-MAP:URI="i0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:4,
s100.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:04.000Z
#EXT-X-GAP
#EXT-X-PART:URI="g0.m4s",DURATION=0.2,GAP=YES
#EXTINF:0.2,
s101.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="i1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:04.200Z
#EXT-X-PART:URI="p1.m4s",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI="p2.m4s",DURATION=0.19
#EXT-X-PART:URI="p3.m4s",DURATION=0.1
#EXTINF:0.49,
s102.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:04.690Z
#EXT-X-PART:URI="p4.m4s",DURATION=0.2
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p5.m4s"
"""
DELTA = """\
#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:100
#EXT-X-SKIP:SKIPPED-SEGMENTS=9
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z
#EXTINF:4,
s109.m4s
"""


def broken_rules(text: str, *, others: int = 0) -> set[str]:
    playlist, failures = hlsrules.read_media(text)
    if playlist is not None:
        failures += hlsrules.check_media(playlist, text, other_playlists=others)
    return {failure.rule for failure in failures}


def test_a_good_playlist_breaks_nothing() -> None:
    """Gaps, discontinuities, short last parts and open segments are all in order."""
    assert broken_rules(GOOD) == set()
    assert broken_rules(DELTA) == set()


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("H1", "#EXTINF:4,", "#EXTINF:x,"),
        ("H2", "VERSION:6", "VERSION:10"),
        ("H2", "VERSION:6", "VERSION:3"),
        ("H3", "TARGETDURATION:4", "TARGETDURATION:0"),
        ("H3", "#EXTINF:4,", "#EXTINF:4.5,"),
        ("H4", "#EXT-X-GAP", "#EXT-X-MEDIA-SEQUENCE:100\n#EXT-X-GAP"),
        ("H7", "#EXTINF:4,", '#EXT-X-PART:URI="old",DURATION=0.2\n' * 80 + "#EXTINF:16,"),
        (
            "H8",
            '#EXT-X-PART:URI="p4.m4s"',
            '#EXT-X-PART:URI="x",DURATION=0.2\n#EXT-X-DISCONTINUITY\n#EXT-X-PART:URI="p4"',
        ),
        ("H8", "#EXT-X-GAP\n", ""),
        ("H8", "DURATION=0.2,GAP=YES", "DURATION=0.2"),
        ("H8", "#EXT-X-DISCONTINUITY\n", ""),
        ("H9", "#EXT-X-MAP", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MAP"),
        ("H10", "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:04.200Z\n", ""),
        ("H10", "00:00:04.690Z", "00:00:03.690Z"),
        ("H11", "CAN-BLOCK-RELOAD=YES,", ""),
        ("H11", "PART-HOLD-BACK=0.6", "PART-HOLD-BACK=0.5"),
        ("H11", ",PART-HOLD-BACK=0.6", ""),
        ("H11", "HOLD-BACK=12", "HOLD-BACK=11"),
        ("H11", "CAN-SKIP-UNTIL=24", "CAN-SKIP-UNTIL=12"),
        ("H11", "#EXT-X-PART-INF:PART-TARGET=0.2\n", ""),
        ("H12", "DURATION=0.19", "DURATION=0.21"),
        ("H12", "DURATION=0.19", "DURATION=0.16"),
        ("H12", "#EXTINF:0.49", "#EXTINF:0.6"),
        ("H13", '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p5.m4s"\n', ""),
        ("H13", "#EXT-X-PRELOAD-HINT", '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p6.m4s"\n#EXT-X-PRELOAD-HINT'),
        ("H13", 'PART,URI="p5.m4s"', 'PART,URI="p4.m4s"'),
        ("H13", "#EXT-X-PRELOAD-HINT", "#EXT-X-ENDLIST\n#EXT-X-PRELOAD-HINT"),
        ("H21", '#EXT-X-MAP:URI="i0.mp4"\n', ""),
    ],
)
def test_a_planted_fault_is_found(rule: str, old: str, new: str) -> None:
    """Each rule by one change to the good playlist."""
    assert GOOD.count(old) >= 1
    assert rule in broken_rules(GOOD.replace(old, new, 1))


def test_a_playlist_without_control_is_found() -> None:
    """The whole tag may be missing, too."""
    lines = [line for line in GOOD.splitlines() if "SERVER-CONTROL" not in line]
    assert "H11" in broken_rules("\n".join(lines))


def test_rendition_reports_are_counted() -> None:
    """One for every other playlist, none without any."""
    assert broken_rules(GOOD, others=1) == {"H17"}
    report = '#EXT-X-RENDITION-REPORT:URI="b.m3u8",LAST-MSN=103,LAST-PART=0\n'
    assert broken_rules(GOOD + report, others=1) == set()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("#EXTINF:4,\na\n", 1),
        ("#EXTINF:4.5,\na\n", 3),
        ('#EXT-X-MAP:URI="i"\n#EXTINF:4.5,\na\n', 6),
        ("#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXTINF:4.5,\na\n", 9),
    ],
)
def test_knows_the_version_that_tags_need(text: str, version: int) -> None:
    """Section 8 of the draft, as far as live video goes."""
    playlist, _ = hlsrules.read_media("#EXTM3U\n#EXT-X-TARGETDURATION:5\n" + text)
    assert playlist is not None
    assert hlsrules.required_version(playlist) == version


def fetched(body: bytes, content_type: str = "application/vnd.apple.mpegurl; charset=utf-8") -> Fetched:
    return Fetched(0.0, 200, {"content-type": content_type}, body)


@pytest.mark.parametrize(
    ("answer", "path", "is_good"),
    [
        (fetched(GOOD.encode()), "/a", True),
        (fetched(GOOD.encode(), "text/plain"), "/a.m3u8", True),
        (fetched(GOOD.encode(), "text/plain"), "/a", False),
        (fetched(b"\xef\xbb\xbf" + GOOD.encode()), "/a", False),
        (fetched(b"\xff"), "/a", False),
        (fetched(GOOD.encode() + b"#\x07\n"), "/a", False),
        (fetched(b""), "/a", False),
        (fetched(b"#EXTM3U8\n"), "/a", False),
        (fetched(GOOD.encode() + b"#EXT-X-VERSION:6\n"), "/a", False),
    ],
)
def test_checks_what_a_playlist_has_to_be(answer: Fetched, path: str, is_good: bool) -> None:
    """H1: name or type, encoding, first line, tags that may stand once."""
    failures = list(hlsrules.check_text(answer, path))
    assert {failure.rule for failure in failures} == (set() if is_good else {"H1"})


def test_reads_multivariant_playlists_or_says_why_not() -> None:
    """H20 begins with being readable."""
    assert hlsrules.read_multivariant("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n")[1] == []
    assert hlsrules.read_multivariant("x") == ((), [Failure("H20", "does not begin with #EXTM3U")])


def test_reads_media_playlists_or_says_why_not() -> None:
    """Nothing else is checked of what cannot be read."""
    read: Callable[[str], object] = hlsrules.read_media
    assert read("x") == (None, [Failure("H1", "does not begin with #EXTM3U")])
