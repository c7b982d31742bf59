"""A camera that is not ours: GStreamer's RTSP server with x264enc. Run it with the system's python3.

Prints "port N" once it listens, then serves rtsp://127.0.0.1:N/cam until it is killed.
"""

import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402  the versions must be named first


def pipeline(args: argparse.Namespace) -> str:
    """The launch line of the stream: a test picture with a clock, and a tone when asked for."""
    # Libx264 signals main and high only when it uses what they are for: not with its fastest preset.
    encoder = (
        f"x264enc speed-preset=superfast dct8x8={str(args.profile == 'high').lower()} bitrate={args.kbps} "
        f"key-int-max={args.key_int_max} bframes={args.b_frames} b-adapt=false "
        "rc-lookahead=0 sync-lookahead=0"
    )
    video = (
        "videotestsrc is-live=true pattern=ball ! timeoverlay font-desc=Sans,32 "
        f"! video/x-raw,width={args.width},height={args.height},framerate={args.fps}/1,format=I420 "
        f"! {encoder} ! video/x-h264,profile={args.profile} ! rtph264pay name=pay0 pt=96 config-interval=-1"
    )
    audio = "audiotestsrc is-live=true wave=ticks ! alawenc ! rtppcmapay name=pay1 pt=8"
    return f"( {video} {audio if args.audio else ''} )"


def protect(server: GstRtspServer.RTSPServer, factory: GstRtspServer.RTSPMediaFactory, secret: str) -> None:
    """Asks for "user:password" by Digest."""
    user, _, password = secret.partition(":")
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_role("viewer")
    permissions.add_permission_for_role("viewer", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
    permissions.add_permission_for_role("viewer", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
    factory.set_permissions(permissions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--kbps", type=int, default=1000)
    parser.add_argument("--key-int-max", type=int, default=50)
    parser.add_argument("--b-frames", type=int, default=0)
    parser.add_argument("--profile", default="constrained-baseline")
    parser.add_argument("--audio", action="store_true")
    parser.add_argument("--secret", default="", help="user:password")
    args = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(args.port))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline(args))
    factory.set_shared(True)
    if args.secret:
        protect(server, factory, args.secret)
    server.get_mount_points().add_factory("/cam", factory)
    if not server.attach(None):
        sys.exit("cannot listen")
    print(f"port {server.get_bound_port()}", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
