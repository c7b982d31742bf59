"""What a simulated camera sounds like: a beep every second, encoded when it is asked for.

Beside `clip` the only place of the simulator that knows an encoder. Unlike pictures it takes milliseconds, so
nothing is kept on disk.
"""

from __future__ import annotations

import array
import functools
import math
from fractions import Fraction

import av

from camrelay.errors import ConfigError
from camrelay.simulate.options import Sound
from camrelay.simulate.soundtrack import Tone

#: Name in libav, RTP clock rate, payload type (RFC 3551 §6 fixes those below 96), bits per second.
_ENCODERS = {
    "aac": ("aac", 48_000, 97, 64_000),
    "opus": ("libopus", 48_000, 98, 32_000),
    "pcmu": ("pcm_mulaw", 8_000, 0, 64_000),
    "pcma": ("pcm_alaw", 8_000, 8, 64_000),
}
#: 20 ms, as most encoders of speech send it; AAC has packets of its own length.
_PACKETS_PER_SECOND = 50
_BEEP_HZ = 440
_LOUDNESS = 8_000


@functools.cache
def tone(sound: Sound) -> Tone | None:
    """A loop of about a second, None for a camera without sound."""
    if sound == "none":
        return None
    name, rate, payload_type, bit_rate = _ENCODERS[sound]
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.bit_rate = rate, "mono", bit_rate
    context.format = "fltp" if sound == "aac" else "s16"
    context.time_base = Fraction(1, rate)
    context.open()
    size = context.frame_size or rate // _PACKETS_PER_SECOND
    packets: list[bytes] = []
    for at in range(0, rate, size):
        frame = av.AudioFrame(format=context.format.name, layout="mono", samples=size)
        frame.planes[0].update(_beep(at, size, rate, is_float=sound == "aac"))
        frame.sample_rate, frame.pts, frame.time_base = rate, at, context.time_base
        packets += map(bytes, context.encode(frame))
    if not packets:
        raise ConfigError(f"this machine cannot encode {sound}")
    config = bytes(context.extradata or b"").hex()
    return Tone(
        name={"aac": "MPEG4-GENERIC/48000/1", "opus": "opus/48000/2"}.get(sound, f"{sound.upper()}/8000"),
        payload_type=payload_type,
        clock_rate=rate,
        samples=size,
        payloads=tuple(map(_framed, packets)) if sound == "aac" else tuple(packets),
        format=f"streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;"
        f"config={config}"
        if sound == "aac"
        else "",
    )


def _beep(at: int, size: int, rate: int, *, is_float: bool) -> bytes:
    samples = [
        _LOUDNESS * math.sin(2 * math.pi * _BEEP_HZ * n / rate) * (n % rate < rate // 4)
        for n in range(at, at + size)
    ]
    if is_float:
        return array.array("f", [sample / 32768 for sample in samples]).tobytes()
    return array.array("h", map(int, samples)).tobytes()


def _framed(access_unit: bytes) -> bytes:
    """One access unit behind one header of 16 bits (RFC 3640 §3.3.6)."""
    return bytes((0, 16)) + (len(access_unit) << 3).to_bytes(2, "big") + access_unit
