"""The answer to an offer: written line by line, out of what was checked when the offer was read.

Only this is ever agreed: one video, H.264 or H.265, and perhaps its sound, bundled, multiplexed with RTCP,
sent by us.
"""

from __future__ import annotations

import msgspec

from camrelay.fanout.webrtc.sdp import ABS_SEND_TIME, Format, Offer, Section, SoundFormat


class Transport(msgspec.Struct, frozen=True):
    """Our side of the connection: `fingerprint` is the SHA-256 of the certificate, `candidates` host:port."""

    ufrag: str
    password: str
    fingerprint: str
    candidates: tuple[tuple[str, int], ...]


class Track(msgspec.Struct, frozen=True):
    """What is sent: SSRCs, and the names that tie them together. `sound` is None without any."""

    ssrc: int
    rtx_ssrc: int
    cname: str
    sound_ssrc: int = 0
    sound: SoundFormat | None = None


def write_answer(offer: Offer, form: Format, transport: Transport, track: Track) -> str:
    """The answer: the video section sends, audio too if there is sound, every other section is refused.

    All our candidates are in it (WHEP draft -03 §4.3.2), and the viewer is told to open DTLS: browsers then
    choose AES-GCM, and the relay never connects to an address somebody wrote into an offer.
    """
    body: list[str] = []
    bundled: list[str] = []
    for index, section in enumerate(offer.sections):
        if index == offer.video:
            bundled.append(section.mid)
            body += _video(section, offer, form, transport, track)
        elif index == offer.sound and track.sound is not None:
            bundled.append(section.mid)
            body += _sound(section, track.sound, transport, track)
        elif section.kind == "audio" and section.is_bundled:
            # Not refused: with max-bundle, Chromium cannot do without the section that comes first.
            bundled.append(section.mid)
            body += [*_media(section, section.fmt, transport), "a=inactive"]
            body += [f"a=rtpmap:{section.fmt} {section.encoding}"] if section.encoding else []
        else:
            body += [f"m={section.kind} 0 {section.protocol} {section.fmt}", "c=IN IP4 0.0.0.0"]
            body += [f"a=mid:{section.mid}", "a=inactive"]
    head = [
        "v=0",
        f"o=- {track.ssrc} 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(bundled)}",
        "a=ice-lite",
        f"a=msid-semantic: WMS {track.cname}",
    ]
    return "\r\n".join((*head, *body)) + "\r\n"


def _media(section: Section, formats: str, transport: Transport) -> list[str]:
    """The lines that every section of the bundle has."""
    host, port = transport.candidates[0]
    lines = [
        f"m={section.kind} {port} {section.protocol} {formats}",
        f"c=IN IP{6 if ':' in host else 4} {host}",
        f"a=mid:{section.mid}",
        "a=rtcp-mux",
        f"a=ice-ufrag:{transport.ufrag}",
        f"a=ice-pwd:{transport.password}",
        f"a=fingerprint:sha-256 {transport.fingerprint}",
        "a=setup:passive",
    ]
    for index, (address, at) in enumerate(transport.candidates):
        # RFC 8445 §5.1.2.1: type preference 126 for hosts, the first address preferred, component 1.
        priority = 126 << 24 | 65535 - index << 8 | 255
        lines.append(f"a=candidate:{index + 1} 1 udp {priority} {address} {at} typ host")
    return [*lines, "a=end-of-candidates"]


def _video(section: Section, offer: Offer, form: Format, transport: Transport, track: Track) -> list[str]:
    own = form.payload_type
    lines = [
        *_media(section, f"{own}" if form.rtx is None else f"{own} {form.rtx}", transport),
        "a=sendonly",
        "a=rtcp-rsize",
        f"a=msid:{track.cname} {track.cname}",
        f"a=rtpmap:{own} {form.encoding}",
        f"a=fmtp:{own} {form.parameters}",
        f"a=rtcp-fb:{own} nack",
        f"a=rtcp-fb:{own} nack pli",
        f"a=rtcp-fb:{own} ccm fir",
    ]
    if offer.abs_send_time_id:
        lines.append(f"a=extmap:{offer.abs_send_time_id} {ABS_SEND_TIME}")
    ssrcs = [track.ssrc]
    if form.rtx is not None:
        lines += [f"a=rtpmap:{form.rtx} rtx/90000", f"a=fmtp:{form.rtx} apt={own}"]
        lines.append(f"a=ssrc-group:FID {track.ssrc} {track.rtx_ssrc}")
        ssrcs.append(track.rtx_ssrc)
    for ssrc in ssrcs:
        lines += [f"a=ssrc:{ssrc} cname:{track.cname}", f"a=ssrc:{ssrc} msid:{track.cname} {track.cname}"]
    return lines


def _sound(section: Section, form: SoundFormat, transport: Transport, track: Track) -> list[str]:
    own = form.payload_type
    return [
        *_media(section, str(own), transport),
        "a=sendonly",
        f"a=msid:{track.cname} {track.cname}-sound",
        f"a=rtpmap:{own} {form.encoding}",
        f"a=ssrc:{track.sound_ssrc} cname:{track.cname}",
        f"a=ssrc:{track.sound_ssrc} msid:{track.cname} {track.cname}-sound",
    ]
