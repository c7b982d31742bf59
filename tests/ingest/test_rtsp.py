"""Tests of camrelay.ingest.rtsp."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay.errors import CameraAuthFailed, StreamInterrupted
from camrelay.ingest.rtsp import (
    BODY_LIMIT_BYTES,
    HEAD_LIMIT_BYTES,
    Challenge,
    Credentials,
    Head,
    parse_challenges,
    parse_head,
    parse_message,
)

RESPONSE = b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-length : 12\r\nX: a: b \r\n\r\n"

MD5 = 'Digest realm="cam", nonce="n1"'
SHA = 'Digest realm="cam", nonce="n2", algorithm=SHA-256, qop="auth,auth-int", opaque="o"'
BASIC = 'Basic realm="cam"'


def credentials(*challenges: str) -> Credentials:
    made = Credentials("admin", "S3cret", "c0ffee")
    made.take(parse_challenges(iter(challenges)))
    return made


class TestHead:
    @pytest.mark.parametrize("rest", [b"", b"v=0\r\no=- 1", b"$\x00\x00\x04abcd"])
    def test_a_head_is_read_and_what_follows_is_left(self, rest: bytes) -> None:
        """The head ends at its empty line, whatever comes behind it."""
        parsed = parse_head(RESPONSE + rest)
        assert parsed is not None

        head, size = parsed
        assert size == len(RESPONSE)
        assert head.start == "RTSP/1.0 200 OK"
        assert head.status == 200
        assert head.content_length == 12
        assert head.get("x") == "a: b"
        assert head.get("absent") == ""

    @pytest.mark.parametrize("size", range(len(RESPONSE)))
    def test_an_incomplete_head_waits(self, size: int) -> None:
        """Byte by byte, nothing is read before the empty line."""
        assert parse_head(RESPONSE[:size]) is None

    @pytest.mark.parametrize(
        "data",
        [
            b"x" * (HEAD_LIMIT_BYTES + 1),
            b"RTSP/1.0 200 OK\r\nX: " + b"x" * HEAD_LIMIT_BYTES + b"\r\n\r\n",
            b"RTSP/1.0 200 OK\r\nno colon\r\n\r\n",
            b"RTSP/1.0 200 OK\r\nA: b\nC: d\r\n\r\n",
        ],
    )
    def test_an_endless_or_broken_head_is_the_cameras_fault(self, data: bytes) -> None:
        """A head without an end, or with lines that are no headers, ends the connection."""
        with pytest.raises(StreamInterrupted):
            parse_head(data)

    @pytest.mark.parametrize("length", ["x", "-1", "1e3", str(BODY_LIMIT_BYTES + 1), "9" * 20])
    def test_a_body_no_camera_needs_is_refused(self, length: str) -> None:
        """The announced length is checked before a byte of it is read."""
        with pytest.raises(StreamInterrupted):
            _ = Head("RTSP/1.0 200 OK", (("Content-Length", length),)).content_length

    def test_replacing_changes_removes_and_adds(self) -> None:
        """Header names match without case; None takes one out."""
        head = Head("PLAY x RTSP/1.0", (("CSeq", "1"), ("user-agent", "Lavf"), ("Authorization", "old")))

        changed = head.replacing(User_Agent="camrelay", Authorization=None, Session="7")

        assert (
            changed.serialize() == b"PLAY x RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: camrelay\r\nSession: 7\r\n\r\n"
        )

    def test_a_request_has_no_status(self) -> None:
        """Only a status line has a status."""
        assert Head("PLAY rtsp://x RTSP/1.0").status == 0
        assert Head("HTTP/1.1 200 OK").status == 0

    @given(st.binary(max_size=400))
    def test_garbage_is_refused_or_waited_for(self, data: bytes) -> None:
        """No bytes make the parser do anything but read, wait or refuse."""
        try:
            parsed = parse_head(data)
        except StreamInterrupted:
            return
        assert parsed is None or parsed[1] <= len(data)

    def test_a_message_is_there_with_its_whole_body(self) -> None:
        """Not before, and without what comes behind it."""
        body = b"v=0\r\no=- 1\r\n"[:12]
        for size in range(len(RESPONSE + body)):
            assert parse_message((RESPONSE + body)[:size]) is None
        parsed = parse_message(RESPONSE + body + b"$\x00")
        assert parsed is not None
        head, found, length = parsed
        assert (head.status, found, length) == (200, body, len(RESPONSE + body))


class TestChallenges:
    def test_several_challenges_in_one_header(self) -> None:
        """A camera may put all its challenges into one line (RFC 9110 §11.6.1)."""
        together = parse_challenges(iter([f"{MD5}, {BASIC}"]))
        assert together == parse_challenges(iter([MD5, BASIC]))
        assert [c.scheme for c in together] == ["Digest", "Basic"]

    def test_the_algorithm_is_md5_when_unsaid(self) -> None:
        """RFC 7616 §3.3."""
        assert parse_challenges(iter([MD5]))[0].algorithm == "MD5"

    def test_an_empty_quoted_value_is_a_value(self) -> None:
        """realm="" is what some cameras send."""
        assert parse_challenges(iter(['Digest realm="", nonce="n"'])) == [
            Challenge("Digest", {"realm": "", "nonce": "n"})
        ]


class TestCredentials:
    def test_nothing_is_shown_unasked(self) -> None:
        """Without a challenge there is no Authorization header."""
        assert Credentials("admin", "S3cret", "c").authorization("DESCRIBE", "rtsp://x/") is None

    def test_basic(self) -> None:
        """RFC 7617."""
        assert credentials(BASIC).authorization("PLAY", "u") == "Basic YWRtaW46UzNjcmV0"

    def test_digest_md5_without_qop(self) -> None:
        """RFC 2069 style, what most cameras speak; the password itself is not in it."""
        ha1 = hashlib.md5(b"admin:cam:S3cret").hexdigest()
        ha2 = hashlib.md5(b"PLAY:u").hexdigest()
        expected = hashlib.md5(f"{ha1}:n1:{ha2}".encode()).hexdigest()

        shown = credentials(MD5).authorization("PLAY", "u")

        assert shown == f'Digest username="admin", realm="cam", nonce="n1", uri="u", response="{expected}"'

    def test_digest_sha256_with_qop_counts(self) -> None:
        """RFC 7616: nc rises with every request, no answer can be replayed; algorithm and opaque go back."""
        made = credentials(SHA)
        ha1 = hashlib.sha256(b"admin:cam:S3cret").hexdigest()
        ha2 = hashlib.sha256(b"PLAY:u").hexdigest()
        expected = hashlib.sha256(f"{ha1}:n2:00000002:c0ffee:auth:{ha2}".encode()).hexdigest()

        made.authorization("DESCRIBE", "u")
        shown = made.authorization("PLAY", "u")

        assert shown is not None
        assert f'response="{expected}"' in shown
        assert re.search(r"qop=auth, nc=00000002, algorithm=SHA-256$", shown)
        assert 'opaque="o"' in shown

    @pytest.mark.parametrize("offered", [(BASIC, MD5, SHA), (SHA, MD5, BASIC)])
    def test_the_strongest_challenge_is_answered(self, offered: tuple[str, ...]) -> None:
        """SHA-256 before MD5 before Basic, in whatever order they are offered."""
        assert "SHA-256" in str(credentials(*offered).authorization("PLAY", "u"))
        assert "Digest" in str(credentials(BASIC, MD5).authorization("PLAY", "u"))

    def test_a_refusal_is_final(self) -> None:
        """F11: a second 401 for the same password is not answered, it would lock the account."""
        made = credentials(MD5)

        with pytest.raises(CameraAuthFailed, match="refused"):
            made.take(parse_challenges(iter([MD5])))

    def test_a_stale_nonce_is_no_refusal(self) -> None:
        """RFC 7616 §3.3: the camera only wants a fresh nonce."""
        made = credentials(MD5)

        made.take(parse_challenges(iter(['Digest realm="cam", nonce="n3", stale=TRUE'])))

        assert 'nonce="n3"' in str(made.authorization("PLAY", "u"))

    def test_a_new_challenge_after_a_success_is_no_refusal(self) -> None:
        """Some cameras challenge every method anew."""
        made = credentials(MD5)
        made.accepted()

        made.take(parse_challenges(iter(['Digest realm="cam", nonce="n4"'])))

        assert 'nonce="n4"' in str(made.authorization("PLAY", "u"))

    def test_no_credentials_or_no_known_way(self) -> None:
        """Both are the operator's to solve, and say so."""
        with pytest.raises(CameraAuthFailed, match="none configured"):
            Credentials("", "", "c").take(parse_challenges(iter([BASIC])))
        with pytest.raises(CameraAuthFailed, match="not known"):
            credentials('Digest realm="r", nonce="n", algorithm=SHA-512-256')

    def test_quotes_in_a_user_name_cannot_break_out(self) -> None:
        """A quote stays inside its value."""
        made = Credentials('a"b\\', "p", "c")
        made.take(parse_challenges(iter([MD5])))
        assert 'username="a\\"b\\\\"' in str(made.authorization("PLAY", "u"))
