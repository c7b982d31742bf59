"""Who gets what a camera sends. No call may block: whoever calls reads other cameras too."""

from __future__ import annotations

from typing import Protocol

from camrelay.errors import SourceError
from camrelay.ingest.audio import RtpSound
from camrelay.ingest.rtp import RtpUnit
from camrelay.ingest.sdp import Description, Track
from camrelay.model import AudioParams


class Hearer(Protocol):
    """Who gets a camera's sound."""

    def sound_opened(self, params: AudioParams) -> None:
        """The camera plays sound too; comes before Player.opened."""
        ...

    def sound(self, unit: RtpSound, video_timestamp: int | None) -> None:
        """A packet's worth of it, with its time on the RTP clock of the pictures if that is known."""
        ...

    def sound_dropped(self, packets: int) -> None:
        """So many packets could not be used."""
        ...


class Player(Protocol):
    """Who gets a camera's pictures."""

    def opened(self, description: Description, track: Track) -> None:
        """The camera plays this track."""
        ...

    def access_unit(self, unit: RtpUnit) -> None:
        """An access unit, or one without NAL units where packets were lost."""
        ...

    def ended(self, error: SourceError) -> None:
        """The last call: nothing is left of the connection."""
        ...
