"""RTP packets of one H.265 track to access units (RFC 7798), by the rules of rtp.

Without decoding order numbers: a camera that announces them is not played.
"""

from __future__ import annotations

from camrelay.ingest.h265 import CODED, kind_of
from camrelay.ingest.rtp import Depacketizer

_AGGREGATE = 48
_FRAGMENT = 49
#: PACI and what is reserved: nobody asked for it.
_UNKNOWN = frozenset(range(50, 64))


class H265Depacketizer(Depacketizer):
    """Puts the packets of one H.265 track together."""

    def fragments(self, data: bytes, at: int, head: int) -> int:
        """Takes in nothing: `packet` does for cameras that are few."""
        return at

    def _goes_on(self, data: bytes, at: int, end: int) -> bytes | None:
        if at + 2 < end and data[at] >> 1 & 0x3F == _FRAGMENT and data[at + 2] < 0x80:
            return data[at + 3 : end]
        return None

    def _begins_picture(self, data: bytes, at: int, end: int) -> bool:
        """first_slice_segment_in_pic_flag is the first bit of a slice's header (H.265 §7.3.6.1)."""
        kind = data[at] >> 1 & 0x3F
        if kind == _FRAGMENT:
            if at + 3 >= end or not data[at + 2] & 0x80:
                return False
            return data[at + 2] & 0x3F not in CODED or data[at + 3] >= 0x80
        if kind == _AGGREGATE:
            at += 4
        return at + 2 < end and (data[at] >> 1 & 0x3F not in CODED or data[at + 2] >= 0x80)

    def _is_coded(self, nal_unit: bytes) -> bool:
        return kind_of(nal_unit) in CODED

    def _is_first_slice(self, coded: bytes) -> bool:
        return len(coded) > 2 and coded[2] >= 0x80

    def _take(self, data: bytes, at: int, end: int) -> None:
        self._spend(end - at)
        kind = data[at] >> 1 & 0x3F
        if kind == _FRAGMENT:
            fragment = data[at + 2] if at + 2 < end else 0
            if not fragment & 0x80:
                self._lose()
                return
            self._close()
            # The payload header with the type of what is fragmented (RFC 7798 §4.4.3).
            header = bytes((data[at] & 0x81 | (fragment & 0x3F) << 1, data[at + 1]))
            self._fragments = [header, data[at + 3 : end]]
        elif kind == _AGGREGATE:
            self._close()
            self._aggregate(data, at + 2, end)
        elif kind in _UNKNOWN:
            self._lose()
        else:
            self._close()
            self._nal_units.append(data[at:end])
