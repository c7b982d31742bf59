"""Tests of camrelay.fanout.hls.playlist; reading the same texts back is tested in test_parser.py."""

from __future__ import annotations

import pytest

from camrelay.fanout.hls import playlist
from camrelay.fanout.hls.playlist import (
    MediaPlaylist,
    Part,
    PreloadHint,
    RenditionReport,
    Segment,
    ServerControl,
    Variant,
)

#: Values and their text, for both directions.
MEDIA = {
    "smallest": (
        MediaPlaylist(target_duration_s=4, segments=(Segment(uri="a.mp4", duration_s=3.5),), version=3),
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXTINF:3.5,\na.mp4\n",
    ),
    "low latency": (
        MediaPlaylist(
            version=6,
            target_duration_s=4,
            part_target_s=0.2,
            control=ServerControl(
                can_block_reload=True, hold_back_s=12.0, part_hold_back_s=0.6, can_skip_until_s=24.0
            ),
            media_sequence=1_700_000_000,
            discontinuity_sequence=7,
            segments=(
                Segment(
                    uri="s0.m4s",
                    duration_s=2.00001,
                    map_uri="i0.mp4",
                    program_date_time_us=1_700_000_000_123_000,
                    parts=(Part("p0.m4s", 0.2, is_independent=True), Part("p1.m4s", 0.16667)),
                ),
                Segment(
                    uri="s1.m4s",
                    duration_s=1.0,
                    program_date_time_us=1_700_000_002_000_000,
                    is_gap=True,
                    parts=(Part("p2.m4s", 0.2, is_gap=True),),
                ),
                Segment(
                    map_uri="i1.mp4",
                    program_date_time_us=1_700_000_003_000_000,
                    is_discontinuity=True,
                    parts=(Part("p3.m4s", 0.2, is_independent=True),),
                ),
            ),
            hints=(PreloadHint("PART", "p4.m4s"), PreloadHint("MAP", "i2.mp4")),
            reports=(RenditionReport("../b/stream.m3u8", 9, 3), RenditionReport("../c/stream.m3u8", 9)),
        ),
        """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=12,PART-HOLD-BACK=0.6,CAN-SKIP-UNTIL=24
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:1700000000
#EXT-X-DISCONTINUITY-SEQUENCE:7
#EXT-X-MAP:URI="i0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.123Z
#EXT-X-PART:URI="p0.m4s",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PART:URI="p1.m4s",DURATION=0.16667
#EXTINF:2.00001,
s0.m4s
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:22.000Z
#EXT-X-GAP
#EXT-X-PART:URI="p2.m4s",DURATION=0.2,GAP=YES
#EXTINF:1,
s1.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="i1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:23.000Z
#EXT-X-PART:URI="p3.m4s",DURATION=0.2,INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p4.m4s"
#EXT-X-PRELOAD-HINT:TYPE=MAP,URI="i2.mp4"
#EXT-X-RENDITION-REPORT:URI="../b/stream.m3u8",LAST-MSN=9,LAST-PART=3
#EXT-X-RENDITION-REPORT:URI="../c/stream.m3u8",LAST-MSN=9
""",
    ),
    "delta update": (
        MediaPlaylist(
            version=9,
            target_duration_s=2,
            media_sequence=5,
            skipped_segments=3,
            segments=(Segment(uri="s8.m4s", duration_s=2.0),),
            has_endlist=True,
        ),
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:5\n"
        "#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:2,\ns8.m4s\n#EXT-X-ENDLIST\n",
    ),
}
MULTIVARIANT = {
    "smallest": ((Variant("a.m3u8", 1000),), "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\na.m3u8\n"),
    "everything": (
        (
            Variant(
                "main/stream.m3u8",
                bandwidth_bps=2_000_000,
                average_bandwidth_bps=1_900_000,
                codecs="avc1.64001f",
                resolution=(1280, 720),
                frame_rate=29.97,
            ),
            Variant("b.m3u8", 5),
        ),
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2000000,AVERAGE-BANDWIDTH=1900000,"
        'CODECS="avc1.64001f",RESOLUTION=1280x720,FRAME-RATE=29.97\nmain/stream.m3u8\n'
        "#EXT-X-STREAM-INF:BANDWIDTH=5\nb.m3u8\n",
    ),
}


@pytest.mark.parametrize(("value", "text"), MEDIA.values(), ids=MEDIA)
def test_serializes_media_playlists(value: MediaPlaylist, text: str) -> None:
    """Each tag in the form and at the place the draft gives it."""
    assert playlist.serialize_media(value) == text


@pytest.mark.parametrize(("value", "text"), MULTIVARIANT.values(), ids=MULTIVARIANT)
def test_serializes_multivariant_playlists(value: tuple[Variant, ...], text: str) -> None:
    """One EXT-X-STREAM-INF and URI a variant; no version, as nothing needs one."""
    assert playlist.serialize_multivariant(value) == text


def test_knows_the_last_media_sequence_number() -> None:
    """Counted over skipped segments too."""
    assert MEDIA["low latency"][0].last_msn == 1_700_000_002
    assert MEDIA["delta update"][0].last_msn == 8
