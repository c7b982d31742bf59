"""The faults that cameras are struck with, and what strikes together."""

from __future__ import annotations

import itertools
import re

from benchmarks.faults import lies, outages
from benchmarks.faults.__main__ import FAULTS, acts, worker_numbers

ANSWER = (
    b"RTSP/1.0 200 OK\r\nCSeq: 7\r\nContent-Length: 38\r\n\r\nm=video 0 RTP/AVP 96\r\nm=audio 0 RTP/A\r\n"
)


def test_every_fault_of_the_list_is_done_to_a_camera() -> None:
    """F1 to F20, some of them in several ways, each with a sentence for the table."""
    numbers = [fault.number for fault in FAULTS]
    assert {int(re.sub(r"\D", "", number)) for number in numbers} == set(range(1, 21))
    assert len(set(numbers)) == len(numbers)
    assert all(fault.__doc__ and fault.__doc__.endswith(".") for fault in FAULTS)


def test_what_takes_other_cameras_along_strikes_apart() -> None:
    """Every fault once; beside those that only hurt themselves, nothing hurts others."""
    found = acts([kind() for kind in FAULTS])
    assert sorted(fault.number for act in found for fault in act) == sorted(f.number for f in FAULTS)
    for act in found:
        assert len({(fault.fills_worker, fault.company > 0) for fault in act}) == 1
    assert acts([]) == []


def test_a_fault_knows_the_worker_that_reads_its_camera() -> None:
    """Those that fill a worker have one each; the others share them in order."""
    assert list(worker_numbers([outages.WorkerHangs(), outages.WorkerDies()])) == [0, 1]
    assert list(itertools.islice(worker_numbers([lies.Loss()] * 17), 15, 17)) == [0, 1]


def test_a_camera_can_lose_its_sound_and_refuse() -> None:
    """The SDP ends before the sound with a true length; a refusal answers the request it stands for."""
    assert lies.without_sound(ANSWER).endswith(b"Content-Length: 22\r\n\r\nm=video 0 RTP/AVP 96\r\n")
    assert outages.refusal(ANSWER, b"453 No") == b"RTSP/1.0 453 No\r\nCSeq: 7\r\n\r\n"
