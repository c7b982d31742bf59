"""What a number of cameras and viewers needs, from figures measured once and fitted.

A cost grows as `fixed + each x number + per_mbps x Mb/s of all together`; `python -m benchmarks.fit --write`
finds out how. The fixed part of the viewers' cost is the relay's, and stands in the cameras' cost already.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from camrelay.errors import ConfigError

#: Of a core, percent: above it, delay grows before throughput ends.
BUSY_PERCENT = 80.0

#: Bytes on the wire for a byte of media, about: RTP, SRTP, UDP, IP; for HLS fMP4, playlists, TCP, IP.
_OVERHEAD = {"webrtc": 1.06, "hls": 1.08}


class Cost(msgspec.Struct, frozen=True):
    """How one cost grows.

    Attributes:
        fixed: with none.
        each: of one camera or viewer.
        per_mbps: of a Mb/s of all of them together.
        error: of the prediction at the largest measured point, which was kept out of the fit, as a share.
        measured: the largest number that was measured.
    """

    fixed: float
    each: float
    per_mbps: float
    error: float
    measured: int

    def at(self, number: float, mbps: float) -> float:
        """The cost of so many, with so many Mb/s of all together."""
        return max(0.0, self.fixed + self.each * number + self.per_mbps * mbps)


class Costs(msgspec.Struct, frozen=True):
    """Of cameras, or of viewers by one protocol: percent of a core, and MB."""

    core_percent: Cost
    memory_mb: Cost


class Capacity(msgspec.Struct, frozen=True):
    """What was measured, and on which machine.

    Attributes:
        machine: processor and Python, in words.
        measured_on: the day, ISO 8601.
        costs: of `cameras`, `webrtc` and `hls`.
    """

    machine: str
    measured_on: str
    costs: dict[str, Costs]


class Plan(NamedTuple):
    """What is needed; `error` is the worst of the fits that it rests on, as a share.

    Attributes:
        ingest_cores: busy cores of the ingest workers, with the relay's own housekeeping.
        viewer_cores: busy cores of sending.
        cores: to buy, with no core busier than `BUSY_PERCENT`.
        relays: relay processes; each sends from one core.
        memory_mb: of all processes.
        in_mbps: from the cameras.
        out_mbps: to the viewers.
        is_beyond: more cameras or viewers for a relay than were ever measured.
    """

    ingest_cores: float
    viewer_cores: float
    cores: int
    relays: int
    memory_mb: float
    in_mbps: float
    out_mbps: float
    error: float
    is_beyond: bool


def read(data: bytes) -> Capacity:
    """The file that `benchmarks.fit` wrote.

    Raises:
        ConfigError: it is not one, or lacks the cameras' cost.
    """
    try:
        found = msgspec.json.decode(data, type=Capacity)
    except msgspec.DecodeError:
        raise ConfigError("this is not a file of `python -m benchmarks.fit --write`") from None
    if "cameras" not in found.costs:
        raise ConfigError(
            "the cost of cameras was not measured", hint="run benchmarks.cameras, then benchmarks.fit"
        )
    return found


def plan(capacity: Capacity, cameras: int, viewers: int, mbps: float, protocol: str) -> Plan:
    """What so many cameras of `mbps` each, and so many viewers in all, need.

    Raises:
        ConfigError: viewers by this protocol were not measured.
    """
    incoming, outgoing = cameras * mbps, viewers * mbps
    ingest = capacity.costs["cameras"]
    ingest_percent = ingest.core_percent.at(cameras, incoming)
    memory = ingest.memory_mb.at(cameras, incoming)
    used = [ingest.core_percent, ingest.memory_mb]
    viewer_percent, is_beyond = 0.0, cameras > ingest.core_percent.measured
    relays = 1
    if viewers:
        costs = capacity.costs.get(protocol)
        if costs is None:
            raise ConfigError(f"viewers by {protocol} were not measured")
        viewer_percent = msgspec.structs.replace(costs.core_percent, fixed=0.0).at(viewers, outgoing)
        memory += msgspec.structs.replace(costs.memory_mb, fixed=0.0).at(viewers, outgoing)
        used += [costs.core_percent, costs.memory_mb]
        relays = max(1, math.ceil(viewer_percent / BUSY_PERCENT))
        is_beyond = is_beyond or viewers / relays > costs.core_percent.measured
    return Plan(
        ingest_cores=ingest_percent / 100,
        viewer_cores=viewer_percent / 100,
        cores=max(1, math.ceil((ingest_percent + viewer_percent) / BUSY_PERCENT)),
        relays=relays,
        memory_mb=memory,
        in_mbps=incoming,
        out_mbps=outgoing * _OVERHEAD.get(protocol, 1.0),
        error=max(cost.error for cost in used),
        is_beyond=is_beyond,
    )
