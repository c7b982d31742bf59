"""Every Prometheus object of camrelay, and the only importer of prometheus_client.

Labels are camera, protocol, reason, outcome, class, sink and worker; never a person, an address or a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from camrelay import exposition

# When a counter began is a line for every counter of every camera, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

#: From a fast LAN (1 ms) to a hopeless one (10 s).
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, registry=REGISTRY)


def _histogram(name: str, text: str, *labels: str) -> Histogram:
    return Histogram(name, text, labels, registry=REGISTRY, buckets=_SECONDS)


class Received:
    """What has come from one camera."""

    __slots__ = ("access_units", "bytes")

    def __init__(self) -> None:
        self.access_units = 0
        self.bytes = 0


class _Received(Collector):
    """What has come from each camera, as two metrics.

    Counters have locks, and took a tenth of what the relay does for an access unit that nobody watches.
    """

    def __init__(self) -> None:
        self._by_camera: dict[str, Received] = {}

    def labels(self, camera: str) -> Received:
        """That of one camera, to be counted up."""
        return self._by_camera.setdefault(camera, Received())

    def remove_by_labels(self, labels: Mapping[str, str]) -> None:
        """Forgets a camera."""
        self._by_camera.pop(labels["camera"], None)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What /metrics says of it."""
        access_units = CounterMetricFamily(
            "camrelay_camera_access_units", "Access units received.", labels=("camera",)
        )
        size = CounterMetricFamily(
            "camrelay_camera_bytes", "Bytes of access units received.", labels=("camera",)
        )
        for camera, received in self._by_camera.items():
            access_units.add_metric((camera,), received.access_units)
            size.add_metric((camera,), received.bytes)
        yield access_units
        yield size


camera_up = _gauge("camrelay_camera_up", "1 while the camera delivers pictures.", "camera")
camera_received = _Received()
REGISTRY.register(camera_received)
camera_key_frame_age = _gauge(
    "camrelay_camera_key_frame_age_seconds", "Seconds since the last key frame.", "camera"
)
camera_reconnects = _counter(
    "camrelay_camera_reconnects_total", "Connections that ended, by cause.", "camera", "reason"
)
camera_dropped_access_units = _counter(
    "camrelay_camera_dropped_access_units_total",
    "Access units received and not passed on, by cause; of sound as one of them.",
    "camera",
    "reason",
)
camera_discontinuities = _counter(
    "camrelay_camera_discontinuities_total", "Breaks in the camera's timeline.", "camera"
)
camera_output_failures = _counter(
    "camrelay_camera_output_failures_total", "Outputs of a camera detached because they failed.", "camera"
)
viewers = _gauge("camrelay_viewers", "Viewings running now.", "camera", "protocol")
viewer_bytes = _counter("camrelay_viewer_bytes_total", "Media bytes sent to viewers.", "camera", "protocol")
viewer_lagged = _counter(
    "camrelay_viewer_lagged_total", "Times a viewer was dropped to the next key frame.", "camera", "protocol"
)
viewer_start = _histogram(
    "camrelay_viewer_start_seconds", "From the request to the first media byte.", "protocol"
)
hls_request = _histogram("camrelay_hls_request_seconds", "HLS requests that did not block.", "class")
rtp_packets = _counter("camrelay_rtp_packets_total", "RTP packets sent.", "camera")
rtp_retransmissions = _counter(
    "camrelay_rtp_retransmissions_total", "RTP packets asked for again.", "camera", "outcome"
)
webrtc_profile_fallbacks = _counter(
    "camrelay_webrtc_profile_fallbacks_total", "Viewers who did not offer the camera's own profile.", "camera"
)
webrtc_datagrams_dropped = _counter(
    "camrelay_webrtc_datagrams_dropped_total",
    "Datagrams from nobody known, or that could not go out.",
    "reason",
)
auth_decisions = _counter(
    "camrelay_auth_decisions_total", "Requests for media, allowed or denied.", "outcome", "reason"
)
sign_ins = _counter("camrelay_sign_ins_total", "Attempts to sign in, by how they ended.", "outcome")
rights_feed_up = _gauge("camrelay_rights_feed_up", "1 while other relays' changes of rights are heard of.")
rights_feed_events = _counter(
    "camrelay_rights_feed_events_total", "Changes of rights read from the database, by who made them.", "by"
)
callback_answers = _counter(
    "camrelay_callback_answers_total", "Questions to the service that decides who may watch.", "outcome"
)
jwks_fetches = _counter(
    "camrelay_jwks_fetches_total", "Key sets of tenants that were asked for.", "tenant", "outcome"
)
letters = _counter("camrelay_letters_total", "Attempts to send a letter, by how they ended.", "outcome")
media_sessions = _gauge("camrelay_media_sessions", "Media sessions that are alive.")
revocation = _histogram("camrelay_revocation_seconds", "From a revocation to the last viewing cut.")
audit_records = _counter("camrelay_audit_records_total", "Access records made durable.", "class")
audit_lost = _counter("camrelay_audit_lost_total", "Access records that could not be written.", "class")
audit_sink_lines = _counter("camrelay_audit_sink_lines_total", "Lines that a sink has taken.", "sink")
audit_sink_failures = _counter(
    "camrelay_audit_sink_failures_total", "Times that a sink took nothing.", "sink"
)
audit_sink_behind = _gauge("camrelay_audit_sink_behind_bytes", "What a sink has not taken yet.", "sink")
audit_commit = _histogram("camrelay_audit_commit_seconds", "From a record to its durability.")
event_loop_lag = Histogram(
    "camrelay_event_loop_lag_seconds",
    "How late the event loop runs its timers.",
    registry=REGISTRY,
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.2, 0.5, 1.0),
)
worker_restarts = _counter("camrelay_worker_restarts_total", "Ingest workers replaced.", "worker")


def render() -> Iterator[bytes]:
    """The exposition text that /metrics answers with, one metric after the other."""
    return map(exposition.text, REGISTRY.collect())
