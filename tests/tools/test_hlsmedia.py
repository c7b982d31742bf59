"""Tests of camrelay.tools.hlsmedia: media without fault, and one planted fault for each rule."""

from __future__ import annotations

import msgspec
import pytest

from builders import H265_PARAMS, PARAMS
from camrelay.fanout.hls import fmp4
from camrelay.fanout.hls.playlist import Part, Segment, Variant
from camrelay.tools import hlsmedia
from camrelay.tools.hlsmedia import Media

INIT = fmp4.init_section(PARAMS)
MAP = "i.mp4"
KEY = b"\0\0\0\3\x65\x88\x80"
OTHER = b"\0\0\0\3\x41\x9a\x80"
VARIANT = Variant("u", 1_000_000, codecs="avc1.64001e", resolution=(640, 360), frame_rate=25.0)


def fragment(number: int, clock: int, pictures: list[fmp4.Sample]) -> bytes:
    return b"".join(fmp4.fragment(number, clock, pictures))


def samples(*data: bytes, duration: int = 3600) -> list[fmp4.Sample]:
    return [fmp4.Sample(d, duration, 0, d[4] & 31 == 5) for d in data]


def test_h265_is_told_by_its_entry() -> None:
    """H22 allows hvc1 as well; H20 wants it listed."""
    media = Media()
    assert not list(media.add_init(MAP, fmp4.init_section(H265_PARAMS)))
    good = msgspec.structs.replace(VARIANT, codecs=H265_PARAMS.rfc6381)
    assert not list(media.check_variants((good,), [MAP]))
    assert {failure.rule for failure in media.check_variants((VARIANT,), [MAP])} == {"H20"}


class Stream:
    """A checked stream: segments of two parts of two samples, the first a key frame."""

    def __init__(self) -> None:
        self.media = Media()
        self.rules: list[str] = []
        self.note(self.media.add_init(MAP, INIT))
        self.msn = 0
        self.clock = 0
        self.target_s = 1

    def note(self, failures: object) -> set[str]:
        rules = [failure.rule for failure in failures]  # type: ignore[attr-defined]
        self.rules += rules
        return set(rules)

    def add(
        self,
        first: bytes | None = None,
        second: bytes | None = None,
        *,
        whole: bytes | None = None,
        duration_s: float = 0.16,
        independent: tuple[bool, bool] = (True, False),
        discontinuity: int = 0,
    ) -> set[str]:
        """Adds a segment, with what is given instead of what is right."""
        right = [
            fragment(1, self.clock, samples(KEY, OTHER)),
            fragment(2, self.clock + 7200, samples(OTHER, OTHER)),
        ]
        bodies = [first if first is not None else right[0], second if second is not None else right[1]]
        parts = [Part(f"p{self.msn}.{i}", 0.08, independent[i]) for i in range(2)]
        rules = set()
        for listed, body in zip(parts, bodies, strict=True):
            rules |= self.note(self.media.add_part(listed, body, MAP))
        segment = Segment(f"s{self.msn}", duration_s, tuple(parts))
        body = b"".join(bodies) if whole is None else whole
        rules |= self.note(
            self.media.add_segment(self.msn, segment, discontinuity, body, MAP, target_s=self.target_s)
        )
        self.msn += 1
        self.clock += 14_400
        return rules


def test_a_good_stream_breaks_nothing() -> None:
    """Init section, parts, segments, times and variants fit together."""
    stream = Stream()
    for _ in range(3):
        stream.add()
    stream.note(stream.media.check_variants((VARIANT,), [MAP]))
    assert stream.rules == []
    assert stream.media.knows_init(MAP)


@pytest.mark.parametrize(
    ("rule", "init"),
    [
        ("H21", INIT[:50]),
        ("H21", INIT.replace(b"iso6", b"isom")),
        ("H21", INIT.replace(b"mvex", b"skip")),
        ("H21", INIT.replace(b"stts\0\0\0\0\0\0\0\0", b"stts\0\0\0\0\0\0\0\1")),
        ("H21", INIT.replace(b"\0\1\x5f\x90\0\0\0\0\0\1", b"\0\1\x5f\x90\0\0\0\1\0\1", 1)),
        ("H22", INIT.replace(b"avc1", b"avc3")),
        ("H22", INIT.replace(b"avcC", b"skip")),
    ],
)
def test_init_sections(rule: str, init: bytes) -> None:
    """H21: an empty movie of a known brand, made to be extended; H22: avc1 with its parameter sets."""
    assert init != INIT
    stream = Stream()
    assert stream.note(stream.media.add_init("other", init)) == {rule}


FRAGMENT = fragment(1, 0, samples(KEY, OTHER))


@pytest.mark.parametrize(
    ("rule", "first"),
    [
        ("H21", FRAGMENT[:-1]),
        ("H21", b""),
        ("H21", FRAGMENT.replace(b"tfdt", b"skip")),
        ("H21", FRAGMENT.replace(b"tfhd\0\2\0\0", b"tfhd\0\0\0\0")),
        ("H12", fragment(1, 0, samples(OTHER, OTHER))),
        ("H22", fragment(1, 0, samples(KEY, b"\0\0\0\3\x67\1\2"))),
        ("H22", fragment(1, 0, samples(KEY, b"\0\0\0\2\x09\x10"))),
        ("H22", fragment(1, 0, samples(KEY, b"\0\0\0\0\0\0"))),
        ("H22", fragment(1, 0, samples(KEY, b"\0\0\0\x63\x41\x9a"))),
        ("H22", fragment(1, 0, samples(OTHER, KEY))),
        ("H23", fragment(1, 0, samples(KEY, duration=3600))),
        ("H23", fragment(1, 0, [*samples(KEY, duration=7200), *samples(OTHER, duration=0)])),
        ("H23", fragment(1, 5, samples(KEY, OTHER))),
    ],
)
def test_media(rule: str, first: bytes) -> None:
    """One fault in a stream's first part."""
    assert rule in Stream().add(first)


def test_a_part_that_claims_a_key_frame() -> None:
    """H12: INDEPENDENT says more than there is."""
    assert "H12" in Stream().add(independent=(True, True))


def test_a_segment_that_is_not_its_parts() -> None:
    """H12: other samples, or the same sizes with other bytes."""
    second = fragment(2, 7200, samples(OTHER, OTHER))
    assert "H12" in Stream().add(whole=FRAGMENT + fragment(2, 7200, samples(OTHER, OTHER + OTHER)))
    assert "H12" in Stream().add(whole=FRAGMENT + second.replace(b"\x41\x9a", b"\x41\x9b"))


def test_a_segment_that_lasts_longer_than_listed() -> None:
    """H23: EXTINF and the samples agree."""
    assert "H23" in Stream().add(duration_s=0.2)


def test_times_go_on_unless_a_discontinuity_says_otherwise() -> None:
    """H23: the next segment begins where the last one ended, within one timeline of one server."""
    stream = Stream()
    stream.add()
    stream.clock += 1
    assert stream.add() == {"H23"}
    stream.clock += 90_000
    assert stream.add(discontinuity=1) == set()
    stream.clock += 90_000
    stream.media.interrupt()
    assert stream.add(discontinuity=1) == set()


def test_what_has_no_init_section_is_not_read() -> None:
    """It was reported when the init section failed."""
    media = Media()
    assert list(media.add_part(Part("p", 1.0), b"x", "none")) == []
    assert list(media.add_segment(0, Segment("s", 1.0), 0, b"x", "none", target_s=1)) == []


def test_segments_whose_parts_were_not_seen_are_checked_alone() -> None:
    """A check that begins in the middle of a stream."""
    stream = Stream()
    segment = Segment("s", 0.08, (Part("never seen", 0.08),))
    assert stream.note(stream.media.add_segment(0, segment, 0, FRAGMENT, MAP, target_s=1)) == set()


def test_parts_of_segments_that_never_came_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check may run for days."""
    monkeypatch.setattr(hlsmedia, "_MAX_PARTS", 2)
    stream = Stream()
    for i in range(5):
        stream.note(stream.media.add_part(Part(f"p{i}", 0.08, True), FRAGMENT, MAP))
    assert len(stream.media._parts) == 2


def test_another_codec_is_not_looked_into() -> None:
    """H22 was reported with its init section; its samples may be anything."""
    media = Media()
    list(media.add_init(MAP, INIT.replace(b"avc1", b"hvc1")))
    assert list(media.add_part(Part("p", 0.08, True), FRAGMENT, MAP)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"codecs": "avc1.42e01e"},
        {"codecs": None},
        {"resolution": None},
        {"frame_rate": None},
        {"bandwidth_bps": 100},
    ],
)
def test_variants(change: dict[str, object]) -> None:
    """H20: every codec listed, size and rate, and a bandwidth that covers the segments."""
    stream = Stream()
    for _ in range(4):
        stream.add()
    variant = msgspec.structs.replace(VARIANT, **change)
    assert stream.note(stream.media.check_variants((variant,), [MAP])) == {"H20"}


def test_segments_that_do_not_follow_each_other_have_no_bit_rate_together() -> None:
    """H20: what is measured lasts half a TARGETDURATION, without a hole."""
    stream = Stream()
    for _ in range(4):
        stream.add()
        stream.msn += 1
    variant = msgspec.structs.replace(VARIANT, bandwidth_bps=100)
    assert stream.note(stream.media.check_variants((variant,), [MAP])) == set()


def test_there_is_a_variant() -> None:
    """H20: an empty multivariant playlist plays nothing."""
    assert [failure.rule for failure in Media().check_variants((), [])] == ["H20"]
