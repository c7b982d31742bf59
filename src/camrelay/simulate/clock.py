"""The send time inside every access unit of a simulated camera.

It is an SEI message user_data_unregistered (H.264 §D.1.7, H.265 §D.2.7): our UUID, then UTC microseconds as
16 hexadecimal digits. Neither can contain a zero byte, so no emulation prevention byte is ever needed, the
digits can be overwritten in place, and a search of the raw bytes finds them in Annex B as well as in AVCC.
"""

from __future__ import annotations

import re

#: Fixed and ours; no zero byte in it.
UUID = bytes.fromhex("c3a17e1ac10c4b8e9d5a5e2d71b6f4a9")

DIGITS = 16

#: NAL unit headers of an SEI, in H.264 (type 6) and of a prefix SEI in H.265 (type 39).
H264_HEADER = bytes((6,))
H265_HEADER = bytes((39 << 1, 1))

#: Payload type 5, payload size 32 (H.264 §7.3.2.3.1).
_OPENING = bytes((5, len(UUID) + DIGITS)) + UUID

#: Where the digits stand behind the header of the NAL unit.
DIGITS_AT = len(_OPENING)

_MESSAGE = re.compile(re.escape(_OPENING) + rb"([0-9a-f]{16})\x80", re.DOTALL)


def digits(sent_us: int) -> bytes:
    """UTC microseconds as they stand in the NAL unit."""
    return b"%016x" % sent_us


def sei_nal_unit(sent_us: int, header: bytes = H264_HEADER) -> bytes:
    """The whole NAL unit, without start code or length."""
    return header + _OPENING + digits(sent_us) + b"\x80"


def sent_us(access_unit: bytes) -> int | None:
    """When the simulated camera sent this access unit, in UTC microseconds.

    Args:
        access_unit: Annex B or AVCC, whole.

    Returns:
        None when no simulated camera made it.
    """
    found = _MESSAGE.search(access_unit)
    return int(found[1], 16) if found else None
