"""Reads fragmented MP4 (ISO/IEC 14496-12) as far as a conformance check of HLS segments needs it. Pure.

Written against the standard, not against our writer: it follows defaults, optional fields and unknown boxes,
so that it can judge any server's segments. Numbers in brackets are sections of the standard.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from camrelay.errors import MalformedMedia

_IS_NON_SYNC = 0x00010000
#: Boxes hold boxes, but none that matter here deeper than this.
_MAX_DEPTH = 8
_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"mvex", b"moof", b"traf"}


class Box(NamedTuple):
    """A box: its type, where it starts in its file, what it contains, and the types of those around it."""

    kind: bytes
    start: int
    content: bytes
    path: tuple[bytes, ...]


class Sample(NamedTuple):
    """One sample of a fragment: duration and composition offset in ticks, size in bytes."""

    duration: int
    size: int
    is_sync: bool
    offset: int


class Fragment(NamedTuple):
    """One moof: decode time of its first sample (None without tfdt), base flag, samples, their data."""

    sequence_number: int
    decode_time: int | None
    is_moof_based: bool
    samples: tuple[Sample, ...]
    data: bytes

    @property
    def duration(self) -> int:
        """Of all samples, in ticks."""
        return sum(sample.duration for sample in self.samples)


class Init(NamedTuple):
    """An init section: brands, timescale, sample entry, avcC, and the trex defaults of its (only) track."""

    brands: tuple[bytes, ...]
    timescale: int
    sample_entry: bytes
    avcc: bytes
    durations: tuple[int, ...]
    sample_counts: tuple[int, ...]
    has_mvex: bool
    defaults: tuple[int, int, int]
    track_id: int = 1


def boxes(data: bytes, *, path: tuple[bytes, ...] = (), offset: int = 0) -> Iterator[Box]:
    """Every box, containers before what they contain [4.2].

    Raises:
        MalformedMedia: a box ends beyond what holds it, or they nest without end.
    """
    if len(path) > _MAX_DEPTH:
        raise MalformedMedia("boxes nest too deep")
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise MalformedMedia("bytes after the last box")
        size, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1 and len(data) - at >= 16:
            size, header = struct.unpack_from(">Q", data, at + 8)[0], 16
        elif size == 0:
            size = len(data) - at
        if size < header or at + size > len(data):
            raise MalformedMedia("a box ends beyond what holds it")
        content = data[at + header : at + size]
        yield Box(kind, offset + at, content, path)
        if kind in _CONTAINERS:
            yield from boxes(content, path=(*path, kind), offset=offset + at + header)
        at += size


def read_init(data: bytes) -> Init:
    """Reads an init section.

    Raises:
        MalformedMedia: boxes are broken or the needed ones are missing.
    """
    try:
        # Of several tracks the first counts: the pictures'.
        found = {box.kind: box for box in reversed([*boxes(data)])}
        brands = found[b"ftyp"].content
        mdhd, mvhd, tkhd = (found[kind].content for kind in (b"mdhd", b"mvhd", b"tkhd"))
        entry = next(boxes(found[b"stsd"].content[8:]))
        avcc = {box.kind: box.content for box in boxes(entry.content[78:])}.get(b"avcC", b"")
        trex = found[b"trex"].content if b"trex" in found else bytes(24)
        return Init(
            brands=(brands[:4], *(brands[i : i + 4] for i in range(8, len(brands), 4))),
            timescale=_timed(mdhd)[0],
            sample_entry=entry.kind,
            avcc=avcc,
            durations=(_timed(mvhd)[1], _track_duration(tkhd), _timed(mdhd)[1]),
            sample_counts=(
                *(_u32(found[kind].content, 4) for kind in (b"stts", b"stsc", b"stco") if kind in found),
                *(_u32(found[kind].content, 8) for kind in (b"stsz",) if kind in found),
            ),
            has_mvex=b"mvex" in found,
            defaults=(_u32(trex, 12), _u32(trex, 16), _u32(trex, 20)),
            track_id=_u32(tkhd, 20 if tkhd[0] == 1 else 12),
        )
    except (KeyError, StopIteration, struct.error) as error:
        raise MalformedMedia("an init section without its boxes") from error


def read_fragments(data: bytes, init: Init) -> tuple[Fragment, ...]:
    """Reads the fragments of a segment or part, as far as they are of the track of `init`.

    Raises:
        MalformedMedia: boxes are broken, or a fragment lacks one it needs.
    """
    fragments = []
    traf: dict[bytes, bytes] = {}
    track = traf
    sequence_number = moof_start = 0
    samples: list[Sample] = []
    data_offset = 0
    try:
        for box in boxes(data):
            if box.kind == b"moof":
                traf, samples, moof_start = {}, [], box.start
            elif box.kind == b"mfhd":
                sequence_number = _u32(box.content, 4)
            elif box.kind == b"traf":
                track = {}
            elif box.kind == b"trun" and track is not traf:
                continue
            elif box.kind == b"trun":
                if not samples:
                    data_offset = _i32(box.content, 8)
                samples += _run(box.content, _defaults(traf[b"tfhd"], init))
            elif box.path[-1:] == (b"traf",):
                track[box.kind] = box.content
                if box.kind == b"tfhd" and _u32(box.content, 4) == init.track_id:
                    traf = track
            elif box.kind == b"mdat":
                start = moof_start + data_offset
                size = sum(sample.size for sample in samples)
                if start < box.start or start + size > box.start + 16 + len(box.content):
                    raise MalformedMedia("a run points outside its mdat")
                fragments.append(
                    Fragment(
                        sequence_number,
                        _decode_time(traf.get(b"tfdt")),
                        bool(_u32(traf[b"tfhd"], 0) & 0x020000),
                        tuple(samples),
                        data[start : start + size],
                    )
                )
    except (KeyError, struct.error) as error:
        raise MalformedMedia("a fragment without its boxes") from error
    return tuple(fragments)


def _timed(box: bytes) -> tuple[int, int]:
    """(timescale, duration) of an mvhd or mdhd [8.2.2, 8.4.2]."""
    return struct.unpack_from(">IQ", box, 20) if box[0] == 1 else struct.unpack_from(">II", box, 12)


def _track_duration(box: bytes) -> int:
    return int(struct.unpack_from(">Q", box, 28)[0]) if box[0] == 1 else _u32(box, 20)


def _decode_time(tfdt: bytes | None) -> int | None:
    if tfdt is None:
        return None
    return int(struct.unpack_from(">Q", tfdt, 4)[0]) if tfdt[0] == 1 else _u32(tfdt, 4)


def _defaults(tfhd: bytes, init: Init) -> tuple[int, int, int]:
    """Duration, size and flags a run takes where it has none: tfhd's [8.8.7], else trex's."""
    flags = _u32(tfhd, 0)
    at = 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
    values = list(init.defaults)
    for i, bit in enumerate((0x8, 0x10, 0x20)):
        if flags & bit:
            values[i] = _u32(tfhd, at)
            at += 4
    return values[0], values[1], values[2]


def _run(trun: bytes, defaults: tuple[int, int, int]) -> list[Sample]:
    """The samples of a trun [8.8.8]."""
    flags, count = _u32(trun, 0), _u32(trun, 4)
    at = 8 + (4 if flags & 1 else 0)
    first_flags = None
    if flags & 4:
        first_flags = _u32(trun, at)
        at += 4
    samples = []
    for i in range(count):
        values = list(defaults)
        for j, bit in enumerate((0x100, 0x200, 0x400)):
            if flags & bit:
                values[j] = _u32(trun, at)
                at += 4
        offset = 0
        if flags & 0x800:
            offset = _i32(trun, at) if trun[0] == 1 else _u32(trun, at)
            at += 4
        sample_flags = first_flags if i == 0 and first_flags is not None else values[2]
        samples.append(Sample(values[0], values[1], not sample_flags & _IS_NON_SYNC, offset))
    return samples


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from(">I", data, at)[0])


def _i32(data: bytes, at: int) -> int:
    return int(struct.unpack_from(">i", data, at)[0])
