"""Answers that say exactly one thing."""

from __future__ import annotations

import pytest
from aiortc.sdp import SessionDescription

from camrelay.fanout.webrtc.answer import Track, Transport, write_answer
from camrelay.fanout.webrtc.sdp import choose, choose_sound, parse_offer
from camrelay.model import AudioCodec
from offers import CHROMIUM, H264, TRACK, TRANSPORT, offer

#: The profile of a camera: Main, level 3.1.
MAIN = bytes.fromhex("4d401f")


def answer(data: bytes, profile: bytes = MAIN) -> tuple[str, SessionDescription]:
    found = parse_offer(data)
    text = write_answer(found, choose(found, profile), TRANSPORT, TRACK)
    return text, SessionDescription.parse(text)


class TestWriteAnswer:
    def test_the_video_is_sent_and_everything_needed_said(self) -> None:
        """One payload type with its RTX, all candidates, us as DTLS server and ICE-lite."""
        text, parsed = answer(CHROMIUM)

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
        _, parsed = answer(CHROMIUM)

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

        text, _ = answer(offer(H264, head=audio).replace(b"BUNDLE 0", b"BUNDLE a 0"))

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
        text, parsed = answer(offer(H264) + section.encode() + b"\r\n")

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

        text, _ = answer(offer(H264, head=audio).replace(b"BUNDLE 0", b"BUNDLE a 0"))

        assert "a b" not in text
