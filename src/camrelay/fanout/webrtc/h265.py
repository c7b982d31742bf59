"""H.265 NAL units as RTP payloads (RFC 7798), and what an offer must say to get them.

Without decoding order numbers, of which both sides know by their absence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

Bytes = bytes | memoryview

#: Bytes of a NAL unit's header, which every payload has in front (RFC 7798 §4.4).
HEADER_BYTES = 2

_AGGREGATE, _FRAGMENT = 48, 49
_FU_START, _FU_END = 0x80, 0x40

#: What the absence of a parameter means (RFC 7798 §7.1): Main, main tier, level 3.1.
_DEFAULTS = {"profile-id": "1", "tier-flag": "0", "level-id": "93"}


def aggregate(nal_units: Sequence[Bytes]) -> bytes:
    """An aggregation packet (§4.4.2): lowest layer and temporal layer of all, F if any has it."""
    forbidden = max(nal_unit[0] & 0x80 for nal_unit in nal_units)
    layer = min((nal_unit[0] & 1) << 5 | nal_unit[1] >> 3 for nal_unit in nal_units)
    temporal = min(nal_unit[1] & 7 for nal_unit in nal_units)
    parts: list[Bytes] = [bytes((forbidden | _AGGREGATE << 1 | layer >> 5, (layer & 31) << 3 | temporal))]
    for nal_unit in nal_units:
        parts += (len(nal_unit).to_bytes(2), nal_unit)
    return b"".join(parts)


def fragments(nal_unit: Bytes, payload_bytes: int) -> Iterator[bytes]:
    """Fragmentation units (§4.4.3) of `payload_bytes` each but the last."""
    header = bytes((nal_unit[0] & 0x81 | _FRAGMENT << 1, nal_unit[1]))
    kind = nal_unit[0] >> 1 & 0x3F
    step = payload_bytes - HEADER_BYTES - 1
    for at in range(HEADER_BYTES, len(nal_unit), step):
        flags = (_FU_START if at == HEADER_BYTES else 0) | (_FU_END if at + step >= len(nal_unit) else 0)
        yield header + bytes((flags | kind,)) + nal_unit[at : at + step]


def parameters(offered: Mapping[str, object]) -> str:
    """The fmtp of an answer to these offered parameters; "" when they ask for what is not done here."""
    if str(offered.get("tx-mode", "SRST")).upper() != "SRST":
        return ""
    values = {name: str(offered.get(name, default)) for name, default in _DEFAULTS.items()}
    if not all(value.isascii() and value.isdecimal() and len(value) <= 3 for value in values.values()):
        return ""
    return ";".join(f"{name}={value}" for name, value in values.items()) + ";tx-mode=SRST"


def accepts(answer: str, config: bytes) -> bool:
    """Whether a viewer with these `parameters` decodes a camera: the same profile and tier.

    Levels are not compared: cameras name high ones, and decoders play beyond theirs.

    Args:
        config: as VideoParams.config.
    """
    profile, tier = config[1] & 0x1F, config[1] >> 5 & 1
    return answer.startswith(f"profile-id={profile};tier-flag={tier};")
