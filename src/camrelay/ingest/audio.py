"""RTP packets of one audio track to what players take: RFC 3640 (AAC), RFC 7587 (Opus), RFC 3551 (G.711).

Sound is worth less than pictures: whatever is odd is left out, counted, and never an error.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from camrelay.ingest.rtp import payload_range
from camrelay.ingest.sdp import Track
from camrelay.model import AudioCodec, AudioParams

#: 6144 bits a channel is what AAC allows (ISO/IEC 14496-3 §4.5.1); an Opus packet has 1275 bytes at most, and
#: G.711 this much in a second.
MAX_UNIT_BYTES = 8_000
#: One RTP packet of AAC holds a few access units; more than this is noise.
MAX_UNITS_PER_PACKET = 64
#: Samples of an AAC access unit, in the form that everybody uses.
AAC_SAMPLES = 1024

_unpack_header = struct.Struct(">BBHII").unpack_from
_HEADER_BYTES = 12

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_AAC_LC = 2
#: Opus frame sizes by configuration (RFC 6716 §3.1) in samples of 48 kHz.
_OPUS_SILK, _OPUS_HYBRID, _OPUS_CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)


class RtpSound(NamedTuple):
    """A packet's worth of sound as it came: the camera's own timestamp, and how many samples it lasts."""

    timestamp: int
    duration: int
    data: bytes


def params_of(track: Track) -> AudioParams | None:
    """What a track's SDP says of its sound; None for what is not relayed."""
    if track.kind != "audio":
        return None
    if track.codec == "OPUS" and track.clock_rate == 48_000:
        return AudioParams(AudioCodec.OPUS, 48_000, 2)
    if track.codec in ("PCMU", "PCMA") and track.clock_rate == 8_000:
        return AudioParams(AudioCodec(track.codec.lower()), 8_000, 1)
    if track.codec == "MPEG4-GENERIC" and track.format.get("mode", "").lower() == "aac-hbr":
        return _aac(track)
    return None


def _aac(track: Track) -> AudioParams | None:
    try:
        config = bytes.fromhex(track.format.get("config", ""))
    except ValueError:
        return None
    bits = int.from_bytes(config[:2].ljust(2, b"\0"), "big")
    kind, rate, channels, is_short = bits >> 11, bits >> 7 & 15, bits >> 3 & 15, bits >> 2 & 1
    if kind != _AAC_LC or rate >= len(_AAC_RATES) or channels not in (1, 2) or is_short:
        # What few cameras send, and fewer browsers play.
        return None
    return AudioParams(AudioCodec.AAC, _AAC_RATES[rate], channels, config)


class SoundDepacketizer:
    """Puts the packets of one track together.

    Attributes:
        finished: what is complete; whoever uses it empties it.
        dropped: packets that were none, came late, or are in parts that do not fit.
    """

    def __init__(self, params: AudioParams, payload_type: int) -> None:
        self.finished: list[RtpSound] = []
        self.dropped = 0
        self._payload_type = payload_type
        self._take = {AudioCodec.AAC: self._take_aac, AudioCodec.OPUS: self._take_opus}.get(
            params.codec, self._take_samples
        )
        self._ssrc = -1
        self._expected = 0
        #: The parts of an AAC access unit that is larger than a packet, with its timestamp and size.
        self._parts: list[bytes] = []
        self._parts_of = (0, 0)

    def packet(self, data: bytes, begin: int, end: int) -> None:
        """Takes in the RTP packet that is data[begin:end]."""
        if end - begin < _HEADER_BYTES or data[begin] >> 6 != 2:
            self.dropped += 1
            return
        _, second, sequence, timestamp, ssrc = _unpack_header(data, begin)
        if second & 0x7F != self._payload_type:
            return
        if ssrc != self._ssrc:
            self._ssrc, self._expected = ssrc, sequence
        if (sequence - self._expected) & 0xFFFF >= 0x8000:
            # Late. A camera that counts anew is believed with its next packet.
            self._expected = (sequence + 1) & 0xFFFF
            self.dropped += 1
            return
        self._expected = (sequence + 1) & 0xFFFF
        at, end = payload_range(data, begin, end)
        payload = data[at:end]
        if not payload or not self._take(payload, timestamp):
            self.dropped += 1

    def _take_samples(self, payload: bytes, timestamp: int) -> bool:
        return self._finish(RtpSound(timestamp, len(payload), payload))

    def _take_opus(self, payload: bytes, timestamp: int) -> bool:
        samples = _opus_samples(payload)
        return samples > 0 and self._finish(RtpSound(timestamp, samples, payload))

    def _take_aac(self, payload: bytes, timestamp: int) -> bool:
        """AU headers of 13 bits of size and 3 of index, then the access units (RFC 3640 §3.3.6)."""
        head_bits = int.from_bytes(payload[:2], "big")
        count, at = head_bits // 16, 2 + head_bits // 8
        if head_bits % 16 or not 0 < count <= MAX_UNITS_PER_PACKET or at >= len(payload):
            return False
        sizes = [int.from_bytes(payload[n : n + 2], "big") >> 3 for n in range(2, at, 2)]
        if count == 1 and sizes[0] > len(payload) - at:
            return self._take_part(payload[at:], timestamp, sizes[0])
        if at + sum(sizes) > len(payload):
            return False
        for number, size in enumerate(sizes):
            unit = RtpSound(timestamp + number * AAC_SAMPLES, AAC_SAMPLES, payload[at : at + size])
            if not size or not self._finish(unit):
                return False
            at += size
        return True

    def _take_part(self, part: bytes, timestamp: int, size: int) -> bool:
        """A piece of an access unit that is larger than a packet."""
        if self._parts_of != (timestamp, size):
            self._parts, self._parts_of = [], (timestamp, size)
        self._parts.append(part)
        length = sum(map(len, self._parts))
        if length < size:
            return True
        whole, self._parts = b"".join(self._parts), []
        return length == size and self._finish(RtpSound(timestamp, AAC_SAMPLES, whole))

    def _finish(self, unit: RtpSound) -> bool:
        if len(unit.data) > MAX_UNIT_BYTES:
            return False
        self.finished.append(unit)
        return True


def _opus_samples(packet: bytes) -> int:
    """How long an Opus packet lasts (RFC 6716 §3.1, §3.2), 0 for one that is none."""
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        size = _OPUS_SILK[config & 3]
    else:
        size = _OPUS_HYBRID[config & 1] if config < 16 else _OPUS_CELT[config & 3]
    frames = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[code]
    # §3.2.5: at most 120 ms.
    return size * frames if size * frames <= 5760 else 0
