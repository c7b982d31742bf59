"""Tests of camrelay.ingest.target."""

from __future__ import annotations

import pytest

from camrelay.ingest.target import Target


@pytest.mark.parametrize(
    ("is_tls", "base"), [(False, "rtsp://cam.example:554"), (True, "rtsps://cam.example:554")]
)
def test_requests_name_the_camera_as_its_url_does(is_tls: bool, base: str) -> None:
    """The authority is the URL's, not the address that was pinned; credentials are no part of it."""
    target = Target("192.0.2.1", 554, "cam.example:554", "/live?x=1", "admin", "S3cret", is_tls)

    assert target.base == base
    assert target.url == f"{base}/live?x=1"


def test_nothing_of_it_prints() -> None:
    """A target holds a password: whatever logs one shows none of it."""
    assert repr(Target("192.0.2.1", 554, "h", "/", "admin", "S3cret")) == "Target()"
