"""What a device says of itself, and what is believed."""

from __future__ import annotations

import datetime

import pytest

from camrelay.errors import BadAnswer, EgressDenied
from camrelay.ingest import soap
from camrelay.ingest.device import (
    MEDIA1,
    MEDIA2,
    Place,
    Profile,
    Question,
    clock_offset,
    place,
    printable,
    profile,
    service_urls,
    stream_url,
)


def at(uri: str, host: str = "10.0.0.5") -> Place:
    return place(uri, address="10.0.0.5", host=host)


@pytest.mark.parametrize(
    "named",
    [
        "10.0.0.5",
        "cam.lan",
        "CAM.lan",
        "0.0.0.0",
        "192.168.1.64",
        "127.0.0.1",
        "169.254.3.4",
        "[fe80::1]",
        "[::]",
    ],
)
def test_a_device_means_itself(named: str) -> None:
    """By what it was asked as, by an address inside, or by none."""
    assert Place("http", 8000, "/onvif/media") == at(f"http://{named}:8000/onvif/media", "cam.lan")


@pytest.mark.parametrize(
    "named", ["evil.example", "8.8.8.8", "[2001:4860::1]", "10.0.0.5.evil.example", "224.0.0.1"]
)
def test_a_device_that_names_somebody_else_is_refused(named: str) -> None:
    """Neither called nor corrected (abuse case 49)."""
    with pytest.raises(EgressDenied):
        at(f"http://{named}/onvif/media")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://10.0.0.5/a", Place("http", 80, "/a")),
        ("https://10.0.0.5/a", Place("https", 443, "/a")),
        (" rtsp://u:p@10.0.0.5/a?b=1&amp;c=2 ", Place("rtsp", 554, "/a?b=1&c=2")),
        ("rtsp://10.0.0.5/a%20b c/é", Place("rtsp", 554, "/a%20b%20c/%C3%A9")),
    ],
)
def test_a_url_gives_scheme_port_and_target(uri: str, expected: Place) -> None:
    """Credentials inside are dropped, entities unescaped, what may not stand in a URL is escaped."""
    assert expected == at(uri)


@pytest.mark.parametrize("uri", ["", "/onvif", "gopher://10.0.0.5/", "http://10.0.0.5:99999/", "http://[1/"])
def test_a_url_that_is_none_is_a_bad_answer(uri: str) -> None:
    """There is nothing to correct."""
    with pytest.raises(BadAnswer):
        at(uri)


def test_a_stream_is_at_the_host_that_was_asked() -> None:
    """By its name when it was asked by name, so that a new address is found again."""
    uri = "rtsp://192.168.1.64:8554/s?x=1"

    assert stream_url(uri, address="10.0.0.5", host="cam.lan") == "rtsp://cam.lan:8554/s?x=1"
    assert stream_url(uri, address="fd00::5", host="fd00::5") == "rtsp://[fd00::5]:8554/s?x=1"


@pytest.mark.parametrize("uri", ["http://10.0.0.5/video.mjpg", "rtsp://10.0.0.5/" + "x" * 3_000])
def test_a_stream_that_camrelay_cannot_take_is_a_bad_answer(uri: str) -> None:
    """No RTSP, or nothing that fits anywhere."""
    with pytest.raises(BadAnswer):
        stream_url(uri, address="10.0.0.5", host="10.0.0.5")


def clock(text: str) -> soap.Element:
    return soap.parse(f"<R><SystemDateAndTime>{text}</SystemDateAndTime></R>".encode())


def moment(hour: int) -> str:
    return (
        f"<UTCDateTime><Time><Hour>{hour}</Hour><Minute>0</Minute><Second>5</Second></Time>"
        "<Date><Year>2026</Year><Month>1</Month><Day>2</Day></Date></UTCDateTime>"
    )


def test_the_clock_of_a_device_is_compared_with_ours() -> None:
    """Seconds, positive when it is ahead; nothing when it is no time."""
    ours = datetime.datetime(2026, 1, 2, 11, 0, 0, tzinfo=datetime.UTC).timestamp()

    assert clock_offset(clock(moment(12)), ours) == 3605
    assert clock_offset(clock(moment(25)), ours) is None
    assert clock_offset(clock(""), ours) is None


def test_services_are_known_by_namespace() -> None:
    """From either of the two answers."""
    services = soap.parse(
        f"<R><Service><Namespace>{MEDIA2}</Namespace><XAddr>http://a/2</XAddr></Service>"
        f"<Service><Namespace>{MEDIA1}</Namespace><XAddr></XAddr></Service></R>".encode()
    )
    capabilities = soap.parse(b"<R><Capabilities><Media><XAddr>http://a/1</XAddr></Media></Capabilities></R>")

    assert service_urls(services) == {MEDIA2: "http://a/2"}
    assert service_urls(capabilities) == {MEDIA1: "http://a/1"}


VIDEO = (
    "<Encoding>{codec}</Encoding><Resolution><Width>1280</Width><Height>720</Height></Resolution>"
    "<RateControl><FrameRateLimit>12.5</FrameRateLimit></RateControl>"
)


def test_a_profile_of_media1() -> None:
    """Its GOP stands in an element."""
    video = VIDEO.format(codec="H264") + "<H264><GovLength>50</GovLength></H264>"
    element = soap.parse(
        '<Profiles token="p1"><Name>Main</Name>'
        f"<VideoEncoderConfiguration>{video}</VideoEncoderConfiguration>"
        "<AudioEncoderConfiguration><Encoding>G711</Encoding></AudioEncoderConfiguration></Profiles>".encode()
    )

    assert Profile("p1", "Main", "H264", 1280, 720, 12, 50, "G711") == profile(element)


def test_a_profile_of_media2() -> None:
    """Its GOP is an attribute."""
    video = VIDEO.format(codec="H265")
    element = soap.parse(
        '<Profiles token="p1"><Name>Main</Name><Configurations>'
        f'<VideoEncoder GovLength="abc">{video}</VideoEncoder></Configurations></Profiles>'.encode()
    )

    assert Profile("p1", "Main", "H265", 1280, 720, 12, None, "") == profile(element)


@pytest.mark.parametrize(
    "text",
    ['<Profiles token="p1"><Name>Sound</Name></Profiles>', "<P><VideoEncoderConfiguration/></P>"],
)
def test_a_profile_without_video_or_token_is_none(text: str) -> None:
    """There is nothing to play, or no way to ask for it."""
    assert profile(soap.parse(text.encode())) is None


def test_texts_are_one_short_printable_line() -> None:
    """Escape sequences and direction marks go."""
    assert printable("\x1bA\n\u202e B\t") == "A B"
    assert len(printable("x" * 200)) == 80


def test_nothing_of_a_question_prints() -> None:
    """It holds a password."""
    assert repr(Question("192.0.2.1", 80, "h:80", "admin", "S3cret")) == "Question()"
