"""Tests of camrelay.ingest.conversation: what a camera may answer, and what it gets to hear."""

from __future__ import annotations

import hashlib
import struct

import pytest

from camrelay.errors import (
    BadAnswer,
    CameraAuthFailed,
    CameraUnreachable,
    EgressDenied,
    SourceError,
    StreamInterrupted,
    StreamNotFound,
    UnsupportedCodec,
)
from camrelay.ingest.conversation import EARLY_MEDIA_LIMIT_BYTES, REQUEST_LIMIT, Conversation
from camrelay.ingest.rtsp import Head, parse_head
from camrelay.ingest.target import Target

TARGET = Target("10.0.0.5", 554, "cam.example:554", "/live?ch=1", "admin", "S3cret")
SDP = b"v=0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=1\r\n"
IDR = b"\x65\x88\x80\x40\xff"
TRANSPORT = "RTP/AVP/TCP;unicast;interleaved=0-1"


def converse(target: Target = TARGET, udp_port: int | None = None) -> Conversation:
    return Conversation(target, own_address="10.0.0.2", udp_port=udp_port, cnonce="c0ffee", ssrc=7)


def asked(data: bytes) -> Head:
    """The one request in `data`."""
    parsed = parse_head(data)
    assert parsed is not None
    assert parsed[1] == len(data)
    return parsed[0]


def response(request: bytes, status: str = "200 OK", body: bytes = b"", **headers: str) -> bytes:
    lines = {"CSeq": asked(request).get("CSeq")} | {n.replace("_", "-"): v for n, v in headers.items()}
    if body:
        lines["Content-Length"] = str(len(body))
    return Head(f"RTSP/1.0 {status}", tuple(lines.items())).serialize() + body


def media(sequence: int, payload: bytes = IDR, channel: int = 0) -> bytes:
    packet = struct.pack(">BBHII", 0x80, 0x80 | 96, sequence, sequence * 3600, 1) + payload
    return bytes((0x24, channel)) + len(packet).to_bytes(2, "big") + packet


class Camera:
    """Answers a conversation step by step, and keeps the requests."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.request = conversation.begin()

    @property
    def head(self) -> Head:
        return asked(self.request)

    def answer(self, status: str = "200 OK", body: bytes = b"", **headers: str) -> None:
        self.request = self.conversation.receive(response(self.request, status, body, **headers))

    def describe(self, sdp: bytes = SDP, **headers: str) -> None:
        self.answer(Public="OPTIONS, DESCRIBE, GET_PARAMETER")
        self.answer(body=sdp, **headers)

    def play(self, transport: str = TRANSPORT, session: str = "42;timeout=20") -> None:
        self.describe()
        self.answer(Transport=transport, Session=session)
        self.answer()


@pytest.fixture
def camera() -> Camera:
    return Camera(converse())


def test_the_way_to_play(camera: Camera) -> None:
    """OPTIONS, DESCRIBE, SETUP, PLAY, at the URLs that follow from the answers."""
    base = "rtsp://cam.example:554/live?ch=1"
    assert camera.head.start == f"OPTIONS {base} RTSP/1.0"
    assert camera.head.get("User-Agent") == "camrelay"
    camera.answer(Public="OPTIONS, GET_PARAMETER")
    assert camera.head.start == f"DESCRIBE {base} RTSP/1.0"
    assert camera.head.get("Accept") == "application/sdp"
    camera.answer(body=SDP)
    assert camera.head.start == f"SETUP {base}/trackID=1 RTSP/1.0"
    assert camera.head.get("Transport") == TRANSPORT
    camera.answer(Transport=TRANSPORT, Session="42;timeout=20")
    assert camera.head.start == f"PLAY {base} RTSP/1.0"
    assert camera.head.get("Session") == "42"
    assert not camera.conversation.is_playing
    camera.answer()

    assert camera.request == b""
    assert camera.conversation.is_playing
    assert camera.conversation.keepalive_s == 10.0
    assert camera.conversation.track == camera.conversation.description.tracks[0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Base": "rtsp://192.168.0.9:99/deep/"},
        {"Content_Location": "rtsp://192.168.0.9:99/deep"},
    ],
    ids=["base", "location"],
)
def test_a_lie_about_the_address_gives_a_path_and_nothing_else(
    camera: Camera, headers: dict[str, str]
) -> None:
    """Cameras behind NAT name an address of their own; hostile ones somebody else's."""
    sdp = SDP.replace(b"trackID=1", b"rtsp://192.168.0.9:99/deep/t1").replace(b"*", b"rtsp://6.6.6.6/all")
    camera.describe(sdp, **headers)

    assert camera.head.start == "SETUP rtsp://cam.example:554/deep/t1 RTSP/1.0"
    camera.answer(Transport=TRANSPORT, Session="1")
    assert camera.head.start == "PLAY rtsp://cam.example:554/all RTSP/1.0"


def test_a_base_that_is_no_url_is_passed_over(camera: Camera) -> None:
    """The request's own URL is as good."""
    camera.describe(Content_Base="live")

    assert camera.head.start == "SETUP rtsp://cam.example:554/live?ch=1/trackID=1 RTSP/1.0"


def test_a_camera_without_options_may_play(camera: Camera) -> None:
    """And is kept alive by what every camera knows."""
    camera.answer("501 Not Implemented")
    camera.answer(body=SDP)
    camera.answer(Transport=TRANSPORT)
    camera.answer()

    assert camera.conversation.is_playing
    assert asked(camera.conversation.keep_alive()).start.startswith("OPTIONS ")
    assert camera.conversation.keepalive_s == 30.0
    assert camera.conversation.leave() == b""


@pytest.mark.parametrize(("timeout", "keepalive_s"), [("0", 1.0), ("6", 3.0), ("9999", 30.0)])
def test_the_session_is_kept_alive_in_time(camera: Camera, timeout: str, keepalive_s: float) -> None:
    """At half its timeout, within reason."""
    camera.play(session=f"42 ; Timeout={timeout}")

    assert camera.conversation.keepalive_s == keepalive_s
    assert asked(camera.conversation.keep_alive()).start.startswith("GET_PARAMETER ")


class TestMedia:
    @pytest.mark.parametrize("size", [1, 3, 7, 10_000])
    def test_media_and_responses_mix_in_any_pieces(self, camera: Camera, size: int) -> None:
        """RFC 2326 §10.12; blank lines between them do no harm, and RTCP is passed over."""
        camera.play()
        keepalive = camera.conversation.keep_alive()
        data = media(1) + media(0, channel=1) + response(keepalive) + b"\r\n" + media(2)
        data += response(keepalive, body=b"x: 1\r\n") + media(3)

        for at in range(0, len(data), size):
            assert camera.conversation.receive(data[at : at + size]) == b""

        video = camera.conversation.video
        assert video is not None
        assert [unit.timestamp for unit in video.finished] == [3600, 7200, 10_800]

    @pytest.mark.parametrize(
        ("transport", "channel"),
        [("RTP/AVP/TCP;interleaved=2-3", 2), ("RTP/AVP/TCP;interleaved=4", 4), ("RTP/AVP/TCP;unicast", 0)],
    )
    def test_a_server_that_ignores_the_asked_channels_is_followed(
        self, camera: Camera, transport: str, channel: int
    ) -> None:
        """Also back: reports go to its channel."""
        camera.play(transport)
        camera.conversation.receive(media(1, channel=channel) + media(5, channel=channel + 7))

        video = camera.conversation.video
        assert video is not None
        assert len(video.finished) == 1
        report = camera.conversation.report()
        assert report[:2] == bytes((0x24, channel + 1))
        assert len(report) == 4 + int.from_bytes(report[2:4], "big")

    def test_media_before_the_answer_to_play_is_kept(self, camera: Camera) -> None:
        """It may hold the only key frame for a long time."""
        camera.describe()
        camera.answer(Transport=TRANSPORT, Session="42")
        answer = media(1) + response(camera.request) + media(2)
        camera.conversation.receive(answer)

        assert camera.conversation.is_playing
        assert len(camera.conversation.video.finished) == 2  # type: ignore[union-attr]

    def test_a_camera_that_only_sends_media_is_cut(self, camera: Camera) -> None:
        """Some begin early; none needs megabytes."""
        noise = media(1, bytes(60_000))
        for _ in range(EARLY_MEDIA_LIMIT_BYTES // len(noise)):
            camera.conversation.receive(noise)

        with pytest.raises(StreamInterrupted, match="does not answer"):
            camera.conversation.receive(noise)

    def test_datagrams_are_asked_for_on_two_ports(self) -> None:
        """And reports go without framing to where the camera takes them."""
        camera = Camera(converse(udp_port=5000))
        camera.describe()
        assert camera.head.get("Transport") == "RTP/AVP;unicast;client_port=5000-5001"
        camera.answer(Transport="RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001", Session="1")
        camera.answer()

        assert camera.conversation.server_ports == (6000, 6001)
        assert camera.conversation.report()[0] == 0x80

    def test_a_camera_that_does_not_say_its_ports_plays(self) -> None:
        """There is only nowhere to report to."""
        camera = Camera(converse(udp_port=5000))
        camera.play("RTP/AVP;unicast")

        assert camera.conversation.is_playing
        assert camera.conversation.server_ports is None


class TestTrust:
    def test_a_redirect_ends_it(self, camera: Camera) -> None:
        """No credential goes elsewhere."""
        with pytest.raises(EgressDenied):
            camera.answer("302 Moved", Location="rtsp://10.1.2.3/")

    @pytest.mark.parametrize("name", ["source", "destination"])
    def test_a_transport_to_another_host_is_refused(self, camera: Camera, name: str) -> None:
        """A camera cannot make the relay send to, or believe packets of, a third host."""
        with pytest.raises(EgressDenied):
            camera.play(f"{TRANSPORT};{name}=10.1.2.3")

    @pytest.mark.parametrize("host", ["10.0.0.5", "10.0.0.2", "0.0.0.0"])
    def test_a_transport_may_name_the_two_of_us(self, camera: Camera, host: str) -> None:
        """Many do, and some name nobody."""
        camera.play(f"{TRANSPORT};source={host};destination={host}")

        assert camera.conversation.is_playing

    def test_sha256_is_answered_and_a_refusal_is_final(self, camera: Camera) -> None:
        """F11: one answer, and when that is refused not one more."""
        challenge = 'Digest realm="r", nonce="n", algorithm=SHA-256'
        camera.answer("401 Unauthorized", WWW_Authenticate=challenge)

        ha1 = hashlib.sha256(b"admin:r:S3cret").hexdigest()
        ha2 = hashlib.sha256(f"OPTIONS:{TARGET.url}".encode()).hexdigest()
        assert hashlib.sha256(f"{ha1}:n:{ha2}".encode()).hexdigest() in camera.head.get("Authorization")
        assert b"S3cret" not in camera.request
        with pytest.raises(CameraAuthFailed):
            camera.answer("401 Unauthorized", WWW_Authenticate=challenge)

    def test_a_challenged_request_is_repeated_as_it_was(self, camera: Camera) -> None:
        """Cameras that ask at SETUP, or again at the keepalive, with a new nonce."""
        camera.describe()
        camera.answer("401 Unauthorized", WWW_Authenticate='Basic realm="r"')
        assert camera.head.start.startswith("SETUP ")
        assert camera.head.get("Transport") == TRANSPORT
        camera.answer(Transport=TRANSPORT, Session="42")
        camera.answer()

        camera.request = camera.conversation.keep_alive()
        assert camera.head.get("Authorization").startswith("Basic ")
        camera.answer("401 Unauthorized", WWW_Authenticate='Digest realm="r", nonce="m"')
        assert camera.head.start.startswith("GET_PARAMETER ")
        assert 'nonce="m"' in camera.head.get("Authorization")

    def test_nobody_is_shown_what_the_target_holds(self) -> None:
        """Neither in a log nor in an error."""
        assert repr(TARGET) == "Target()"


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            ("404 Not Found", StreamNotFound),
            ("410 Gone", StreamNotFound),
            ("403 Forbidden", CameraAuthFailed),
            ("454 Session Not Found", CameraUnreachable),
            ("503 Busy", CameraUnreachable),
        ],
    )
    def test_a_refusal_has_its_class(self, camera: Camera, status: str, error: type[SourceError]) -> None:
        """What to do about it differs."""
        camera.answer()
        with pytest.raises(error):
            camera.answer(status)

    @pytest.mark.parametrize(
        "sdp",
        [
            b"",
            SDP.replace(b"H264", b"VP8"),
            SDP.replace(b"H264", b"H265") + b"a=fmtp:96 sprop-max-don-diff=2\r\n",
            SDP.replace(b"H264", b"H265") + b"a=fmtp:96 tx-mode=MRMT\r\n",
            SDP.replace(b"video", b"audio"),
            SDP + b"a=fmtp:96 packetization-mode=2\r\n",
        ],
    )
    def test_a_camera_without_h264_or_h265_is_not_set_up(self, camera: Camera, sdp: bytes) -> None:
        """Neither is one that would send its fragments out of order."""
        with pytest.raises(UnsupportedCodec):
            camera.describe(sdp)

    def test_a_description_over_the_limits_is_refused(self, camera: Camera) -> None:
        """Tracks are few."""
        with pytest.raises(BadAnswer):
            camera.describe(SDP * 17)

    def test_datagrams_that_nobody_asked_for_are_refused(self, camera: Camera) -> None:
        """There is no port for them."""
        with pytest.raises(CameraUnreachable):
            camera.play("RTP/AVP;unicast;server_port=1-2")

    @pytest.mark.parametrize(
        "answer",
        [
            b"x" * 40_000,
            b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            b"RTSP/1.0 200 OK\r\n\x00\r\n\r\n",
        ],
        ids=["endless head", "huge body", "no header"],
    )
    def test_a_camera_that_talks_too_much_is_cut(self, camera: Camera, answer: bytes) -> None:
        """Abuse case 48: heads and bodies have limits."""
        with pytest.raises(StreamInterrupted):
            camera.conversation.receive(answer)

    def test_a_camera_that_never_comes_to_play_is_given_up(self, camera: Camera) -> None:
        """Asking for the password again and again, each time with a nonce it calls stale."""
        challenge = 'Digest realm="r", nonce="n", stale=true'
        for _ in range(REQUEST_LIMIT - 1):
            camera.answer("401 No", WWW_Authenticate=challenge)

        with pytest.raises(StreamInterrupted, match="never came"):
            camera.answer("401 No", WWW_Authenticate=challenge)


class TestWhilePlaying:
    def test_an_error_to_a_keepalive_changes_nothing(self, camera: Camera) -> None:
        """The camera has heard it; whether it still sends is seen elsewhere."""
        camera.play()
        camera.request = camera.conversation.keep_alive()
        camera.answer("454 Session Not Found")

        assert camera.request == b""

    def test_keepalives_that_are_never_answered_are_forgotten(self, camera: Camera) -> None:
        """Some cameras just do not."""
        camera.play()
        for _ in range(100):
            camera.conversation.keep_alive()
        camera.request = camera.conversation.leave()
        camera.answer()

        assert camera.conversation.is_over

    def test_what_the_camera_asks_is_passed_over(self, camera: Camera) -> None:
        """Some send OPTIONS to their clients; responses to nothing happen, too."""
        camera.play()

        assert camera.conversation.receive(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n") == b""
        assert camera.conversation.receive(b"RTSP/1.0 200 OK\r\nCSeq: 77\r\n\r\n") == b""

    def test_a_camera_with_numbers_of_its_own_is_understood(self, camera: Camera) -> None:
        """Responses come in order anyway."""
        camera.request = camera.conversation.receive(b"RTSP/1.0 200 OK\r\nCSeq: 900\r\n\r\n")

        assert camera.head.start.startswith("DESCRIBE ")

    def test_leaving_ends_the_session_and_the_media(self, camera: Camera) -> None:
        """F16: TEARDOWN, and its answer between what is still on its way."""
        camera.play()
        camera.request = camera.conversation.leave()
        assert camera.head.start.startswith("TEARDOWN ")
        assert camera.head.get("Session") == "42"

        camera.conversation.receive(media(1) + response(camera.request) + media(2))

        assert camera.conversation.is_over
        assert camera.conversation.video.finished == []  # type: ignore[union-attr]


SOUND = b"m=audio 0 RTP/AVP 8\r\na=control:trackID=2\r\n"


def with_sound(sdp: bytes = SDP + SOUND, **ports: int) -> Camera:
    """A camera that was asked to set up its pictures."""
    conversation = Conversation(
        TARGET,
        own_address="10.0.0.2",
        udp_port=ports.get("udp_port"),
        cnonce="c0ffee",
        ssrc=7,
        wants_sound=True,
        sound_port=ports.get("sound_port"),
    )
    camera = Camera(conversation)
    camera.describe(sdp)
    return camera


class TestSound:
    def test_it_is_set_up_after_the_pictures_and_taken_from_its_own_channels(self) -> None:
        """Both tracks are in one session."""
        camera = with_sound()
        camera.answer(Transport=TRANSPORT, Session="42")
        assert camera.head.start.endswith("/trackID=2 RTSP/1.0")
        assert camera.head.get("Transport") == "RTP/AVP/TCP;unicast;interleaved=2-3"
        assert camera.head.get("Session") == "42"
        camera.answer(Transport="RTP/AVP/TCP;unicast;interleaved=2-3", Session="42")
        assert camera.head.start.startswith("PLAY ")
        camera.answer()

        rtp = struct.pack(">BBHII", 0x80, 8, 1, 0, 1) + b"sound"
        camera.conversation.receive(media(1) + bytes((0x24, 2, 0, len(rtp))) + rtp)

        assert camera.conversation.sound is not None
        assert [unit.data for unit, _ in camera.conversation.sound.take()] == [b"sound"]
        assert camera.conversation.video is not None
        assert len(camera.conversation.video.finished) == 1

    @pytest.mark.parametrize(
        ("status", "transport"),
        [
            ("461 Unsupported Transport", ""),
            ("200 OK", "RTP/AVP/TCP;unicast;interleaved=0-1"),
            ("200 OK", "RTP/AVP/TCP;unicast;interleaved=2-3;source=10.9.9.9"),
        ],
    )
    def test_a_camera_that_does_not_give_it_plays_its_pictures(self, status: str, transport: str) -> None:
        """Sound is worth no failure."""
        camera = with_sound()
        camera.answer(Transport=TRANSPORT, Session="42")
        camera.answer(status, Transport=transport)
        assert camera.head.start.startswith("PLAY ")
        camera.answer()
        assert camera.conversation.is_playing
        assert camera.conversation.sound is None

    def test_a_camera_that_does_not_answer_for_it_plays_its_pictures(self) -> None:
        """The answer that comes too late changes nothing any more."""
        camera = with_sound()
        assert not camera.conversation.awaits_sound
        camera.answer(Transport=TRANSPORT, Session="42")
        assert camera.conversation.awaits_sound
        late = camera.request

        camera.request = camera.conversation.skip_sound()
        assert camera.head.start.startswith("PLAY ")
        camera.answer()

        assert camera.conversation.is_playing
        assert camera.conversation.receive(response(late, Transport="RTP/AVP/TCP;interleaved=2-3")) == b""
        assert camera.conversation.sound is None

    def test_a_camera_without_it_is_not_asked(self) -> None:
        """PLAY follows at once."""
        camera = with_sound(SDP)
        camera.answer(Transport=TRANSPORT, Session="42")
        assert camera.head.start.startswith("PLAY ")

    def test_datagrams_have_ports_of_their_own(self) -> None:
        """One pair for each track."""
        camera = with_sound(udp_port=5000, sound_port=5002)
        camera.answer(Transport="RTP/AVP;unicast;server_port=6000-6001", Session="42")
        assert camera.head.get("Transport") == "RTP/AVP;unicast;client_port=5002-5003"
        camera.answer(Transport="RTP/AVP;unicast;server_port=6002-6003")
        assert camera.conversation.sound is not None
        assert camera.conversation.sound.server_ports == (6002, 6003)
