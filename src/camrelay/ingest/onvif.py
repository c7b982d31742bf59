"""Asks one ONVIF device what it offers: `python -m camrelay.ingest.onvif`, a Question in, a Device out.

A process of its own, as devices are not trusted: it may be killed at any moment, and what it needs in memory
and time is its own. Rules:

- Requests are written by zeep from the WSDLs in onvif's wheel; no document is ever loaded over the network.
- Answers are read by soap.py, within its limits; neither zeep nor lxml sees what a device sends.
- Nothing is sent anywhere but to the address asked, on ports that [egress] allows.
- A device that refuses the credentials is not asked again: it may lock the account (camera fault F11).
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import logging
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import onvif  # type: ignore[import-untyped]
import zeep
from onvif.client import UsernameDigestTokenDtDiff  # type: ignore[import-untyped]
from zeep.wsdl.utils import etree_to_string

from camrelay.config import Egress
from camrelay.errors import BadAnswer, CameraAuthFailed, CameraUnreachable
from camrelay.ingest import soap
from camrelay.ingest.device import (
    DEVICE,
    DEVICE_PATH,
    MAX_PROFILES,
    MEDIA1,
    MEDIA2,
    Device,
    Profile,
    Question,
    bracketed,
    clock_offset,
    place,
    printable,
    profile,
    service_urls,
    stream_url,
)
from camrelay.ingest.egress import EgressPolicy
from camrelay.ingest.errand import answer_questions
from camrelay.ingest.rtsp import Credentials, parse_challenges
from camrelay.ingest.soap import Element

#: One call. Devices answer in tenths of a second; those that read a card first, in two.
CALL_S = 5.0

_WSDL = Path(onvif.__file__).with_name("wsdl")
_DOCUMENTS = {
    DEVICE: (_WSDL / "devicemgmt.wsdl", "DeviceBinding"),
    MEDIA1: (_WSDL / "media.wsdl", "MediaBinding"),
    MEDIA2: (Path(__file__).with_name("media2.wsdl"), "Media2Binding"),
}
_SETTINGS = zeep.Settings(raw_response=True, forbid_external=True, forbid_dtd=True)
_REFUSALS = {"NotAuthorized", "FailedAuthentication", "InvalidSecurity", "OperationProhibited"}

_UNICAST_RTSP = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}


class NotOffered(BadAnswer):
    """The device answers with a fault: it does not do this."""


class Conversation:
    """Calls to one device, with its credentials.

    Attributes:
        offset_s: how far the device's clock is ahead of ours; signatures are dated by its clock.
    """

    def __init__(self, question: Question, session: aiohttp.ClientSession) -> None:
        self.offset_s = 0.0
        self._question = question
        self._host = question.authority.rpartition(":")[0].strip("[]")
        self._egress = EgressPolicy(Egress(allow=question.allow))
        self._session = session
        self._credentials = Credentials(question.username, question.password, secrets.token_hex(8))
        self._urls = {DEVICE: self._url("https" if question.is_tls else "http", question.port, DEVICE_PATH)}
        self._uses_text = False

    async def call(self, service: str, operation: str, *, signed: bool = True, **fields: Any) -> Element:
        """One operation; the element inside the answer's body.

        Raises:
            CameraAuthFailed: the credentials are refused, or missing.
            NotOffered: any other fault.
            CameraUnreachable, BadAnswer: no answer in time, or none that can be read.
        """
        found = await self._ask(service, operation, signed, fields)
        codes = soap.fault_codes(found)
        if codes is None:
            return found
        if not signed or not codes & _REFUSALS:
            raise NotOffered("the device does not offer this")
        if self._uses_text or not self._question.may_send_password:
            raise CameraAuthFailed("the device refused the user name or the password")
        self._uses_text = True
        return await self.call(service, operation, **fields)

    def learn(self, urls: dict[str, str]) -> set[str]:
        """Takes the services a device names; returns the namespaces of all that can be called.

        Raises:
            EgressDenied: one of those used here is elsewhere, or on a port that is not allowed.
        """
        for namespace in (MEDIA1, MEDIA2):
            if namespace in urls:
                found = place(urls[namespace], address=self._question.address, host=self._host)
                if found.scheme not in ("http", "https"):
                    raise BadAnswer("the device names a service that is none")
                self._urls[namespace] = self._url(found.scheme, found.port, found.target)
        return set(self._urls)

    def stream(self, uri: str) -> str:
        """The URL of a stream, at the host that was asked."""
        return stream_url(uri, address=self._question.address, host=self._host)

    def picture(self, uri: str) -> str:
        """The URL of a snapshot, at the host that was asked."""
        found = place(uri, address=self._question.address, host=self._host)
        return f"{found.scheme}://{bracketed(self._host)}:{found.port}{found.target}"

    def _url(self, scheme: str, port: int, target: str) -> str:
        self._egress.check(ip_address(self._question.address), port)
        return f"{scheme}://{bracketed(self._host)}:{port}{target}"

    async def _ask(self, service: str, operation: str, signed: bool, fields: dict[str, Any]) -> Element:
        signature = None
        if signed and self._question.username:
            signature = UsernameDigestTokenDtDiff(
                self._question.username,
                self._question.password,
                dt_diff=datetime.timedelta(seconds=self.offset_s),
                use_digest=not self._uses_text,
            )
        document, binding = _document(service)
        wire = _Wire(self._post)
        client = zeep.AsyncClient(document, wsse=signature, transport=wire, settings=_SETTINGS)  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(CALL_S):
                answer = await binding.send_async(
                    client, {"address": self._urls[service]}, operation, (), fields
                )
        except (TimeoutError, aiohttp.ClientError):
            raise CameraUnreachable("the device did not answer in time") from None
        return soap.body(answer)

    async def _post(self, url: str, data: bytes, headers: dict[str, str]) -> bytes:
        """One request; HTTP's own challenges are answered on the way, Digest only."""
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        for _ in range(3):  # asked, asked with a nonce that is stale, asked with a fresh one
            proof = self._credentials.authorization("POST", target)
            more = {"Authorization": proof} if proof else {}
            async with self._session.post(
                url, data=data, headers=headers | more, allow_redirects=False
            ) as answer:
                if answer.status != 401:
                    self._credentials.accepted()
                    return await _limited(answer)
                challenges = parse_challenges(iter(answer.headers.getall("WWW-Authenticate", ())))
            self._credentials.take([c for c in challenges if c.scheme == "Digest"])
        raise CameraAuthFailed("the device refused the user name or the password")


async def describe(question: Question) -> Device:
    """What a device offers.

    Raises:
        SourceError: which one says what is wrong.
    """
    async with _session(question) as session:
        device = Conversation(question, session)
        await _read_clock(device)
        services = await _find_services(device)
        information = await device.call(DEVICE, "GetDeviceInformation")
        profiles = await _profiles(device, services)
        return Device(
            manufacturer=printable(information.at("Manufacturer")),
            model=printable(information.at("Model")),
            firmware=printable(information.at("FirmwareVersion")),
            clock_offset_s=device.offset_s,
            profiles=tuple(profiles),
        )


async def synchronize(question: Question) -> None:
    """Asks a profile's encoder for a key frame now; a device that cannot is no fault."""
    async with _session(question) as session:
        device = Conversation(question, session)
        await _read_clock(device)
        services = await _find_services(device)
        for media in (MEDIA2, MEDIA1):
            if media in services:
                with contextlib.suppress(NotOffered):
                    await device.call(media, "SetSynchronizationPoint", ProfileToken=question.profile)
                    return


async def _read_clock(device: Conversation) -> None:
    """Learns the device's clock: a signature dated by ours would be refused (camera fault F19)."""
    try:
        answer = await device.call(DEVICE, "GetSystemDateAndTime", signed=False)
    except NotOffered:
        # It must answer anybody (Core §5.12.8.1), and some do not. Then its clock may as well be right.
        return
    device.offset_s = clock_offset(answer, time.time()) or 0.0


async def _find_services(device: Conversation) -> set[str]:
    try:
        answer = await device.call(DEVICE, "GetServices", IncludeCapability=False)
    except NotOffered:
        answer = await device.call(DEVICE, "GetCapabilities", Category="Media")
    return device.learn(service_urls(answer))


async def _profiles(device: Conversation, services: set[str]) -> list[Profile]:
    """Of Media2, which knows H.265 and both rates; of Media1 where there is no Media2, or it fails."""
    for media in (MEDIA2, MEDIA1):
        if media not in services:
            continue
        asked: dict[str, Any] = {"Type": ["VideoEncoder", "AudioEncoder"]} if media == MEDIA2 else {}
        try:
            answer = await device.call(media, "GetProfiles", **asked)
        except (NotOffered, BadAnswer):
            continue
        read = [profile(element) for element in answer.all("Profiles")]
        found = [each for each in read if each is not None][:MAX_PROFILES]
        if found:
            return [await _with_urls(device, media, each) for each in found]
    return []


async def _with_urls(device: Conversation, media: str, found: Profile) -> Profile:
    asked: dict[str, Any] = {"Protocol": "RTSP"} if media == MEDIA2 else {"StreamSetup": _UNICAST_RTSP}
    stream = picture = ""
    with contextlib.suppress(NotOffered):
        answer = await device.call(media, "GetStreamUri", ProfileToken=found.token, **asked)
        stream = device.stream(answer.at("Uri") or answer.at("MediaUri", "Uri"))
    with contextlib.suppress(BadAnswer):
        answer = await device.call(media, "GetSnapshotUri", ProfileToken=found.token)
        picture = device.picture(answer.at("Uri") or answer.at("MediaUri", "Uri"))
    return msgspec.structs.replace(found, rtsp_url=stream, snapshot_uri=picture)


class _Wire(zeep.Transport):
    """zeep's way to the world: documents from the disk, requests to `post`, answers as they come."""

    def __init__(self, post: Callable[[str, bytes, dict[str, str]], Awaitable[bytes]] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._post = post

    def load(self, url: str) -> bytes:
        return Path(url).read_bytes()

    async def post_xml(self, address: str, envelope: Any, headers: dict[str, str]) -> bytes:
        assert self._post is not None
        return await self._post(address, etree_to_string(envelope), headers)  # type: ignore[no-untyped-call]


@functools.cache
def _document(service: str) -> tuple[Any, Any]:
    """The WSDL of a service and its binding; zeep is untyped."""
    path, name = _DOCUMENTS[service]
    document: Any = zeep.wsdl.Document(str(path), _Wire(), settings=_SETTINGS)  # type: ignore[arg-type]
    return document, document.bindings[f"{{{service}}}{name}"]


class _Pinned(aiohttp.abc.AbstractResolver):
    """Whatever the name, the one address that was resolved and allowed."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[Any]:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        found = {"hostname": host, "host": self._address, "port": port, "family": family}
        return [found | {"proto": 0, "flags": socket.AI_NUMERICHOST}]

    async def close(self) -> None:
        pass


def _session(question: Question) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=_Pinned(question.address), limit=1),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "camrelay", "Accept-Encoding": "identity"},
    )


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for part in answer.content.iter_any():
        data += part
        if len(data) > soap.MAX_BYTES:
            raise BadAnswer("the device's answer is too long")
    return bytes(data)


async def _answer(data: bytes) -> bytes:
    question = msgspec.json.decode(data, type=Question)
    if question.profile:
        await synchronize(question)
        return b"null"
    return msgspec.json.encode(await describe(question))


if __name__ == "__main__":
    logging.disable()  # zeep's lines hold whole envelopes
    answer_questions(_answer)
