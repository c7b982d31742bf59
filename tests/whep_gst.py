"""A viewer that is not ours: GStreamer's webrtcbin (libnice). Run it with the system's python3.

whep_gst.py URL SECONDS posts an offer, decodes what comes, and prints one line of JSON: pictures, decoder
complaints, seconds to the first picture, the largest gap between two, and how long ago the last one was.
"""

import json
import sys
import time
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402  the versions must be named first

CAPS = (
    "application/x-rtp,media=video,encoding-name=H264,payload=102,clock-rate=90000,"
    "packetization-mode=(string)1,profile-level-id=(string)42e01f,rtcp-fb-nack=true,rtcp-fb-nack-pli=true"
)


class Viewer:
    """One viewing."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.loop = GLib.MainLoop()
        self.times: list[float] = []
        self.complaints: list[str] = []
        self.pipeline = Gst.Pipeline()
        self.webrtc = Gst.ElementFactory.make("webrtcbin")
        self.webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.pipeline.add(self.webrtc)
        self.webrtc.connect("pad-added", self.on_pad)
        direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
        self.webrtc.emit("add-transceiver", direction, Gst.Caps.from_string(CAPS))
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_complaint)
        bus.connect("message::warning", self.on_complaint)

    def run(self, seconds: float) -> None:
        """Plays for so long after the start."""
        self.pipeline.set_state(Gst.State.PLAYING)
        self.started = time.monotonic()
        self.webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self.on_offer))
        GLib.timeout_add(int(seconds * 1000), self.loop.quit)
        self.loop.run()
        self.ended = time.monotonic()
        self.pipeline.set_state(Gst.State.NULL)

    def on_offer(self, promise: Gst.Promise) -> None:
        # The binding frees the offer with the reply it is part of: both are kept.
        self.reply = promise.get_reply()
        offer = self.reply.get_value("offer")
        self.webrtc.emit("set-local-description", offer, Gst.Promise.new())
        request = urllib.request.Request(
            self.url, offer.sdp.as_text().encode(), {"Content-Type": "application/sdp"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read().decode()
        _, sdp = GstSdp.SDPMessage.new_from_text(text)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.webrtc.emit("set-remote-description", answer, Gst.Promise.new())

    def on_pad(self, _: Gst.Element, pad: Gst.Pad) -> None:
        sink = Gst.parse_bin_from_description(
            "rtph264depay ! h264parse ! avdec_h264 ! fakesink name=sink sync=true signal-handoffs=true", True
        )
        sink.get_by_name("sink").connect("handoff", lambda *_: self.times.append(time.monotonic()))
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def on_complaint(self, _: Gst.Bus, message: Gst.Message) -> None:
        parse = message.parse_error if message.type == Gst.MessageType.ERROR else message.parse_warning
        self.complaints.append(parse()[0].message)

    def account(self) -> dict[str, object]:
        gaps = [after - before for before, after in zip(self.times, self.times[1:], strict=False)]
        return {
            "pictures": len(self.times),
            "complaints": self.complaints,
            "first_s": self.times[0] - self.started if self.times else None,
            "largest_gap_s": max(gaps, default=None),
            "silent_s": self.ended - self.times[-1] if self.times else None,
        }


def main() -> None:
    Gst.init(None)
    viewer = Viewer(sys.argv[1])
    viewer.run(float(sys.argv[2]))
    print(json.dumps(viewer.account()))


if __name__ == "__main__":
    main()
