"""Reading what devices answer."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cameras.onvif_device import BOMB
from camrelay.errors import BadAnswer
from camrelay.ingest import soap

ENVELOPE = '<s:E xmlns:s="urn:s"><s:Body>{}</s:Body></s:E>'


def body(text: str) -> soap.Element:
    return soap.body(ENVELOPE.format(text).encode())


def test_elements_are_found_by_their_local_names() -> None:
    """Whatever namespace and prefix a device chose, or forgot to declare."""
    answer = body('<x:A xmlns:x="urn:x"><x:B t="1"> one </x:B><y:B>two</y:B></x:A>')

    assert [(b.text, b.attributes) for b in answer.all("B")] == [("one", {"t": "1"}), ("two", {})]
    assert answer.at("B") == "one"
    assert answer.at("B", "C") == ""
    assert answer.find("C", "D") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("25", 25), (" 29.97 ", 29), ("", None), ("many", None), ("-1", None), ("1e9", None), ("nan", None)],
)
def test_numbers_are_sound_or_none(text: str, number: int | None) -> None:
    """A device that says it has minus one pictures a second says nothing."""
    assert number == body(f"<A><N>{text}</N></A>").whole("N")


@pytest.mark.parametrize(
    "data",
    [
        BOMB.encode(),
        b'<!DOCTYPE a><a xmlns="x"/>',
        b"",
        b"<a>",
        b"\xff\xfe",
        b'<?xml version="1.0" encoding="klingon"?><a/>',
        b"<a>" * 41 + b"</a>" * 41,
        b"<a>" + b"<b/>" * 50_001 + b"</a>",
        b"<a>" + b" " * soap.MAX_BYTES + b"</a>",
    ],
    ids=["bomb", "doctype", "empty", "open", "binary", "encoding", "deep", "many", "long"],
)
def test_what_is_dangerous_or_too_much_is_refused(data: bytes) -> None:
    """Before anything is expanded, fetched or kept (abuse case 49)."""
    with pytest.raises(BadAnswer):
        soap.parse(data)


def test_a_long_text_is_cut() -> None:
    """Nothing here needs more of it."""
    pieces = f"{'x' * 6_000}&amp;" * 4
    assert len(body(f"<A>{pieces}</A>").text) == soap.MAX_TEXT


@pytest.mark.parametrize("text", ["<a/>", "<a><Body/></a>"])
def test_what_is_no_envelope_is_refused(text: str) -> None:
    """An answer stands in a body."""
    with pytest.raises(BadAnswer, match="no SOAP envelope"):
        soap.body(text.encode())


def test_faults_are_known_by_their_codes() -> None:
    """Those of SOAP 1.2 with subcodes, and those of SOAP 1.1."""
    subcode = "<Subcode><Value>ter:NotAuthorized</Value></Subcode>"
    fault = body(f"<Fault><Code><Value>s:Sender</Value>{subcode}</Code></Fault>")

    assert {"Sender", "NotAuthorized"} == soap.fault_codes(fault)
    assert {"Client"} == soap.fault_codes(body("<Fault><faultcode>s:Client</faultcode></Fault>"))
    assert soap.fault_codes(body("<Answer/>")) is None


@given(st.text(max_size=300))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """And nothing else happens."""
    for data in (text, ENVELOPE.format(text)):
        with contextlib.suppress(BadAnswer):
            soap.body(data.encode("utf-8", "replace"))
