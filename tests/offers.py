"""SDP offers, a browser's and small ones, and what they are answered with."""

from __future__ import annotations

from pathlib import Path

from camrelay.fanout.webrtc.answer import Track, Transport

CHROMIUM = (Path(__file__).parent / "data" / "offer_chromium_156_audio_video.sdp").read_bytes()

TRANSPORT = Transport("ours", "p" * 22, "AA:BB", (("192.0.2.1", 8189), ("2001:db8::1", 8189)))
TRACK = Track(111, 222, "cam")

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
