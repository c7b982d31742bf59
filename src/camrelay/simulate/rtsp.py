"""RTSP/1.0 on the wire (RFC 2326), the server's side: requests in, responses out, nothing in between.

`Reader` takes bytes as they come and gives whole messages. It never answers and keeps no state of a session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from camrelay.errors import BadRtspMessage

#: Request line and headers; cameras accept about this much, and a Digest header needs half a kilobyte.
MAX_HEAD_BYTES = 16 * 1024

#: Only SET_PARAMETER carries a body, a few lines of text.
MAX_BODY_BYTES = 16 * 1024

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    406: "Not Acceptable",
    451: "Parameter Not Understood",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
    501: "Not Implemented",
    505: "RTSP Version Not Supported",
    551: "Option Not Supported",
}

_REQUEST_LINE = re.compile(r"([A-Z_]{1,32}) (\S{1,2048}) (RTSP/\d\.\d)")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64})[ \t]*:[ \t]*(.*?)[ \t]*")


class Request(msgspec.Struct, frozen=True):
    """One request. Header names are in lower case; of a repeated header the last one counts."""

    method: str
    url: str
    version: str
    headers: Mapping[str, str]
    body: bytes = b""


class Interleaved(msgspec.Struct, frozen=True):
    """A packet between the requests (RFC 2326 §10.12): a client's RTCP."""

    channel: int
    packet: bytes


class Reader:
    """Cuts a connection's bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Request | Interleaved]:
        """Takes what arrived, returns what is whole by now.

        Raises:
            BadRtspMessage: the stream is no RTSP, or a message is over its limit; no way to go on from there.
        """
        self._buffer += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> Request | Interleaved | None:
        buffer = self._buffer
        while buffer[:2] == b"\r\n":
            del buffer[:2]
        if buffer[:1] == b"$":
            return self._interleaved()
        end = buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            if len(buffer) >= MAX_HEAD_BYTES:
                raise BadRtspMessage(f"head over {MAX_HEAD_BYTES} bytes")
            return None
        request = _parse_head(buffer[:end])
        length = _content_length(request.headers.get("content-length", "0"))
        start = end + 4
        if len(buffer) < start + length:
            return None
        body = bytes(buffer[start : start + length])
        del buffer[: start + length]
        return msgspec.structs.replace(request, body=body)

    def _interleaved(self) -> Interleaved | None:
        buffer = self._buffer
        end = 4 + int.from_bytes(buffer[2:4], "big")
        if len(buffer) < end:
            return None
        message = Interleaved(buffer[1], bytes(buffer[4:end]))
        del buffer[:end]
        return message


def _parse_head(head: bytearray) -> Request:
    lines = head.decode("utf-8", "replace").split("\r\n")
    first = _REQUEST_LINE.fullmatch(lines[0])
    if not first:
        raise BadRtspMessage("not a request line")
    headers = {}
    for line in lines[1:]:
        found = _HEADER.fullmatch(line)
        if not found:
            raise BadRtspMessage("not a header line")
        headers[found[1].lower()] = found[2]
    return Request(first[1], first[2], first[3], headers)


def _content_length(text: str) -> int:
    if not re.fullmatch(r"\d{1,8}", text, re.ASCII) or int(text) > MAX_BODY_BYTES:
        raise BadRtspMessage(f"body over {MAX_BODY_BYTES} bytes, or of no length at all")
    return int(text)


def response(status: int, headers: list[tuple[str, str]], body: bytes = b"") -> bytes:
    """A whole response; Content-Length is added when there is a body."""
    lines = [f"RTSP/1.0 {status} {_REASONS[status]}", *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + body


class Transport(msgspec.Struct, frozen=True):
    """How packets travel: interleaved on two channels, or as datagrams to two ports; RTP first, then RTCP."""

    lower: Literal["tcp", "udp"]
    rtp: int
    rtcp: int


def parse_transport(header: str) -> Transport | None:
    """The first transport of a Transport header (RFC 2326 §12.39) that we can serve; None when there is none.

    A `destination` is ignored: packets go to whoever asks, or anybody could aim them at anybody.
    """
    for offer in header.split(","):
        protocol, *parameters = (part.strip() for part in offer.split(";"))
        if protocol == "RTP/AVP/TCP":
            wanted = [p for p in parameters if p.startswith("interleaved=")] or ["interleaved=0-1"]
            pair = _pair(wanted[0], highest=255)
            if pair:
                return Transport("tcp", *pair)
        elif protocol in ("RTP/AVP", "RTP/AVP/UDP") and "multicast" not in parameters:
            wanted = [p for p in parameters if p.startswith("client_port=")] or [""]
            pair = _pair(wanted[0], highest=65535)
            if pair and pair[0]:
                return Transport("udp", *pair)
    return None


def _pair(parameter: str, highest: int) -> tuple[int, int] | None:
    found = re.fullmatch(r"\w+=(\d{1,5})(?:-(\d{1,5}))?", parameter, re.ASCII)
    if not found:
        return None
    first = int(found[1])
    second = int(found[2]) if found[2] else first + 1
    return (first, second) if max(first, second) <= highest and first != second else None
