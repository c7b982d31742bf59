"""Rules for what a playlist names: H12 and H20 to H23 of the conformance list. Pure.

Feed it init sections, parts and segments as they are fetched, segments in order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from camrelay.errors import MalformedMedia
from camrelay.fanout.hls.peak import Peak
from camrelay.fanout.hls.playlist import Part, Segment, Variant
from camrelay.tools import mp4
from camrelay.tools.hlsrules import ROUNDING_S, Failure

#: Brands that include all of iso6 (ISO/IEC 14496-12 annex E).
_BRANDS = {b"iso6", b"iso7", b"iso8", b"iso9", b"isoa", b"isob", b"isoc", b"cmfc", b"cmf2"}
_SPS, _PPS, _AUD = 7, 8, 9
#: BANDWIDTH may be wrong by this much [4.4.6.2].
_BANDWIDTH_SLACK = 1.1
#: Parts of segments that never came whole are forgotten after so many.
_MAX_PARTS = 1_000


class Media:
    """What was learnt of one media playlist's media."""

    def __init__(self) -> None:
        self._inits: dict[str, mp4.Init] = {}
        self._parts: dict[str, tuple[mp4.Fragment, ...]] = {}
        self._codecs: dict[str, str] = {}
        self._peak: Peak | None = None
        self._newest = 0
        #: msn, discontinuity and decode time at the end of the newest segment.
        self._end: tuple[int, int, int] | None = None

    def interrupt(self) -> None:
        """Says that the server was away: it has yet to learn the bit rate, and begins another timeline."""
        self._peak = None
        self._end = None

    def knows_init(self, uri: str) -> bool:
        """Whether this init section was added."""
        return uri in self._inits

    def add_init(self, uri: str, body: bytes) -> Iterator[Failure]:
        """Checks an init section (H21, H22)."""
        try:
            init = mp4.read_init(body)
        except MalformedMedia as error:
            yield Failure("H21", str(error))
            return
        self._inits[uri] = init
        if not _BRANDS & set(init.brands):
            yield Failure("H21", "no brand of iso6 or later")
        if any(init.durations):
            yield Failure("H21", "an init section with a duration")
        if any(init.sample_counts):
            yield Failure("H21", "an init section with samples")
        if not init.has_mvex:
            yield Failure("H21", "an init section without mvex")
        if init.sample_entry == b"hvc1":
            # Parameter sets in hvcC only, as the entry's name promises; its samples are not taken apart.
            self._codecs[uri] = "hvc1."
        elif init.sample_entry != b"avc1":
            yield Failure("H22", f"sample entry {init.sample_entry!r}")
        elif len(init.avcc) < 7 or not init.avcc[5] & 31:
            yield Failure("H22", "avcC without parameter sets")
        else:
            self._codecs[uri] = f"avc1.{init.avcc[1:4].hex()}"

    def add_part(self, part: Part, body: bytes, init_uri: str) -> Iterator[Failure]:
        """Checks a part (H12, H21 to H23)."""
        fragments, failures = self._read(body, init_uri)
        yield from failures
        if not fragments:
            return
        yield from self._check_length("a part", part.duration_s, fragments, init_uri)
        has_sync = any(sample.is_sync for fragment in fragments for sample in fragment.samples)
        if has_sync != part.is_independent:
            yield Failure("H12", f"a part with key frame: {has_sync}, INDEPENDENT: {part.is_independent}")
        self._parts[part.uri] = fragments
        if len(self._parts) > _MAX_PARTS:
            del self._parts[next(iter(self._parts))]

    def add_segment(
        self,
        msn: int,
        segment: Segment,
        discontinuity: int,
        body: bytes,
        init_uri: str,
        *,
        target_s: int,
    ) -> Iterator[Failure]:
        """Checks a complete segment against itself, its parts and the segment before it (H12, H21 to H23).

        Args:
            segment: with as many of its parts as were ever listed.
            discontinuity: its discontinuity sequence number.
            target_s: TARGETDURATION.
        """
        fragments, failures = self._read(body, init_uri)
        yield from failures
        if not fragments:
            return
        name = f"segment {msn}"
        self._peak = self._peak or Peak(target_s)
        if self._newest != msn - 1:
            self._peak.interrupt()
        self._newest = msn
        self._peak.add(segment.duration_s, len(body))
        yield from self._check_length(name, segment.duration_s, fragments, init_uri)
        samples = [sample for fragment in fragments for sample in fragment.samples]
        if any(sample.is_sync for sample in samples) and not samples[0].is_sync:
            yield Failure("H22", f"{name} has a key frame and does not begin with it")
        yield from self._check_parts(name, segment, fragments)
        clock = None
        if self._end is not None and self._end[:2] == (msn - 1, discontinuity):
            clock = self._end[2]
        for fragment in fragments:
            if fragment.decode_time is None:
                continue
            if clock is not None and fragment.decode_time != clock:
                yield Failure("H23", f"{name}: decode times jump by {fragment.decode_time - clock} ticks")
            clock = fragment.decode_time + fragment.duration
        self._end = None if clock is None else (msn, discontinuity, clock)

    def check_variants(self, variants: tuple[Variant, ...], maps: Collection[str]) -> Iterator[Failure]:
        """Checks the multivariant playlist against what was seen (H20).

        Args:
            maps: URIs of the init sections that apply to what is listed now.
        """
        if not variants:
            yield Failure("H20", "no variant")
        for variant in variants:
            codecs = {self._codecs[uri] for uri in maps if uri in self._codecs}
            missing = sorted(c for c in codecs if c.lower() not in (variant.codecs or "").lower())
            if missing:
                yield Failure("H20", f"CODECS without {', '.join(missing)}")
            if variant.resolution is None or variant.frame_rate is None:
                yield Failure("H20", "no RESOLUTION or FRAME-RATE")
            if self._peak and variant.bandwidth_bps * _BANDWIDTH_SLACK < self._peak.bps:
                yield Failure("H20", f"BANDWIDTH {variant.bandwidth_bps}, the peak was {self._peak.bps:.0f}")

    def _read(self, body: bytes, init_uri: str) -> tuple[tuple[mp4.Fragment, ...], list[Failure]]:
        init = self._inits.get(init_uri)
        if init is None:
            return (), []
        try:
            fragments = mp4.read_fragments(body, init)
        except MalformedMedia as error:
            return (), [Failure("H21", str(error))]
        failures = []
        if not fragments:
            failures.append(Failure("H21", "media without a fragment"))
        if any(fragment.decode_time is None for fragment in fragments):
            failures.append(Failure("H21", "a fragment without tfdt"))
        if not all(fragment.is_moof_based for fragment in fragments):
            failures.append(Failure("H21", "addresses that do not count from their moof"))
        for fragment in fragments:
            failures += _check_samples(fragment, init)
        return fragments, failures

    def _check_length(
        self, name: str, duration_s: float, fragments: tuple[mp4.Fragment, ...], init_uri: str
    ) -> Iterator[Failure]:
        real_s = sum(fragment.duration for fragment in fragments) / self._inits[init_uri].timescale
        if abs(real_s - duration_s) > ROUNDING_S:
            yield Failure("H23", f"{name} is listed with {duration_s} s and lasts {real_s:.5f} s")

    def _check_parts(
        self, name: str, segment: Segment, fragments: tuple[mp4.Fragment, ...]
    ) -> Iterator[Failure]:
        parts = [self._parts.pop(part.uri, None) for part in segment.parts]
        if not parts or None in parts:
            return
        of_parts = [fragment for part in parts if part for fragment in part]
        if _samples(of_parts) != _samples(fragments):
            yield Failure("H12", f"{name} and its parts have different samples")
        if _data(of_parts) != _data(fragments):
            yield Failure("H12", f"{name} and its parts have different bytes")


def _samples(fragments: list[mp4.Fragment] | tuple[mp4.Fragment, ...]) -> list[tuple[int, int, int]]:
    """(decode time, composition offset, size) of every sample."""
    found = []
    for fragment in fragments:
        clock = fragment.decode_time or 0
        for sample in fragment.samples:
            found.append((clock, sample.offset, sample.size))
            clock += sample.duration
    return found


def _data(fragments: list[mp4.Fragment] | tuple[mp4.Fragment, ...]) -> bytes:
    return b"".join(fragment.data for fragment in fragments)


def _check_samples(fragment: mp4.Fragment, init: mp4.Init) -> list[Failure]:
    """H22: AVCC, nothing in it that belongs into avcC or nowhere; H23: every sample lasts."""
    failures = []
    if any(sample.duration < 1 for sample in fragment.samples):
        failures.append(Failure("H23", "a sample without duration"))
    if init.sample_entry != b"avc1" or len(init.avcc) < 5:
        return failures
    width = (init.avcc[4] & 3) + 1
    at = 0
    for sample in fragment.samples:
        end = at + sample.size
        while at + width < end:
            size = int.from_bytes(fragment.data[at : at + width], "big")
            kind = fragment.data[at + width] & 31
            at += width + size
            if kind in (_SPS, _PPS, _AUD) or size == 0:
                failures.append(Failure("H22", f"NAL unit of type {kind} and {size} bytes in a sample"))
        if at != end:
            failures.append(Failure("H22", "NAL unit lengths do not add up to the sample"))
            return failures
    return failures
