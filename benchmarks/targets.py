"""What camrelay wants to reach, and which figure says whether it does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.result import Figure


class Target(NamedTuple):
    """A figure and its bounds; infinite where there is none."""

    number: str
    what: str
    figure: str
    at_least: float = -math.inf
    at_most: float = math.inf

    def verdict(self, figures: Mapping[str, Figure]) -> str:
        """ "reached", "not reached", or why that is not known."""
        figure = figures.get(self.figure)
        if figure is None:
            return "not measured yet"
        if figure.value is None:
            return f"not measured: {figure.reason}"
        return "reached" if self.at_least <= figure.value <= self.at_most else "not reached"


TARGETS = (
    Target("P1", "WebRTC viewers of 2 Mb/s on one core", "p1_viewers", 2000),
    Target("P1", "the same without GRO at the viewers", "p1_viewers_gro_off", 2000),
    Target("P1", "against MediaMTX", "p1_vs_mediamtx", 4),
    Target("P1", "against aiortc's own path", "p1_vs_aiortc", 10),
    Target("P2", "LL-HLS viewers of 2 Mb/s on one core", "p2_viewers", 1500),
    Target("P2", "p99 part delay at that size", "p2_part_delay_p99_ms", at_most=200),
    Target("P2", "against MediaMTX", "p2_vs_mediamtx", 1.2),
    Target("P3", "GETs of 50 kB against MediaMTX", "p3_50kb_vs_mediamtx", 1.2),
    Target("P3", "GETs of 500 kB against MediaMTX", "p3_500kb_vs_mediamtx", 1.2),
    Target("P3", "GETs of 50 kB against nginx", "p3_50kb_vs_nginx", 0.6),
    Target("P3", "GETs of 500 kB against nginx", "p3_500kb_vs_nginx", 0.6),
    Target("P4", "cameras on one core, nobody watching", "p4_cameras", 250),
    Target("P4", "against MediaMTX", "p4_vs_mediamtx", 1),
    Target("B", "viewers lost to camera faults", "faults_viewers_lost", at_most=0),
    Target("B", "WHEP after the first key frame", "faults_worst_resume_whep_s", at_most=1.0),
    Target("B", "LL-HLS after it (hold-back and 1 s)", "faults_worst_resume_llhls_s", at_most=1.6),
    Target("B", "worst part of cameras beside a fault", "faults_bystander_delay_s", at_most=0.2),
    Target("B", "less what the machine was late", "faults_bystander_relay_delay_s", at_most=0.2),
    Target("B", "in acts that it left alone", "faults_bystander_undisturbed_s", at_most=0.2),
    Target("B", "64 cameras back at once", "mass_return_s", at_most=10),
    Target("B", "loop lag p99 meanwhile", "mass_return_lag_ms", at_most=50),
    Target("B", "threads left by 4,000 dropped connections", "cycles_threads_left", at_most=0),
    Target("B", "descriptors left by them", "cycles_descriptors_left", at_most=0),
    Target("B", "processes left by them", "cycles_processes_left", at_most=0),
    Target("B", "memory grown in 1,000 of them", "cycles_mb_per_1000", at_most=1),
    Target("P5", "start of a picture in Chromium, p50", "p5_chromium_start_p50_ms", at_most=120),
    Target("P5", "start of a picture in Chromium, p99", "p5_chromium_start_p99_ms", at_most=300),
    Target("P5", "while the machine left it alone, p50", "p5_chromium_start_undisturbed_p50_ms", at_most=120),
    Target("P5", "while the machine left it alone, p99", "p5_chromium_start_undisturbed_p99_ms", at_most=300),
    Target("P5", "coming from the page of all cameras, p50", "p5_chromium_from_grid_p50_ms", at_most=120),
    Target("P5", "coming from the page of all cameras, p99", "p5_chromium_from_grid_p99_ms", at_most=300),
    Target("P5", "behind live in Chromium, p50", "p5_chromium_behind_p50_ms", at_most=100),
    Target("P6", "delay added at 500 viewers, p50", "p6_delay_p50_ms_500", at_most=2),
    Target("P6", "delay added at 500 viewers, p99", "p6_delay_p99_ms_500", at_most=10),
    Target("P6", "delay added at 2,000 viewers, p99", "p6_delay_p99_ms_2000", at_most=40),
    Target("P7", "LL-HLS behind live, p50 (hold-back and a part)", "p7_hls_behind_p50_ms", at_most=800),
    Target("D", "HLS rules broken by any version of a playlist", "hls_rule_failures", at_most=0),
    Target("D", "1,000 blocked reloads, first to last answer, p50", "hls_release_p50_ms", at_most=50),
    Target("D", "what slow readers add to others' p99", "hls_slow_readers_added_p99_ms", at_most=10),
    Target("D", "stalls of hls.js, directly", "hlsjs_direct_stalls", at_most=0),
    Target("D", "stalls of hls.js, through nginx", "hlsjs_nginx_stalls", at_most=0),
    Target("D", "while the page ran on time, directly", "hlsjs_direct_stalls_undisturbed", at_most=0),
    Target("D", "while the page ran on time, nginx", "hlsjs_nginx_stalls_undisturbed", at_most=0),
    Target("D", "hls.js behind live, p50, directly", "hlsjs_direct_behind_p50_ms", at_most=800),
    Target("D", "hls.js behind live, p50, through nginx", "hlsjs_nginx_behind_p50_ms", at_most=800),
    Target("D", "hls.js behind live, p99, directly", "hlsjs_direct_behind_p99_ms", at_most=800),
    Target("D", "hls.js behind live, p99, through nginx", "hlsjs_nginx_behind_p99_ms", at_most=800),
    Target("D", "timestamps that ffmpeg warns of, directly", "ffmpeg_direct_timestamp_warnings", at_most=0),
    Target(
        "D", "timestamps that ffmpeg warns of, through nginx", "ffmpeg_nginx_timestamp_warnings", at_most=0
    ),
    Target("D", "versions that were checked", "hls_playlist_versions", 10_000),
    Target("P8", "revocation to last media byte, p99", "p8_revocation_p99_s", at_most=1.0),
    Target("E", "authorization of an HLS request, p99", "auth_hls_p99_us", at_most=20),
    Target("P9", "memory per WebRTC viewer", "p9_kb_per_webrtc_viewer", at_most=120),
    Target("P9", "memory per HLS viewer", "p9_kb_per_hls_viewer", at_most=30),
    Target("P10", "throughput lost by the access record, %", "p10_throughput_delta_percent", at_most=1),
    Target("P10", "packets that viewers get less for it, %", "p10_delivered_delta_percent", at_most=1),
    Target("P10", "of the relay's CPU, the record's own, %", "p10_own_cpu_percent", at_most=1),
    Target("P10", "p99 delay added by the access record, %", "p10_p99_delta_percent", at_most=1),
    Target("P11", "two relay workers against one", "p11_two_workers", 1.8),
    Target("audit", "records on disk, signed and linked", "audit_events_per_s", 20_000),
    Target("audit", "appending a record, on the event loop", "audit_emit_us", at_most=10),
    Target("audit", "acknowledged records lost in crashes", "audit_records_lost", at_most=0),
    Target("audit", "records duplicated in crashes", "audit_records_duplicated", at_most=0),
    Target("audit", "records torn in crashes", "audit_records_torn", at_most=0),
    Target("audit", "records verified on one core", "audit_verify_per_s", 300_000),
    Target("audit", "changes of a log that were not found", "audit_tampering_missed", at_most=0),
    Target("audit", "refusal while the record cannot be written", "audit_refused_after_s", at_most=2),
    Target("audit", "packets that others lose meanwhile", "audit_packets_lost_while_stopped", at_most=0),
)
