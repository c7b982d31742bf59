"""Coverage-guided fuzzing of what strangers' bytes meet first.

python tests/fuzzing.py stun FOLDER [-max_total_time=60 and what else libFuzzer takes]

stun, rtcp and sdp are what viewers send, rtp is what cameras send. FOLDER keeps what reached new code, for
the next run to begin with, what failed, and what took more than 10 ms: following what code does makes it
slower, so test_fuzzing.py measures those again.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["aioice.stun", "aiortc.sdp", "camrelay"]):
    from strangers import LIMIT_S, TARGETS


def main() -> None:
    """Runs until libFuzzer ends the process: 0 when nothing raised what it should not."""
    if len(sys.argv) < 3 or sys.argv[1] not in TARGETS:
        sys.exit(__doc__)
    name, folder, *options = sys.argv[1:]
    target, seeds = TARGETS[name]
    corpus, slow = Path(folder, "corpus"), Path(folder, "slow")
    for path in (corpus, slow):
        path.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    worst_s = LIMIT_S

    def once(data: bytes) -> None:
        nonlocal worst_s
        began = time.thread_time()
        target(data)
        took_s = time.thread_time() - began
        if took_s > worst_s:
            worst_s = took_s
            (slow / f"{took_s * 1e6:.0f}-us").write_bytes(data)

    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/failed-", str(corpus)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
