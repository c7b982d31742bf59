"""Tests of camrelay.fanout.hls.parser."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay.errors import BadPlaylist
from camrelay.fanout.hls import parser, playlist
from camrelay.fanout.hls.playlist import MediaPlaylist, Segment, Variant
from fanout.hls.test_playlist import MEDIA, MULTIVARIANT

HEAD = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n"


@pytest.mark.parametrize(("value", "text"), MEDIA.values(), ids=MEDIA)
def test_reads_what_was_written(value: MediaPlaylist, text: str) -> None:
    """Same cases, other direction."""
    assert parser.parse_media(text) == value


@pytest.mark.parametrize(("value", "text"), MULTIVARIANT.values(), ids=MULTIVARIANT)
def test_reads_multivariant_playlists(value: tuple[Variant, ...], text: str) -> None:
    """Same cases, other direction."""
    assert parser.parse_multivariant(text) == value


def test_skips_what_it_does_not_know() -> None:
    """Comments, empty lines, unknown tags, titles, CRLF, other time zones (§4.1, §6.3.1)."""
    text = (
        "#EXTM3U\r\n#EXT-X-TARGETDURATION:4\r\n# a comment\r\n\r\n#EXT-X-NEW:A=1\r\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\r\n"
        "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T02:00:01+02:00\r\n#EXTINF:4,a title\r\na\r\n"
        "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:02\r\n#EXTINF:4\r\nb\r\n"
    )

    segments = parser.parse_media(text).segments

    assert segments == (
        Segment("a", 4.0, program_date_time_us=1_000_000),
        Segment("b", 4.0, program_date_time_us=2_000_000),
    )


def test_reads_a_multivariant_playlist_with_unknown_attributes() -> None:
    """A resolution that is none is left out, URIs without EXT-X-STREAM-INF are not variants."""
    text = '#EXTM3U\nstray\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=big,X-A="b,c"\na\n'

    assert parser.parse_multivariant(text) == (Variant("a", 1),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#EXTM3U8\n",
        "\ufeff" + HEAD,
        "#EXTM3U\n#EXTINF:4,\na\n",
        HEAD + "a.mp4\n",
        HEAD + "#EXTINF:4,\n",
        HEAD + "#EXTINF:four,\na\n",
        HEAD + "#EXTINF:-1,\na\n",
        HEAD + "#EXTINF:inf,\na\n",
        HEAD + "#EXTINF:nan,\na\n",
        HEAD + "#EXT-X-MEDIA-SEQUENCE:-1\n",
        HEAD + "#EXT-X-MEDIA-SEQUENCE:99999999999999999999\n",
        HEAD + "#EXT-X-VERSION:six\n",
        HEAD + "#EXT-X-PART-INF:\n",
        HEAD + "#EXT-X-PART-INF:PART-TARGET\n",
        HEAD + '#EXT-X-PART:URI="a"\n',
        HEAD + '#EXT-X-PART:URI="a",URI="b",DURATION=1\n',
        HEAD + '#EXT-X-PART:URI="a" ,DURATION=1\n',
        HEAD + '#EXT-X-PRELOAD-HINT:TYPE=BOTH,URI="a"\n',
        HEAD + "#EXT-X-SKIP:SKIPPED-SEGMENTS=some\n",
        HEAD + "#EXT-X-SKIP:\n",
        HEAD + "#EXT-X-MAP:\n",
        HEAD + "#EXT-X-PROGRAM-DATE-TIME:yesterday\n",
        HEAD + "#EXT-X-RENDITION-REPORT:LAST-MSN=1\n",
        HEAD + "#" * parser.MAX_PLAYLIST_CHARS,
    ],
)
def test_refuses_broken_playlists(text: str) -> None:
    """Nothing is guessed: a known tag that cannot be read is an error, and so is no end."""
    with pytest.raises(BadPlaylist):
        parser.parse_media(text)


def test_refuses_a_variant_without_bandwidth() -> None:
    """BANDWIDTH is required (§4.4.6.2)."""
    with pytest.raises(BadPlaylist):
        parser.parse_multivariant('#EXTM3U\n#EXT-X-STREAM-INF:CODECS="x"\na\n')


LINES = [line for _, text in MEDIA.values() for line in text.splitlines()]


@given(st.lists(st.sampled_from([*LINES, "", "x"])))
def test_whatever_can_be_read_can_be_written(lines: list[str]) -> None:
    """Any order of lines is refused or survives being written and read again."""
    try:
        value = parser.parse_media("\n".join(["#EXTM3U", *lines]))
    except BadPlaylist:
        return
    assert parser.parse_media(playlist.serialize_media(value)) == value


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else comes out of foreign bytes."""
    with contextlib.suppress(BadPlaylist):
        parser.parse_media("#EXTM3U\n" + text)
