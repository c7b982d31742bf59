"""WS-Discovery messages: what is asked, and what an answer may do."""

from __future__ import annotations

from xml.parsers import expat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cameras.onvif_discovery import answer
from camrelay.ingest.discovery import (
    MAX_ANSWER_BYTES,
    MAX_ANSWERS,
    MAX_FOUND,
    MAX_FOUND_PER_ADDRESS,
    TYPES,
    Findings,
    Found,
    parse_answer,
    probe,
)

ID = "urn:uuid:0"


def findings() -> Findings:
    return Findings(frozenset({ID}))


def test_a_probe_asks_for_everything_or_for_cameras() -> None:
    """Well-formed, with its id, and with the type when there is one."""
    everything, cameras = (probe(ID, types) for types in TYPES)

    for message in (everything, cameras):
        expat.ParserCreate().Parse(message, True)
        assert f"<a:MessageID>{ID}</a:MessageID>".encode() in message
    assert b"d:Types" not in everything
    assert b"<d:Types>dn:NetworkVideoTransmitter</d:Types>" in cameras


def test_an_answer_becomes_a_device() -> None:
    """With name, hardware and location from its scopes, percent-decoded."""
    assert [
        Found(
            host="10.0.0.5",
            port=8000,
            xaddr="http://10.0.0.5:8000/onvif/device_service",
            name="Front Door",
            hardware="CAM-2",
            location="Gate",
        )
    ] == findings().take(answer(ID, xaddrs="http://10.0.0.5:8000/onvif/device_service"), "10.0.0.5")


@pytest.mark.parametrize(
    ("xaddrs", "expected"),
    [
        ("http://0.0.0.0/onvif", "http://10.0.0.5:80/onvif"),
        ("http://evil.example:81/x", "http://10.0.0.5:81/x"),
        ("http://192.168.1.9/a https://10.0.0.5/b", "https://10.0.0.5:443/b"),
        ("http://[fe80::1]/a http://10.0.0.5:82", "http://10.0.0.5:82/"),
    ],
)
def test_the_address_is_the_one_that_answered(xaddrs: str, expected: str) -> None:
    """What a device says of its address only gives port and path."""
    assert [expected] == [found.xaddr for found in findings().take(answer(ID, xaddrs=xaddrs), "10.0.0.5")]


def test_a_device_of_ipv6_has_its_address_in_brackets() -> None:
    """So that the URL is one."""
    (found,) = findings().take(answer(ID, xaddrs="http://[fd00::5]:80/o"), "fd00::5")

    assert (found.host, found.xaddr) == ("fd00::5", "http://[fd00::5]:80/o")


@pytest.mark.parametrize(
    "xaddrs",
    [
        "",
        "ftp://10.0.0.5/",
        "http://10.0.0.5:99999/",
        "http://[::1/",
        "/onvif",
        "http://h/a\\b",
        'http://h/"x',
    ],
)
def test_a_device_without_a_usable_service_is_none(xaddrs: str) -> None:
    """There would be nothing to do with it."""
    assert findings().take(answer(ID, xaddrs=xaddrs), "10.0.0.5") == []


def test_names_are_one_short_printable_line() -> None:
    """Neither a terminal nor a page is tricked by what a device calls itself."""
    scopes = f"onvif://www.onvif.org/name/%1b[31mA%0aB%e2%80%ae{'x' * 200}"

    (found,) = findings().take(answer(ID, scopes=scopes), "10.0.0.5")

    assert f"[31mA B {'x' * 200}"[:80] == found.name


def test_what_is_not_a_camera_says_so() -> None:
    """A printer answers the probe for everything."""
    (found,) = findings().take(answer(ID, types="p:Printer", scopes=""), "10.0.0.5")

    assert not found.is_onvif


def test_a_device_is_found_once() -> None:
    """It answers every probe it hears."""
    search = findings()

    assert [len(search.take(answer(ID), "10.0.0.5")) for _ in range(2)] == [1, 0]


@pytest.mark.parametrize(
    "data",
    [
        answer("urn:uuid:somebody-else's"),
        b"lollipop",
        b"",
        answer(ID).replace(b"ProbeMatches", b"Hello").replace(b"ProbeMatch", b"H"),
        answer(ID)[:-20],
        answer(ID) + b" " * MAX_ANSWER_BYTES,
        answer(ID).replace(b"<SOAP-ENV:Envelope", b'<!DOCTYPE x [<!ENTITY a "b">]><SOAP-ENV:Envelope', 1),
        answer(ID).replace(b"UTF-8", b"no-such-encoding"),
    ],
)
def test_other_datagrams_are_nothing(data: bytes) -> None:
    """Answers to others, nonsense, documents with a document type, and what is too long."""
    assert findings().take(data, "10.0.0.5") == []


def test_forged_answers_are_bounded() -> None:
    """By sender, in all, and in how many are read (abuse case 50)."""
    search = findings()

    for number in range(100):
        search.take(answer(ID, xaddrs=f"http://10.0.0.5/{number}"), "10.0.0.5")
    assert len(search._found) == MAX_FOUND_PER_ADDRESS

    for number in range(1000):
        search.take(answer(ID), f"10.1.{number // 250}.{number % 250}")
    assert len(search._found) == MAX_FOUND


def test_a_search_ends_reading_at_some_point() -> None:
    """Whoever sends nonsense without end does not cost more and more."""
    search = findings()
    for _ in range(MAX_ANSWERS):
        search.take(b"", "10.0.0.6")

    assert search.take(answer(ID), "10.0.0.5") == []


def test_one_answer_with_many_matches_is_bounded_too() -> None:
    """A message may hold several devices."""
    message = answer(ID, xaddrs="http://10.0.0.5/NUMBER").decode()
    start, end = message.index("<d:ProbeMatch>"), message.index("</d:ProbeMatches>")
    matches = "".join(message[start:end].replace("NUMBER", str(number)) for number in range(30))

    found = findings().take((message[:start] + matches + message[end:]).encode(), "10.0.0.5")

    assert len(found) == MAX_FOUND_PER_ADDRESS


@given(st.binary(max_size=2_000))
def test_nothing_that_arrives_raises(data: bytes) -> None:
    """Whatever it is."""
    parse_answer(data)
    message = bytearray(answer(ID))
    for i, byte in enumerate(data[:40]):
        message[(i * 37 + byte * 11) % len(message)] = byte
    findings().take(bytes(message), "10.0.0.5")
