"""check_cameras refuses addresses that no camera may have, with the line and without the address."""

from __future__ import annotations

import pytest

from camrelay.check import check_cameras
from camrelay.config_file import load
from camrelay.errors import ConfigError

FIRST = '[[camera]]\nid = "yard"\nurl = "rtsp://10.0.0.5/"\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        FIRST,
        '[[camera]]\nid = "a"\nurl = "rtsps://cam.example/x?y=1"\ntime_zone = "Europe/Madrid"\n',
        '[egress]\nallow = ["127.0.0.1/32:8554"]\n[[camera]]\nid = "a"\nurl = "rtsp://127.0.0.1:8554/"\n',
    ],
)
def test_accepts(text: str) -> None:
    """Private addresses, names, and what [egress] lists."""
    check_cameras(load(text), text)


@pytest.mark.parametrize(
    ("line", "message", "text"),
    [
        (
            6,
            "camera hall: a camera URL begins with rtsp",
            FIRST + '[[camera]]\nid = "hall"\nurl = "http://10.0.0.5/"\n',
        ),
        (3, "camera a: a camera URL begins with rtsp", '[[camera]]\nid = "a"\nurl = "file:///etc/passwd"\n'),
        (
            3,
            "camera a: the camera URL holds a user",
            '[[camera]]\nid = "a"\nurl = "rtsp://u:hunter2@10.0.0.5/"\n',
        ),
        (3, "camera a: loopback addresses", '[[camera]]\nid = "a"\nurl = "rtsp://127.0.0.1/"\n'),
        (3, "camera a: loopback addresses", '[[camera]]\nid = "a"\nurl = "rtsp://localhost/"\n'),
        (3, "camera a: loopback addresses", '[[camera]]\nid = "a"\nurl = "rtsp://[::1]/"\n'),
        (3, "camera a: link-local addresses", '[[camera]]\nid = "a"\nurl = "rtsp://169.254.169.254/"\n'),
        (3, "camera a: the address or port is outside", '[[camera]]\nid = "a"\nurl = "rtsp://8.8.8.8/"\n'),
        (2, "egress.allow:", '[egress]\nallow = ["everything"]\n'),
        (4, "camera yard: time_zone", FIRST + 'time_zone = "Madrid"\n'),
    ],
)
def test_refuses_with_the_line(line: int, message: str, text: str) -> None:
    """Nothing of the URL is repeated: it may hold a password."""
    with pytest.raises(ConfigError) as caught:
        check_cameras(load(text), text)

    assert message in str(caught.value)
    assert caught.value.line == line
    assert "hunter2" not in str(caught.value) + caught.value.hint
    assert "://" not in str(caught.value).replace("rtsp://", "").replace("rtsps://", "")
