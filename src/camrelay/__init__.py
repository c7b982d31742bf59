"""camrelay: relays RTSP/ONVIF cameras to browsers over LL-HLS and WebRTC."""

__version__ = "0.1.0"
