"""Options by themselves, without a file."""

from __future__ import annotations

import pytest

from camrelay.config import Camera, Mail, split_address
from camrelay.errors import ConfigError


def test_a_camera_prints_without_its_password() -> None:
    """Its id is enough to know which one it is."""
    assert repr(Camera(id="yard", url="rtsp://192.168.1.2/", password="S3cret")) == "Camera('yard')"


def test_letters_are_written_where_there_is_a_way() -> None:
    """To a server, or into a folder."""
    assert not Mail().enabled
    assert Mail(outbox="letters").enabled


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_split_address(listen: str, expected: tuple[str, int]) -> None:
    """IPv6 stands in brackets, as in a URL."""
    assert split_address(listen) == expected


@pytest.mark.parametrize(
    "listen",
    [
        "",
        ":80",
        "localhost:80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:-1",
        "::1:80",
        "[127.0.0.1]:80",
        "1.2.3.4:65536",
        "[::1:80",
        "1.2.3.4:٣",
    ],
)
def test_split_address_refuses(listen: str) -> None:
    """Names would be looked up at some moment nobody chose."""
    with pytest.raises(ConfigError):
        split_address(listen)
