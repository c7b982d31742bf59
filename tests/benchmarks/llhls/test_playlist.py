"""What a player reads and asks for next."""

from __future__ import annotations

import pytest

from benchmarks.llhls.playlist import BadPlaylist, Piece, first_variant, parse, start

MEDIA = """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI="init.mp4"
#EXTINF:2.0,
seg7.m4s
#EXT-X-GAP
#EXTINF:2.0,
seg8.m4s
#EXT-X-PART:DURATION=0.2,URI="p9,0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.2,URI="p9,1.m4s"
#EXTINF:0.4,
seg9.m4s
#EXT-X-PART:DURATION=0.2,URI="p10.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.16,URI="p10.1.m4s",GAP=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p10.2.m4s"
"""


def test_parts_and_segments_have_their_numbers() -> None:
    """Numbered as blocked reloads count, commas inside quotes left alone."""
    playlist = parse(MEDIA)
    assert [(s.msn, s.uri, s.is_gap) for s in playlist.segments] == [
        (7, "seg7.m4s", False),
        (8, "seg8.m4s", True),
        (9, "seg9.m4s", False),
    ]
    assert [(p.msn, p.part, p.uri) for p in playlist.pieces] == [
        (9, 0, "p9,0.m4s"),
        (9, 1, "p9,1.m4s"),
        (10, 0, "p10.0.m4s"),
        (10, 1, "p10.1.m4s"),
    ]
    assert [p.is_gap for p in playlist.pieces] == [False, False, False, True]
    assert (playlist.part_target_s, playlist.part_hold_back_s, playlist.can_block) == (0.2, 0.6, True)


def test_the_next_part_is_the_first_not_listed() -> None:
    """Inside the open segment, or part 0 of the next when none of it is listed."""
    assert parse(MEDIA).next_part == (10, 2)
    closed = "\n".join(line for line in MEDIA.splitlines() if "p10" not in line)
    assert parse(closed).next_part == (10, 0)


def test_what_is_new_after_a_reload() -> None:
    """The parts behind the last one fetched."""
    playlist = parse(MEDIA)
    assert [p.uri for p in playlist.after((9, 1))] == ["p10.0.m4s", "p10.1.m4s"]
    assert playlist.after((10, 1)) == ()
    assert len(playlist.after((-1, -1))) == 4


def pieces(*kinds: bool) -> tuple[Piece, ...]:
    return tuple(Piece(1, i, f"{i}", 0.2, kind, False) for i, kind in enumerate(kinds))


def test_playback_starts_at_an_independent_piece_far_enough_back() -> None:
    """The nearest that leaves the hold-back; else the first; else the beginning."""
    assert start(pieces(True, False, True, False, False, True), 0.6) == 2
    assert start(pieces(False, True, False), 5.0) == 1
    assert start(pieces(False, False), 0.6) == 0


def test_a_multivariant_playlist_names_its_variant() -> None:
    """A media playlist names none."""
    assert first_variant("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv/stream.m3u8\n") == "v/stream.m3u8"
    assert first_variant(MEDIA) == ""


@pytest.mark.parametrize("text", ["", "<html>", "#EXTM3U\n#EXT-X-VERSION:6\n"])
def test_what_is_no_playlist(text: str) -> None:
    """Refused."""
    with pytest.raises(BadPlaylist):
        parse(text)
