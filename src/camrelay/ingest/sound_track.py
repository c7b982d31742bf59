"""A camera's sound as a track beside its pictures: chosen, set up and received, or done without.

Nothing about it is an error: a camera whose sound cannot be had plays its pictures.
"""

from __future__ import annotations

from collections.abc import Callable

from camrelay.ingest.audio import RtpSound, SoundDepacketizer, params_of
from camrelay.ingest.sdp import Description, Track
from camrelay.ingest.sound_clock import SenderReports, on_video_clock
from camrelay.ingest.transport import channels_of, server_ports_of, wish
from camrelay.model import AudioParams

TakePacket = Callable[[bytes, int, int], None]

#: The first channel asked for; the pictures have 0 and 1.
_CHANNEL = 2


class SoundTrack:
    """One track.

    Args:
        track: of the camera's SDP.
        params: what it is made of.
        url: where to set it up.
        udp_port: where its RTP datagrams are taken; None to have them on the connection.

    Attributes:
        packets: takes its RTP.
        reports, video_reports: take the RTCP of the sound and of the pictures.
        server_ports: where the camera takes datagrams; None when it did not say.
    """

    def __init__(self, track: Track, params: AudioParams, url: str, udp_port: int | None) -> None:
        self.params = params
        self.url = url
        self.packets = SoundDepacketizer(params, track.payload_type)
        self.reports, self.video_reports = SenderReports(), SenderReports()
        self.server_ports: tuple[int, int] | None = None
        self._udp_port = udp_port

    @property
    def wish(self) -> str:
        """The Transport header to ask with."""
        return wish(self._udp_port, _CHANNEL)

    def accept(self, transport: str, video_channels: tuple[int, int]) -> dict[int, TakePacket] | None:
        """Takes the camera's answer.

        Returns:
            Who takes what comes on which channel of the connection; None when that cannot be done.
        """
        if self._udp_port is not None:
            self.server_ports = server_ports_of(transport)
            return {}
        channels = channels_of(transport)
        if channels is None or set(channels) & set(video_channels):
            return None
        return {
            channels[0]: self.packets.packet,
            channels[1]: self.reports.packet,
            video_channels[1]: self.video_reports.packet,
        }

    def take(self) -> list[tuple[RtpSound, int | None]]:
        """What is complete, each with its time on the RTP clock of the pictures if that is known."""
        finished, self.packets.finished = self.packets.finished, []
        rate = self.params.clock_rate
        return [
            (unit, on_video_clock(unit.timestamp, rate, self.reports, self.video_reports))
            for unit in finished
        ]


def choose(
    description: Description, url_of: Callable[[Track], str], video_url: str, udp_port: int | None
) -> SoundTrack | None:
    """The first track of sound that can be relayed, and has an address of its own."""
    for track in description.tracks:
        params, url = params_of(track), url_of(track)
        if params is not None and url != video_url:
            return SoundTrack(track, params, url, udp_port)
    return None
