"""Every command in its quick form: that it measures, never how well."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

#: A figure that a quick run must bring back with a number above zero.
COMMANDS = {
    "cameras": ("p4_cameras", "p4_mb_per_camera"),
    "webrtc": ("p1_viewers", "p1_us_per_packet", "p5_whep_start_p50_ms"),
    "hls": ("p2_viewers", "p2_part_delay_p99_ms", "p7_hls_start_p50_ms"),
    "links": ("play_chromium_pictures",),
    "playback": ("hlsjs_direct_behind_p50_ms", "hlsjs_nginx_behind_p50_ms", "ffmpeg_direct_seconds"),
    "release": ("hls_release_p50_ms", "hls_release_p99_ms"),
    "hlsrules": ("hls_playlist_versions", "hls_parts", "hls_faults"),
    "peers": ("p1_core_percent_camrelay", "p6_delay_p99_ms_camrelay", "p2_part_delay_p99_ms_camrelay"),
    "loadclient": ("p1_client_viewers_gro_on", "p1_client_viewers_gro_off"),
    "mixed": ("mixed_viewers", "mixed_reboots", "mixed_loop_lag_p99_ms"),
    "faults": ("faults_worst_resume_s", "faults_bystander_delay_s"),
    "mass_return": ("mass_return_s", "mass_return_lag_ms"),
    "cycles": ("cycles",),
    "revoke": ("p8_sessions",),
    "auth": ("auth_hls_p99_us", "auth_token_p50_us", "auth_session_p50_us"),
    "audit": (
        "audit_events_per_s",
        "audit_records_acknowledged",
        "audit_verify_per_s",
        "audit_refused_after_s",
    ),
    "start": ("p5_chromium_start_p50_ms", "p5_chromium_behind_p50_ms"),
}

#: These may be zero.
COUNTS = {
    "playback": ("hlsjs_direct_stalls", "ffmpeg_direct_timestamp_warnings"),
    "links": ("links_freezes", "play_chromium_undecoded", "play_chromium_freezes"),
    "release": ("hls_slow_readers_added_p99_ms", "hls_slow_readers_mb", "hls_slow_readers_cut"),
    "hlsrules": ("hls_rule_failures", "hls_restarts"),
    "faults": ("faults_viewers_lost",),
    "cycles": ("cycles_threads_left", "cycles_descriptors_left", "cycles_processes_left"),
    "loadclient": ("p1_client_lost_gro_on", "p1_client_lost_gro_off"),
    "audit": ("audit_records_lost", "p10_turns_kept", "p10_own_cpu_percent"),
}

#: No limit of a target may decide whether a slow machine passes: only that something was measured.
LENIENT = {
    "webrtc": ("--delay-limit", "10000"),
    "hls": ("--delay-limit", "10000"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_quick_run_measures(name: str, tmp_path: Path) -> None:
    """Every owed figure is named on a line of its own and in the file, the essential ones with a value."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", *LENIENT.get(name, ())]
    command += ["--time-limit", "90", "--out", str(tmp_path)]
    essential = {*COMMANDS[name], *(["p3_gets_50kb"] if name == "hls" and shutil.which("wrk") else [])}

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / f"{name}.json").read_text())["figures"]
    missing = {figure for figure in essential if not figures[figure]["value"]}

    assert not missing, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("FIGURE ")]
    assert {line.split()[1] for line in lines} == set(figures)
    for figure in COUNTS.get(name, ()):
        assert figures[figure]["value"] is not None, done.stderr
