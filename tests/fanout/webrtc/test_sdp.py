"""Offers of real browsers and of strangers; answers that say exactly one thing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from aiortc.sdp import H264Profile, SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from bounded import cpu_s
from camrelay.errors import BadRequest, NegotiationFailed, PayloadTooLarge, ViewerError
from camrelay.fanout.webrtc.sdp import (
    MAX_CANDIDATES,
    MAX_FEEDBACK_PAIRS,
    MAX_LINES,
    MAX_OFFER_BYTES,
    Format,
    Offer,
    Track,
    Transport,
    choose,
    choose_sound,
    h264_profile,
    parse_offer,
    write_answer,
)
from camrelay.model import AudioCodec

CHROMIUM = (Path(__file__).parents[2] / "data" / "offer_chromium_156_audio_video.sdp").read_bytes()

HIGH, MAIN, BASELINE = bytes.fromhex("64001f"), bytes.fromhex("4d401f"), bytes.fromhex("42c01f")

TRANSPORT = Transport("ours", "p" * 22, "AA:BB", (("192.0.2.1", 8189), ("2001:db8::1", 8189)))
TRACK = Track(111, 222, "cam")

#: What one offer of a stranger may cost.
LIMIT_S = 0.01

FMTP = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id="


def offer(*codecs: str, section: str = "", head: str = "", kind: str = "video") -> bytes:
    """A small offer: each codec is "payload type encoding [fmtp]"."""
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=ice-ufrag:theirs",
        "a=ice-pwd:" + "q" * 22,
        "a=fingerprint:sha-256 AA:BB",
        "a=setup:actpass",
    ]
    lines += [head] if head else []
    lines += [
        f"m={kind} 9 UDP/TLS/RTP/SAVPF {' '.join(c.split()[0] for c in codecs)}",
        "a=mid:0",
        "a=rtcp-mux",
    ]
    for codec in codecs:
        payload_type, encoding, *fmtp = codec.split()
        lines.append(f"a=rtpmap:{payload_type} {encoding}")
        lines += [f"a=fmtp:{payload_type} {fmtp[0]}"] if fmtp else []
    lines += [section] if section else []
    return "\r\n".join(lines).encode() + b"\r\n"


H264 = f"102 H264/90000 {FMTP}42e01f"


class TestParseOffer:
    def test_chromium(self) -> None:
        """What Chromium 156 lists: five profiles with mode 1 of which one has no partner, RTX for all."""
        found = parse_offer(CHROMIUM)

        assert [(f.payload_type, f.profile.name[8:], f.rtx) for f in found.formats] == [
            (102, "BASELINE", 103),
            (108, "CONSTRAINED_BASELINE", 109),
            (116, "MAIN", 117),
            (41, "PREDICTIVE_HIGH_444", 42),
        ]
        assert found.abs_send_time_id == 2
        assert found.credentials.ufrag == "yRK5"
        assert found.credentials.fingerprints[0][0] == "sha-256"
        assert [(s.kind, s.mid, s.encoding, s.is_bundled) for s in found.sections] == [
            ("audio", "0", "opus/48000/2", True),
            ("video", "1", "VP8/90000", True),
        ]
        assert found.video == 1

    def test_a_small_offer(self) -> None:
        """Session-level credentials, no RTX, no extension, upper-case profile."""
        found = parse_offer(offer(f"102 H264/90000 {FMTP}42E01F"))

        (form,) = found.formats
        assert (form.payload_type, form.rtx, form.parameters) == (102, None, f"{FMTP}42E01F")
        assert found.abs_send_time_id == 0

    def test_without_a_profile_it_is_baseline(self) -> None:
        """RFC 6184 §8.1 says what the absence means."""
        (form,) = parse_offer(offer("102 H264/90000 packetization-mode=1")).formats

        assert form.profile == H264Profile.PROFILE_BASELINE

    def test_what_cannot_be_used_is_passed_over(self) -> None:
        """Mode 0, another clock, a profile that is none, a type without a name, other codecs."""
        found = parse_offer(
            offer(
                "96 VP8/90000",
                "97 H264/90000 packetization-mode=0;profile-level-id=42e01f",
                "98 H264/48000 packetization-mode=1;profile-level-id=42e01f",
                "99 H264/90000 packetization-mode=1;profile-level-id=nonsense",
                H264,
            ).replace(b"SAVPF 96", b"SAVPF 120 96")
        )

        assert [form.payload_type for form in found.formats] == [102]

    @pytest.mark.parametrize("number", [0, 15, 300])
    def test_an_extension_id_that_needs_more_than_a_nibble_is_not_used(self, number: int) -> None:
        """Only ids 1 to 14 have the one-byte form."""
        line = f"a=extmap:{number} http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"

        assert parse_offer(offer(H264, section=line)).abs_send_time_id == 0

    def test_one_section_may_speak_for_the_bundle(self) -> None:
        """With max-bundle only the first section has credentials (RFC 8843 §7.1.3)."""
        credentials = "a=ice-ufrag:tagged\r\na=ice-pwd:x\r\na=fingerprint:sha-256 AA:BB\r\na=setup:active"
        audio = f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:a\r\na=rtcp-mux\r\n{credentials}"
        text = offer(H264, head=audio)
        head, _, rest = text.partition(b"a=ice-ufrag:theirs")
        _, _, rest = rest.partition(b"a=setup:actpass\r\n")

        found = parse_offer(head + rest)

        assert found.credentials.ufrag == "tagged"
        assert found.video == 1

    @pytest.mark.parametrize(
        ("data", "error", "text"),
        [
            (b"x" * (MAX_OFFER_BYTES + 1), PayloadTooLarge, "16384 bytes"),
            (offer(H264) + b"m=audio 9 X/Y 0\r\nm=video 9 X/Y 0\r\n", BadRequest, "2 media sections"),
            (offer(H264) + b"a=candidate:\r\n" * (MAX_CANDIDATES + 1), BadRequest, "32 candidates"),
            (offer(H264) + b"a=x\r\n" * MAX_LINES, BadRequest, "so many lines"),
            (
                offer(H264) + b"a=rtpmap:9 a/1\r\n" * 99 + b"a=rtcp-fb:9 x\r\n" * 99,
                BadRequest,
                "so many lines",
            ),
            (b"", NegotiationFailed, "no video"),
            (b"\xff\xfe", NegotiationFailed, "not an SDP offer"),
            (b"m=nonsense\r\n", NegotiationFailed, "not an SDP offer"),
            (offer(H264, section="a=candidate:1"), NegotiationFailed, "not an SDP offer"),
            (offer(H264, section="a=sendonly"), NegotiationFailed, "no video section that receives"),
            (offer("111 opus/48000/2", kind="audio"), NegotiationFailed, "no video"),
            (offer(H264).replace(b"a=rtcp-mux\r\n", b""), NegotiationFailed, "multiplex"),
            (offer("96 VP8/90000"), NegotiationFailed, "no H.264"),
            (offer(H264).replace(b"actpass", b"passive"), NegotiationFailed, "ICE and DTLS"),
            (offer(H264).replace(b"a=setup:actpass\r\n", b""), NegotiationFailed, "ICE and DTLS"),
            (offer(H264).replace(b"sha-256", b"md5"), NegotiationFailed, "ICE and DTLS"),
            (offer(H264).replace(b":theirs", b":x"), NegotiationFailed, "ICE and DTLS"),
            (offer(H264).replace(b"a=mid:0", b"a=mid:0 1"), NegotiationFailed, "proper name"),
            (offer(H264).replace(b"a=mid:0\r\n", b""), NegotiationFailed, "proper name"),
        ],
    )
    def test_what_cannot_be_answered_is_refused(
        self, data: bytes, error: type[ViewerError], text: str
    ) -> None:
        """Too much of anything before aiortc sees it; and each thing without which nothing can be sent."""
        with pytest.raises(error, match=text):
            parse_offer(data)


class TestChoose:
    @pytest.mark.parametrize(
        ("profile_level_id", "payload_type"),
        [
            (BASELINE, 108),
            (MAIN, 116),
            (HIGH, 41),
            (bytes.fromhex("420029"), 102),
            (bytes.fromhex("f4001f"), 41),
        ],
    )
    def test_the_camera_s_profile_if_it_is_offered(self, profile_level_id: bytes, payload_type: int) -> None:
        """Chromium has no High; the larger High 4:4:4 stands for it."""
        assert choose(parse_offer(CHROMIUM), profile_level_id).payload_type == payload_type

    def test_high_where_high_is_offered(self) -> None:
        """Safari lists it (640c1f is constrained High), and is black when told baseline."""
        found = parse_offer(offer(H264, f"104 H264/90000 {FMTP}640c1f"))

        assert choose(found, HIGH).payload_type == 104

    def test_the_first_of_equals(self) -> None:
        """The offer's own order of preference decides."""
        found = parse_offer(offer(f"100 H264/90000 {FMTP}42e01f", f"101 H264/90000 {FMTP}42e00a"))

        assert choose(found, MAIN).payload_type == 100

    @pytest.mark.parametrize(
        ("digits", "profile"),
        [
            ("64003c", H264Profile.PROFILE_HIGH),
            ("4d0028", H264Profile.PROFILE_MAIN),
            ("6e0028", H264Profile.PROFILE_HIGH),
        ],
    )
    def test_levels_and_profiles_nobody_knows(self, digits: str, profile: H264Profile) -> None:
        """Level 6.0 is still its profile; High 10 counts as High."""
        assert h264_profile(digits) == profile


class TestWriteAnswer:
    def answer(self, data: bytes, profile: bytes = MAIN) -> tuple[str, SessionDescription]:
        found = parse_offer(data)
        text = write_answer(found, choose(found, profile), TRANSPORT, TRACK)
        return text, SessionDescription.parse(text)

    def test_the_video_is_sent_and_everything_needed_said(self) -> None:
        """One payload type with its RTX, all candidates, us as DTLS server and ICE-lite."""
        text, parsed = self.answer(CHROMIUM)

        video = parsed.media[1]
        assert (video.direction, video.rtcp_mux, video.rtp.muxId) == ("sendonly", True, "1")
        assert [codec.payloadType for codec in video.rtp.codecs] == [116, 117]
        assert video.rtp.codecs[1].parameters == {"apt": 116}
        assert [f"{fb.type} {fb.parameter}" for fb in video.rtp.codecs[0].rtcpFeedback] == [
            "nack None",
            "nack pli",
            "ccm fir",
        ]
        assert video.ice is not None
        assert video.ice.iceLite
        assert video.dtls is not None
        assert video.dtls.role == "server"
        assert [(c.ip, c.port, c.type) for c in video.ice_candidates] == [
            ("192.0.2.1", 8189, "host"),
            ("2001:db8::1", 8189, "host"),
        ]
        assert video.ice_candidates[0].priority > video.ice_candidates[1].priority
        assert video.ice_candidates_complete
        assert [(info.ssrc, info.cname) for info in video.ssrc] == [(111, "cam"), (222, "cam")]
        assert "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time" in text

    def test_audio_stays_silent_but_in_the_bundle(self) -> None:
        """Chromium with max-bundle cannot lose the section that carries the transport."""
        _, parsed = self.answer(CHROMIUM)

        audio = parsed.media[0]
        assert (audio.direction, audio.port) == ("inactive", 8189)
        assert [(codec.name, codec.channels) for codec in audio.rtp.codecs] == [("opus", 2)]
        assert parsed.group[0].items == ["0", "1"]

    @pytest.mark.parametrize(
        ("codec", "payload_type", "name"),
        [(AudioCodec.OPUS, 111, "opus"), (AudioCodec.PCMU, 0, "PCMU"), (AudioCodec.PCMA, 8, "PCMA")],
    )
    def test_sound_is_sent_where_the_viewer_can_hear_it(
        self, codec: AudioCodec, payload_type: int, name: str
    ) -> None:
        """In the same bundle and under the same name as the pictures, so that both play in step."""
        found = parse_offer(CHROMIUM)
        sound = choose_sound(found, codec)
        track = Track(TRACK.ssrc, TRACK.rtx_ssrc, TRACK.cname, 77, sound)

        text = write_answer(found, choose(found, MAIN), TRANSPORT, track)

        audio, video = SessionDescription.parse(text).media
        assert (audio.direction, audio.rtcp_mux, audio.rtp.muxId) == ("sendonly", True, "0")
        assert [(c.payloadType, c.name) for c in audio.rtp.codecs] == [(payload_type, name)]
        assert [(info.ssrc, info.cname) for info in audio.ssrc] == [(77, TRACK.cname)]
        assert audio.msid.split()[0] == video.msid.split()[0]

    def test_sound_that_was_not_asked_for_is_not_sent(self) -> None:
        """AAC is in no offer, a section that only sends hears nothing, and so does one outside the bundle."""
        assert choose_sound(parse_offer(CHROMIUM), AudioCodec.AAC) is None
        deaf = CHROMIUM.replace(b"a=recvonly", b"a=sendonly", 1)
        assert choose_sound(parse_offer(deaf), AudioCodec.OPUS) is None
        apart = CHROMIUM.replace(b"a=group:BUNDLE 0 1", b"a=group:BUNDLE 1")
        assert choose_sound(parse_offer(apart), AudioCodec.OPUS) is None

    def test_a_static_payload_type_needs_no_name(self) -> None:
        """G.711 is 0 and 8 by RFC 3551."""
        audio = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:a\r\na=rtcp-mux"

        text, _ = self.answer(offer(H264, head=audio).replace(b"BUNDLE 0", b"BUNDLE a 0"))

        assert "a=rtpmap:0" not in text
        assert "m=audio 8189 UDP/TLS/RTP/SAVPF 0" in text

    @pytest.mark.parametrize(
        "section",
        [
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d",
            "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:d",
        ],
    )
    def test_other_sections_are_refused(self, section: str) -> None:
        """A data channel, and audio outside the bundle."""
        text, parsed = self.answer(offer(H264) + section.encode() + b"\r\n")

        assert [media.port for media in parsed.media] == [8189, 0]
        assert "a=group:BUNDLE 0\r\n" in text

    def test_nothing_is_said_that_was_not_offered(self) -> None:
        """No RTX, no extension, and IPv6 written as such."""
        found = parse_offer(offer(H264))

        text = write_answer(found, found.formats[0], Transport("o", "p", "AA", (("::1", 9),)), TRACK)

        assert "rtx" not in text
        assert "extmap" not in text
        assert "222" not in text
        assert "c=IN IP6 ::1" in text

    def test_a_name_that_is_no_token_is_not_repeated(self) -> None:
        """Nobody writes lines of his own into the answer: the codec's name stays out."""
        audio = "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:a\r\na=rtcp-mux\r\na=rtpmap:96 a b/8000"

        text, _ = self.answer(offer(H264, head=audio).replace(b"BUNDLE 0", b"BUNDLE a 0"))

        assert "a b" not in text


LINES = [
    *CHROMIUM.decode().splitlines(),
    *offer(H264).decode().splitlines(),
    "a=mid:\x0bx",
    "m=video 0 X 300",
]


def answer_quickly_if_possible(data: bytes) -> None:
    assert cpu_s(lambda: answer_if_possible(data), LIMIT_S) <= LIMIT_S


def answer_if_possible(data: bytes) -> None:
    with contextlib.suppress(ViewerError):
        found: Offer = parse_offer(data)
        form: Format = choose(found, HIGH)
        text = write_answer(found, form, TRANSPORT, TRACK)
        assert text.isascii()
        assert len(text.splitlines()) == text.count("\r\n")


def test_the_worst_that_is_read_does_not_take_long() -> None:
    """As many payload types and feedback lines as the limits allow, which aiortc compares each with each."""
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    lines.append("m=video 9 UDP/TLS/RTP/SAVPF " + " ".join(map(str, range(96, 128))))
    lines += [f"a=rtpmap:{96 + index % 32} H264/90000" for index in range(90)]
    lines += [f"a=rtcp-fb:{96 + index % 32} nack" for index in range(MAX_FEEDBACK_PAIRS // 90)]

    answer_quickly_if_possible("\r\n".join(lines).encode())


@given(st.binary(max_size=3000))
def test_noise_is_refused(data: bytes) -> None:
    """Nothing but errors of the viewer's, whatever the bytes."""
    answer_quickly_if_possible(data)


@given(st.lists(st.sampled_from(LINES), max_size=60))
def test_real_lines_in_a_wrong_order_are_answered_or_refused(lines: list[str]) -> None:
    """Nothing but errors of the viewer's, and no line in the answer that we did not write."""
    answer_quickly_if_possible("\r\n".join(lines).encode())


@given(st.data())
def test_an_offer_with_a_changed_line_is_answered_or_refused(data: st.DataObject) -> None:
    """One line replaced by noise, the rest as Chromium wrote it."""
    lines = CHROMIUM.splitlines()
    lines[data.draw(st.integers(0, len(lines) - 1))] = data.draw(st.binary(max_size=80))
    answer_quickly_if_possible(b"\r\n".join(lines))
