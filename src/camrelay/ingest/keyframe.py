"""A key frame as a decoder takes it: everything in one message, nothing remembered."""

from __future__ import annotations

import msgspec

from camrelay.ingest.h264 import avcc_nal_units
from camrelay.model import AccessUnit

#: Beyond it a JPEG is bigger than what it is looked at for.
MAX_WIDTH = 1_920

_START_CODE = b"\x00\x00\x00\x01"


class KeyFrame(msgspec.Struct, frozen=True):
    """One coded picture. `codec` is libav's name; `data` stands alone, but for `extradata` where given."""

    codec: str
    data: bytes
    extradata: bytes = b""
    max_width: int = MAX_WIDTH


def from_access_unit(au: AccessUnit) -> KeyFrame:
    """The key frame that an access unit is: its parameter sets before its NAL units (Annex B)."""
    nal_units = (*au.params.vps, *au.params.sps, *au.params.pps, *avcc_nal_units(au.data))
    name = {"h265": "hevc"}.get(au.params.codec, au.params.codec)
    return KeyFrame(name, b"".join(_START_CODE + nal_unit for nal_unit in nal_units))
