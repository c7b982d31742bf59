"""An ONVIF device that is honest, or not: SOAP over HTTP on loopback, with Media1 and Media2."""

from __future__ import annotations

import asyncio
import base64
import datetime
import hashlib
import re
import secrets
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from aiohttp import web

#: Answers recorded from a real device, as npm's onvif 0.8.1 ships them.
RECORDED = Path(__file__).parents[2] / "node_modules/onvif/test/serverMockup"

_ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:tt="http://www.onvif.org/ver10/schema"
 xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:trt="http://www.onvif.org/ver10/media/wsdl"
 xmlns:tr2="http://www.onvif.org/ver20/media/wsdl" xmlns:ter="http://www.onvif.org/ver10/error">
<s:Body>{}</s:Body></s:Envelope>"""

_FAULT = """<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:{}</s:Value></s:Subcode>
</s:Code><s:Reason><s:Text xml:lang="en">for {} at {}</s:Text></s:Reason></s:Fault>"""

_VIDEO = """<tt:Name>{0}</tt:Name><tt:Encoding>H264</tt:Encoding>
<tt:Resolution><tt:Width>{1}</tt:Width><tt:Height>{2}</tt:Height></tt:Resolution>
<tt:RateControl><tt:FrameRateLimit>25</tt:FrameRateLimit></tt:RateControl>"""

#: A thousand million laughs, and a file of this machine.
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + '<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&i;&f;</x>'
)

_WSSE = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd}"
_WSU = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}"


class OnvifDevice:
    """A device with two profiles, main and sub; use as a context manager.

    Args:
        streams: RTSP URL of each profile's stream, by its token.
        username, password: what signatures are checked against.
        clock_ahead_s: of its own clock; signatures dated otherwise are refused.
        http_digest: it wants HTTP Digest of this algorithm instead of a signature.
        takes_text: it wants the password itself.
        xaddr: what it calls the URL of its media services; "{port}" stands for its port.
        media: which media services it has.
        faults: operation -> what happens instead: "bomb", "flood", "hang", "drip", "redirect", "nonsense".
        clock_needs_password: it does not even tell the time to strangers.

    Attributes:
        port: where it listens.
        calls: every operation that was asked for, in order.
        refusals: how often it refused credentials.
    """

    def __init__(
        self,
        streams: dict[str, str] | None = None,
        *,
        username: str = "admin",
        password: str = "right",
        clock_ahead_s: float = 0.0,
        http_digest: str = "",
        takes_text: bool = False,
        xaddr: str = "http://127.0.0.1:{port}/onvif/media",
        media: tuple[int, ...] = (1, 2),
        faults: dict[str, str] | None = None,
        clock_needs_password: bool = False,
    ) -> None:
        self.port = 0
        self.calls: list[str] = []
        self.refusals = 0
        self._streams = streams or {
            "main": "rtsp://127.0.0.1:554/live?channel=1&amp;amp;subtype=0",
            "sub": "rtsp://192.168.1.64:554/sub",
        }
        self._username = username
        self._password = password
        self._clock_ahead = datetime.timedelta(seconds=clock_ahead_s)
        self._http_digest = http_digest
        self._takes_text = takes_text
        self._xaddr = xaddr
        self._media = media
        self._faults = faults or {}
        self._clock_needs_password = clock_needs_password
        self._nonce = secrets.token_hex(8)

    async def __aenter__(self) -> OnvifDevice:
        app = web.Application()
        app.router.add_post("/onvif/{service:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        envelope = ET.fromstring(await request.read())  # noqa: S314 - from our own client
        body = next(e for e in envelope if e.tag.endswith("Body"))[0]
        operation = body.tag.rpartition("}")[2]
        self.calls.append(operation)
        is_open = operation == "GetSystemDateAndTime" and not self._clock_needs_password
        if self._http_digest and not is_open and not self._knows_http(request):
            challenge = (
                f'Digest realm="cam", nonce="{self._nonce}", qop="auth", algorithm={self._http_digest}'
            )
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        if not self._http_digest and not is_open and not self._is_signed(envelope):
            return self._fault("NotAuthorized", request)
        if fault := self._faults.get(operation):
            return await self._misbehave(fault, request)
        text = self._answer(operation, body)
        if text is None:
            return self._fault("ActionNotSupported", request)
        return web.Response(text=_ENVELOPE.format(text), content_type="application/soap+xml")

    def _fault(self, code: str, request: web.Request) -> web.Response:
        text = _ENVELOPE.format(_FAULT.format(code, self._username, request.url))
        return web.Response(status=400, text=text, content_type="application/soap+xml")

    def _answer(self, operation: str, body: ET.Element) -> str | None:
        wanted = body.find(".//{*}ProfileToken")
        token = wanted.text if wanted is not None and wanted.text else ""
        stream = self._streams.get(token, "")
        is_media2 = "ver20" in body.tag
        if is_media2 and 2 not in self._media:
            return None
        prefix = "tr2" if is_media2 else "trt"
        xaddr = self._xaddr.format(port=self.port)
        snapshot = f"http://0.0.0.0:{self.port}/snapshot/{token}.jpg"
        match operation:
            case "GetSystemDateAndTime":
                now = datetime.datetime.now(datetime.UTC) + self._clock_ahead
                return (
                    "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:UTCDateTime>"
                    f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute>"
                    f"<tt:Second>{now.second}</tt:Second></tt:Time><tt:Date><tt:Year>{now.year}</tt:Year>"
                    f"<tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day></tt:Date>"
                    "</tt:UTCDateTime></tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
                )
            case "GetServices":
                services = "".join(
                    f"<tds:Service><tds:Namespace>http://www.onvif.org/ver{n}0/media/wsdl</tds:Namespace>"
                    f"<tds:XAddr>{xaddr}{n}</tds:XAddr></tds:Service>"
                    for n in self._media
                )
                return f"<tds:GetServicesResponse>{services}</tds:GetServicesResponse>"
            case "GetCapabilities":
                return (
                    f"<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Media><tt:XAddr>{xaddr}</tt:XAddr>"
                    "</tt:Media></tds:Capabilities></tds:GetCapabilitiesResponse>"
                )
            case "GetDeviceInformation":
                return (
                    "<tds:GetDeviceInformationResponse><tds:Manufacturer>Acme</tds:Manufacturer>"
                    "<tds:Model>Eye 2</tds:Model><tds:FirmwareVersion>1.0</tds:FirmwareVersion>"
                    "</tds:GetDeviceInformationResponse>"
                )
            case "GetProfiles":
                profiles = "".join(map(_profile2 if is_media2 else _profile1, self._streams))
                return f"<{prefix}:GetProfilesResponse>{profiles}</{prefix}:GetProfilesResponse>"
            case "GetStreamUri" if is_media2:
                return f"<tr2:GetStreamUriResponse><tr2:Uri>{stream}</tr2:Uri></tr2:GetStreamUriResponse>"
            case "GetSnapshotUri" if is_media2:
                return (
                    f"<tr2:GetSnapshotUriResponse><tr2:Uri>{snapshot}</tr2:Uri></tr2:GetSnapshotUriResponse>"
                )
            case "GetStreamUri" | "GetSnapshotUri":
                uri = stream if operation == "GetStreamUri" else snapshot
                return (
                    f"<trt:{operation}Response><trt:MediaUri><tt:Uri>{uri}</tt:Uri></trt:MediaUri>"
                    f"</trt:{operation}Response>"
                )
            case "SetSynchronizationPoint":
                return f"<{prefix}:SetSynchronizationPointResponse/>"
        return None

    async def _misbehave(self, fault: str, request: web.Request) -> web.StreamResponse:
        if fault == "bomb":
            return web.Response(text=BOMB, content_type="application/soap+xml")
        if fault == "nonsense":
            return web.Response(text="<html>It works!")
        if fault == "redirect":
            raise web.HTTPFound(f"http://127.0.0.1:{self.port}/onvif/elsewhere")
        if fault == "hang":
            await asyncio.sleep(3600)
        response = web.StreamResponse()
        await response.prepare(request)
        if fault == "drip":
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.5)
        for _ in range(1_000):  # "flood": a hundred megabytes
            await response.write(b" " * 100_000)
        return response

    def _is_signed(self, envelope: ET.Element) -> bool:
        """WS-Security UsernameToken, dated within five seconds of this device's clock."""
        token = envelope.find(f".//{_WSSE}UsernameToken")
        if token is None:
            return False
        said: dict[str, Any] = {e.tag: e.text or "" for e in token}
        proof = token.find(f"{_WSSE}Password")
        assert proof is not None
        if self._takes_text:
            is_right = said[f"{_WSSE}Password"] == self._password and "PasswordText" in proof.attrib["Type"]
        else:
            created = said.get(f"{_WSU}Created", "")
            nonce = base64.b64decode(said.get(f"{_WSSE}Nonce", ""))
            digest = hashlib.sha1(nonce + created.encode() + self._password.encode()).digest()
            is_right = base64.b64encode(digest).decode() == said[f"{_WSSE}Password"]
            age = datetime.datetime.now(datetime.UTC) + self._clock_ahead - _moment(created)
            is_right = is_right and abs(age.total_seconds()) < 5
        is_right = is_right and said[f"{_WSSE}Username"] == self._username
        self.refusals += not is_right
        return is_right

    def _knows_http(self, request: web.Request) -> bool:
        header = request.headers.get("Authorization", "")
        if not header:
            return False
        said = dict(re.findall(r'(\w+)="?([^",]*)"?', header))
        digest = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[self._http_digest]

        def h(text: str) -> str:
            return digest(text.encode()).hexdigest()

        proof = f"{self._nonce}:{said['nc']}:{said['cnonce']}:auth"
        ha1, ha2 = h(f"{self._username}:cam:{self._password}"), h(f"POST:{request.path_qs}")
        is_right = said["response"] == h(f"{ha1}:{proof}:{ha2}")
        self.refusals += not is_right
        return is_right


class RecordedDevice(OnvifDevice):
    """Plays the recorded answers, which name the real device's address; checks no password."""

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        envelope = ET.fromstring(await request.read())  # noqa: S314 - from our own client
        operation = next(e for e in envelope if e.tag.endswith("Body"))[0].tag.rpartition("}")[2]
        self.calls.append(operation)
        file = RECORDED / f"{operation}.xml"
        text = (file if file.exists() else RECORDED / "Error.xml").read_text()
        return web.Response(text=text.replace("192.168.68.111", f"192.168.68.111:{self.port}"))


def _profile1(token: str) -> str:
    width, height = (1920, 1080) if token == "main" else (640, 360)
    video = _VIDEO.format(token, width, height)
    return (
        f'<trt:Profiles token="{token}" fixed="true"><tt:Name>{token} stream</tt:Name>'
        f'<tt:VideoEncoderConfiguration token="v">{video}<tt:H264><tt:GovLength>50</tt:GovLength></tt:H264>'
        "</tt:VideoEncoderConfiguration></trt:Profiles>"
    )


def _profile2(token: str) -> str:
    width, height = (1920, 1080) if token == "main" else (640, 360)
    video = _VIDEO.format(token, width, height)
    return (
        f'<tr2:Profiles token="{token}" fixed="true"><tr2:Name>{token} stream</tr2:Name><tr2:Configurations>'
        f'<tr2:VideoEncoder token="v" GovLength="50">{video}</tr2:VideoEncoder>'
        "<tr2:AudioEncoder><tt:Encoding>MP4A-LATM</tt:Encoding></tr2:AudioEncoder>"
        "</tr2:Configurations></tr2:Profiles>"
    )


def _moment(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return datetime.datetime.fromtimestamp(0, datetime.UTC)
