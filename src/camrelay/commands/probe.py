"""`camrelay camera probe`: a look at a camera, registered or not."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from camrelay.commands.asking import ask
from camrelay.commands.common import CONFIG
from camrelay.errors import ConfigError

_REASONS = {
    "unreachable": "it does not answer",
    "credentials_refused": "it refuses the user name or the password",
    "credentials_on_hold": "it refused this user name and password twice, and might lock the account",
    "stream_not_found": "it has no stream at this path",
    "unsupported_codec": "it offers no video",
    "interrupted": "it stopped before there was a picture",
    "egress_denied": "its address is not allowed, or it points to another host",
    "bad_answer": "it breaks its own protocol",
}


@click.command()
@CONFIG
@click.argument("target")
@click.option("--username", default="", help="The camera's own account.")
@click.option("--ask-password", is_flag=True, help="Ask for the camera's password at the terminal.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="Write the picture here.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, picture and SDP included.")
def probe(
    *, path: Path, target: str, username: str, ask_password: bool, picture: Path | None, as_json: bool
) -> None:
    """Look at a camera: what it sends, and what HLS and WebRTC will make of it.

    TARGET is the id of a registered camera, an rtsp:// URL, or the http:// service of an ONVIF device as
    `camrelay discover` prints it.

    \b
    Examples:
      camrelay camera probe front-door --picture front-door.jpg
      camrelay camera probe rtsp://192.168.1.20/stream1 --username admin --ask-password
      camrelay camera probe http://192.168.1.20/onvif/device_service --username admin --ask-password
    """
    password = click.prompt("Password", hide_input=True) if ask_password else ""
    place, wanted = _question(target)
    if wanted is not None:
        wanted |= {"username": username, "password": password}
    click.echo("looking; this takes up to half a minute", err=True)
    finding = ask(path, "POST", place, wanted)
    stream = finding.get("stream") or {}
    if picture is not None and stream.get("jpeg"):
        picture.write_bytes(base64.b64decode(stream["jpeg"]))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(finding)))
    else:
        for name, text in _lines(finding):
            click.echo(f"{name:<10} {text}".rstrip())
    if finding["reason"] or stream.get("reason"):
        raise SystemExit(1)


def _question(target: str) -> tuple[str, dict[str, Any] | None]:
    """Where to ask, and what."""
    if "://" not in target:
        return f"/v1/cameras/{target}/probe", None
    try:
        parts = urlsplit(target)
        port = parts.port
    except ValueError:
        raise ConfigError("this is no URL") from None
    if parts.scheme not in ("http", "https"):
        return "/v1/probe", {"url": target}
    is_tls = parts.scheme == "https"
    return "/v1/probe", {"host": parts.hostname or "", "port": port or (443 if is_tls else 80), "tls": is_tls}


def _lines(finding: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if finding["reason"]:
        yield "device", _reason(finding)
    if device := finding["device"]:
        yield "device", f"{device['manufacturer']} {device['model']}, firmware {device['firmware']}"
        for profile in device["profiles"]:
            yield "profile", f"{profile['name']}: {_profile(profile)}"
            yield "", profile["rtsp_url"] or "no stream"
    if stream := finding["stream"]:
        yield from _stream(stream)


def _stream(stream: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if stream["reason"]:
        yield "camera", _reason(stream)
        return
    video = stream["video"]
    yield "video", f"{video['codec']} {video['profile']}, {video['width']}x{video['height']}"
    yield "pictures", f"{video['frame_rate'] or '?'} a second, {video['bit_rate_bps'] / 1e6:.1f} Mb/s"
    gop = f"every {video['gop_s']:g} s" if video["gop_s"] else "rare"
    yield "key frames", f"{gop}, {'with' if video['has_b_frames'] else 'no'} B-frames"
    if audio := stream["audio"]:
        yield "sound", f"{audio['codec']}, {audio['clock_rate']} Hz"
    for name, key in (("HLS", "hls"), ("WebRTC", "webrtc")):
        yield name, "works" if stream[key]["works"] else "does not work"
        for remark in stream[key]["remarks"]:
            yield "", remark


def _reason(found: dict[str, Any]) -> str:
    text: str = _REASONS.get(found["reason"], found["reason"])
    if found.get("retry_at_us") is None:
        return text
    retry_at = datetime.datetime.fromtimestamp(found["retry_at_us"] / 1e6).astimezone()
    return f"{text}; next try at {retry_at:%H:%M}"


def _profile(profile: dict[str, Any]) -> str:
    size = f"{profile['width']}x{profile['height']}" if profile["width"] else "size unknown"
    rate = f", {profile['frame_rate']} pictures a second" if profile["frame_rate"] else ""
    return f"{profile['codec'] or 'codec unknown'}, {size}{rate}"
