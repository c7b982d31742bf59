"""`camrelay plan`."""

from __future__ import annotations

from pathlib import Path

import msgspec
from click.testing import CliRunner

from camrelay.cli import main
from test_capacity import MEASURED


def run(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["plan", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_it_answers_from_the_shipped_figures() -> None:
    """Cores, memory, network, and how good the guess is."""
    for protocol in ("webrtc", "hls"):
        text = run("--cameras", "4", "--viewers", "40", "--protocol", protocol)
        assert "cores" in text
        assert "memory" in text
        assert "8 Mb/s in" in text
        assert "predicted within" in text
        assert "a guess" not in text


def test_it_answers_from_figures_of_ones_own(tmp_path: Path) -> None:
    """And says when they do not reach so far."""
    path = tmp_path / "capacity.json"
    path.write_bytes(msgspec.json.encode(MEASURED))

    text = run("--cameras", "1", "--viewers", "3000", "--figures", str(path))

    assert "relays   2" in text
    assert "a machine" in text
    assert "a guess" in text
