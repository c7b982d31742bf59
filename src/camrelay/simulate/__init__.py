"""Simulated cameras: a real RTSP/1.0 server that plays a generated H.264 picture with a running clock.

Nothing of the relay is used here, on purpose: what reads RTSP, RTP and H.264 in the relay is tested against
what writes it in this package.
"""
