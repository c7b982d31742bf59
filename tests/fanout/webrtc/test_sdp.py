"""Offers of real browsers and of strangers."""

from __future__ import annotations

import contextlib

import pytest
from aiortc.sdp import H264Profile
from hypothesis import given
from hypothesis import strategies as st

from bounded import cpu_s
from builders import H265_PARAMS
from camrelay.errors import BadRequest, NegotiationFailed, PayloadTooLarge, ViewerError
from camrelay.fanout.webrtc.answer import write_answer
from camrelay.fanout.webrtc.sdp import (
    MAX_CANDIDATES,
    MAX_FEEDBACK_PAIRS,
    MAX_LINES,
    MAX_OFFER_BYTES,
    Format,
    Offer,
    choose,
    choose_h265,
    choose_sound,
    h264_profile,
    parse_offer,
)
from camrelay.model import AudioCodec
from offers import CHROMIUM, FMTP, H264, TRACK, TRANSPORT, offer

HIGH, MAIN, BASELINE = bytes.fromhex("64001f"), bytes.fromhex("4d401f"), bytes.fromhex("42c01f")

#: What one offer of a stranger may cost.
LIMIT_S = 0.01


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


class TestH265:
    MAIN = "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST"

    def test_is_chosen_by_profile_and_tier(self) -> None:
        """In the order of the offer, with what it said; what is no H.265 of ours is passed over."""
        found = parse_offer(
            offer(
                "45 H265/90000 tx-mode=MRST",
                f"46 H265/90000 {self.MAIN.replace('profile-id=1', 'profile-id=2')}",
                f"49 H265/90000 {self.MAIN}",
                H264,
            )
        )

        form = choose_h265(found, H265_PARAMS.config)

        assert [form.payload_type for form in found.formats] == [102]
        assert [form.payload_type for form in found.h265_formats] == [46, 49]
        assert (form.payload_type, form.encoding, form.profile) == (49, "H265/90000", None)
        assert "profile-id=1;" in form.parameters

    def test_a_browser_without_it_is_told(self) -> None:
        """What the camera sends, and what to do."""
        with pytest.raises(NegotiationFailed, match=r"H\.265 over WebRTC; use HLS"):
            choose_h265(parse_offer(offer(H264)), H265_PARAMS.config)

    def test_a_browser_without_h264_is_told(self) -> None:
        """It may know H.265 and nothing else of ours."""
        found = parse_offer(offer(f"49 H265/90000 {self.MAIN}"))
        with pytest.raises(NegotiationFailed, match=r"no H\.264"):
            choose(found, MAIN)


def test_sound_is_chosen_by_its_codec() -> None:
    """What the camera has, or nothing: AAC has no place in WebRTC."""
    found = parse_offer(CHROMIUM)
    sound = choose_sound(found, AudioCodec.OPUS)
    assert sound is not None
    assert sound.encoding == "opus/48000/2"
    assert choose_sound(found, AudioCodec.AAC) is None
