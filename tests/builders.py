"""Valid values for tests: override only what the test is about."""

from __future__ import annotations

from camrelay.model import CLOCK_RATE, AccessUnit, AudioCodec, AudioParams, AudioUnit, Codec, VideoParams

#: When the first access unit of a test arrives.
ARRIVED_US = 1_700_000_000_000_000

#: High profile, 4:2:0, 8 bit, 25 fps, as x264 writes them: level 3.0 at 640 x 360, level 3.1 at 1280 x 720.
SPS_360P = bytes.fromhex("6764001eacb201405ff2c2000003000200000300651e2c5c90")
SPS_720P = bytes.fromhex("6764001facb200a00b7420000003002000000651e30649")
PPS = bytes.fromhex("68ebc3cb22c0")


#: libx265: Main, 320x180.
H265_VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003cba0240")
H265_SPS = bytes.fromhex("42010101600000030090000003000003003ca00a080c1f3e5ba4a4c2e68080000003008000000c84")
H265_PPS = bytes.fromhex("4401c073c189")
H265_PARAMS = VideoParams(
    codec=Codec.H265,
    sps=(H265_SPS,),
    pps=(H265_PPS,),
    width=320,
    height=180,
    rfc6381="hvc1.1.6.L60.90",
    vps=(H265_VPS,),
    config=bytes.fromhex("0101600000009000000000003cf000fcfdf8f800000f"),
)


def make_params(
    *,
    sps: bytes = SPS_360P,
    pps: bytes = PPS,
    frame_rate: float | None = 25.0,
    audio: AudioParams | None = None,
) -> VideoParams:
    """What a decoder must know of a 640 x 360 stream, or of a 1280 x 720 one with `sps=SPS_720P`."""
    width, height = (1280, 720) if sps == SPS_720P else (640, 360)
    return VideoParams(
        codec=Codec.H264,
        sps=(sps,),
        pps=(pps,),
        width=width,
        height=height,
        rfc6381=f"avc1.{sps[1:4].hex()}",
        frame_rate=frame_rate,
        audio=audio,
    )


PARAMS = make_params()


def make_au(
    dts: int = 0,
    *,
    pts: int | None = None,
    is_key: bool = False,
    size: int = 100,
    params: VideoParams = PARAMS,
    discontinuity: bool = False,
) -> AccessUnit:
    """An access unit of one slice NAL unit of `size` bytes, its length included, that arrives at its time."""
    nal_unit = bytes([0x65 if is_key else 0x41]).ljust(size - 4, b"\x80")
    return AccessUnit(
        pts=dts if pts is None else pts,
        dts=dts,
        is_key=is_key,
        data=len(nal_unit).to_bytes(4, "big") + nal_unit,
        params=params,
        arrived_us=ARRIVED_US + dts * 1_000_000 // CLOCK_RATE,
        discontinuity=discontinuity,
    )


def make_gop(
    dts: int = 0,
    *,
    units: int = 25,
    fps: int = 25,
    size: int = 100,
    params: VideoParams = PARAMS,
    discontinuity: bool = False,
) -> list[AccessUnit]:
    """A key frame and the access units that follow it, evenly spaced."""
    return [
        make_au(
            dts + i * CLOCK_RATE // fps,
            is_key=i == 0,
            size=size,
            params=params,
            discontinuity=discontinuity and i == 0,
        )
        for i in range(units)
    ]


#: 48 kHz AAC-LC, one channel.
AAC = AudioParams(AudioCodec.AAC, 48_000, 1, bytes.fromhex("1188"))
OPUS = AudioParams(AudioCodec.OPUS, 48_000, 2)
PCMA = AudioParams(AudioCodec.PCMA, 8_000, 1)


def make_sound(
    pts: int = 0, *, data: bytes = b"sound", duration: int = 1024, params: AudioParams = AAC
) -> AudioUnit:
    """A packet's worth of sound at a time of the pictures."""
    return AudioUnit(pts, duration, data, params)
