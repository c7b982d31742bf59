"""What an ONVIF device says of itself, and what of it may be believed.

A device names services and streams by URL. It may be behind NAT and know only its inner address, it may not
know its address at all, and it may be hostile: so its URLs give path and port, and the host is always the
one that was asked. One that names somebody else is refused.
"""

from __future__ import annotations

import datetime
import html
import re
from ipaddress import ip_address, ip_network
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from camrelay.errors import BadAnswer, ConfigError, EgressDenied
from camrelay.ingest.egress import parse_camera_url
from camrelay.ingest.soap import Element

DEVICE_PATH = "/onvif/device_service"
DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA1 = "http://www.onvif.org/ver10/media/wsdl"
MEDIA2 = "http://www.onvif.org/ver20/media/wsdl"

#: Recorders have one or two for each channel; beyond it, nobody finds theirs in the list.
MAX_PROFILES = 64
MAX_TEXT = 80

_PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}
#: What RFC 3986 allows in a query, "%" because it is escaped already; devices put spaces and worse there.
_SAFE = "/?%:@!$&'()*+,;=~"

#: Where a device may believe itself to be. Nothing is ever sent there: the host asked takes its place.
_INNER = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/32", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
        *("::/127", "fc00::/7", "fe80::/10"),
    )
)


class Profile(msgspec.Struct, frozen=True):
    """One stream that a device offers. Rates are pictures per second; None and "" mean: it does not say.

    `rtsp_url` and `snapshot_uri` hold no credentials and name the host that was asked.
    """

    token: str
    name: str
    codec: str = ""
    width: int | None = None
    height: int | None = None
    frame_rate: int | None = None
    gop_pictures: int | None = None
    audio: str = ""
    rtsp_url: str = ""
    snapshot_uri: str = ""


class Device(msgspec.Struct, frozen=True):
    """An ONVIF device. `clock_offset_s` is how far its clock is ahead of ours."""

    manufacturer: str
    model: str
    firmware: str
    clock_offset_s: float
    profiles: tuple[Profile, ...]


class Question(msgspec.Struct, frozen=True):
    """What is asked about a device: how to reach it, and who asks.

    `address` is resolved and allowed; `authority` is host and port as people wrote them. `allow` are the
    networks of [egress]. With `profile`, that profile's encoder is asked for a key frame and nothing else.
    """

    address: str
    port: int
    authority: str
    username: str = ""
    password: str = ""
    is_tls: bool = False
    may_send_password: bool = False
    allow: tuple[str, ...] = ()
    profile: str = ""

    def __repr__(self) -> str:
        return "Question()"


class Place(NamedTuple):
    """Where a URL of a device leads, once its host is the one that was asked."""

    scheme: str
    port: int
    target: str


def place(uri: str, *, address: str, host: str) -> Place:
    """Takes apart what a device calls the URL of a service, a stream or a picture.

    Args:
        address: the IP address that was asked.
        host: the name it was asked by; may be the address itself.

    Raises:
        BadAnswer: it is no such URL.
        EgressDenied: it names somebody else: another name, or an address in public.
    """
    try:
        # Some devices escape twice, and what comes is "&amp;" where they mean "&".
        parts = urlsplit(html.unescape(uri.strip()))
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise BadAnswer("the device names a URL that is none") from None
    if not _is_itself(parts.hostname or "", address, host):
        raise EgressDenied("the device points to another host")
    query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    return Place(parts.scheme, port, quote(parts.path, safe=_SAFE) + query)


def _is_itself(named: str, address: str, host: str) -> bool:
    """Whether a device means itself: what was asked, no address at all, or one behind its NAT."""
    if named in ("", address, host.lower()):
        return True
    try:
        inner = ip_address(named)
    except ValueError:
        return False
    return any(inner.version == network.version and inner in network for network in _INNER)


def clock_offset(answer: Element, now_utc_s: float) -> float | None:
    """Seconds by which the device's clock is ahead, from GetSystemDateAndTimeResponse; None without one."""
    said = answer.find("SystemDateAndTime", "UTCDateTime")
    if said is None:
        return None
    year, month, day = (said.whole("Date", part) or 0 for part in ("Year", "Month", "Day"))
    hour, minute, second = (said.whole("Time", part) or 0 for part in ("Hour", "Minute", "Second"))
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError:
        return None
    return moment.timestamp() - now_utc_s


def service_urls(answer: Element) -> dict[str, str]:
    """Namespace -> URL of each service, from GetServicesResponse or GetCapabilitiesResponse."""
    urls = {service.at("Namespace"): service.at("XAddr") for service in answer.all("Service")}
    if media := answer.at("Capabilities", "Media", "XAddr"):
        urls.setdefault(MEDIA1, media)
    return {namespace: url for namespace, url in urls.items() if url}


def profile(element: Element) -> Profile | None:
    """A profile of Media1 or Media2, still without its URLs; None when it has no video or no token."""
    configurations = element.find("Configurations")
    video = (configurations or element).find(
        "VideoEncoder" if configurations else "VideoEncoderConfiguration"
    )
    audio = (configurations or element).find(
        "AudioEncoder" if configurations else "AudioEncoderConfiguration"
    )
    token = element.attributes.get("token", "")
    if video is None or not token:
        return None
    gop = video.attributes.get("GovLength", "") or video.at("H264", "GovLength")
    return Profile(
        token=token,
        name=printable(element.at("Name")),
        codec=printable(video.at("Encoding")),
        width=video.whole("Resolution", "Width"),
        height=video.whole("Resolution", "Height"),
        frame_rate=video.whole("RateControl", "FrameRateLimit"),
        gop_pictures=int(gop) if re.fullmatch(r"[0-9]{1,6}", gop) else None,
        audio=printable(audio.at("Encoding")) if audio else "",
    )


def stream_url(uri: str, *, address: str, host: str) -> str:
    """The URL of a stream, as camrelay takes cameras.

    Raises:
        BadAnswer: it is none.
        EgressDenied: as of `place`.
    """
    found = place(uri, address=address, host=host)
    url = f"{found.scheme}://{bracketed(host)}:{found.port}{found.target}"
    try:
        parse_camera_url(url)
    except ConfigError:
        raise BadAnswer("the device names a stream that is none") from None
    return url


def bracketed(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def printable(text: str) -> str:
    """One short line of it, without what a terminal or a reader could be tricked by."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_TEXT]
