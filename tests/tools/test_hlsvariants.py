"""Tests of camrelay.tools.hlsvariants: playlists that go together, and each fault alone."""

from __future__ import annotations

import msgspec
import pytest

from camrelay.fanout.hls.playlist import MediaPlaylist, Part, RenditionReport, Segment, ServerControl
from camrelay.tools.hlsrules import Failure
from camrelay.tools.hlsvariants import REPORT_S, Variants

MAIN, SUB = "http://h/m/x/door/main/stream.m3u8", "http://h/m/x/door/sub/stream.m3u8"


def playlist(msn: int, *, report: RenditionReport | None = None, **fields: object) -> MediaPlaylist:
    """One open segment of two parts."""
    part = Part("p", 0.2)
    made = MediaPlaylist(
        target_duration_s=4,
        segments=(Segment(parts=(part, part)),),
        media_sequence=msn,
        control=ServerControl(can_block_reload=True),
        reports=() if report is None else (report,),
    )
    return msgspec.structs.replace(made, **fields)


def report(msn: int, part: int | None = 1) -> RenditionReport:
    return RenditionReport("../sub/stream.m3u8", msn, part)


def failures(*versions: tuple[str, MediaPlaylist, float]) -> list[Failure]:
    variants = Variants()
    return [failure for version in versions for failure in variants.add(*version)]


def test_playlists_that_agree_break_nothing() -> None:
    """Reports of the newest part, of one that is just gone, and of a playlist that was never read."""
    assert not failures((MAIN, playlist(5, report=report(7)), 0.0))
    assert not failures((SUB, playlist(7), 0.0), (MAIN, playlist(5, report=report(7)), 10.0))
    assert not failures((SUB, playlist(8), 0.0), (MAIN, playlist(5, report=report(7)), REPORT_S / 2))
    assert not failures((MAIN, playlist(0, segments=()), 0.0))


@pytest.mark.parametrize("old", [report(6), report(7, 0), report(7, None)])
def test_a_report_is_not_older_than_its_playlist(old: RenditionReport) -> None:
    """H17: what was there seconds ago must be reported, with its part."""
    found = failures((SUB, playlist(7), 0.0), (MAIN, playlist(5, report=old), REPORT_S + 1))
    assert {failure.rule for failure in found} == {"H17"}


@pytest.mark.parametrize(
    "difference",
    [{"target_duration_s": 5}, {"control": None}, {"control": ServerControl(can_skip_until_s=24.0)}],
)
def test_variants_share_their_rules(difference: dict[str, object]) -> None:
    """H20: TARGETDURATION, blocking reload and delta updates."""
    found = failures((SUB, playlist(7, **difference), 0.0), (MAIN, playlist(5), 1.0))
    assert {failure.rule for failure in found} == {"H20"}


def test_discontinuities_are_numbered_alike() -> None:
    """H20: a break of one may be behind in the other for a GOP, and no longer."""
    broken = playlist(8, discontinuity_sequence=1)
    follows = playlist(6, segments=(Segment(is_discontinuity=True),))
    assert not failures(
        (MAIN, playlist(5), 0.0), (SUB, broken, 1.0), (SUB, broken, 3.0), (MAIN, follows, 9.0)
    )

    late = failures((MAIN, playlist(5), 0.0), (SUB, broken, 1.0), (SUB, broken, 20.0))
    assert [failure.rule for failure in late] == ["H20"]


def test_a_server_that_was_away_has_other_playlists() -> None:
    """What the old ones said is no measure for the new ones, which have URLs of their own."""
    variants = Variants()
    assert not list(variants.add(MAIN, playlist(5, discontinuity_sequence=1), 0.0))

    variants.interrupt()

    again = MAIN.replace("/x/", "/y/")
    assert not list(variants.add(again, playlist(9, discontinuity_sequence=2), 20.0))
    assert not list(variants.add(again, playlist(10, discontinuity_sequence=2), 40.0))
