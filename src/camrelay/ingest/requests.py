"""The requests of one RTSP session: numbered, signed, and matched with their answers (RFC 2326)."""

from __future__ import annotations

import re

import msgspec

from camrelay.ingest.rtsp import Credentials, Head, parse_challenges

#: A session that says nothing of its timeout has this one (RFC 2326 §12.37).
SESSION_TIMEOUT_S = 60.0
#: Requests without a response that are remembered: some cameras never answer a keepalive.
UNANSWERED_LIMIT = 8

_TIMEOUT = re.compile(r";\s*timeout\s*=\s*(\d{1,6})", re.IGNORECASE)


class Request(msgspec.Struct, frozen=True):
    """What was asked, without what differs from one time to the next."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()


class Requests:
    """What was asked of a camera, and in whose name.

    Args:
        credentials: answer the camera's challenges.

    Attributes:
        count: requests so far.
        session: its identifier, "" before the camera gave one.
        keepalive_s: how often the session wants to hear from us.
    """

    def __init__(self, credentials: Credentials) -> None:
        self.count = 0
        self.session = ""
        self.keepalive_s = SESSION_TIMEOUT_S / 2
        self._credentials = credentials
        self._unanswered: dict[str, Request] = {}

    def ask(self, request: Request) -> bytes:
        """The request on the wire, as the next one."""
        self.count += 1
        if len(self._unanswered) >= UNANSWERED_LIMIT:
            del self._unanswered[next(iter(self._unanswered))]
        self._unanswered[str(self.count)] = request
        lines = [("CSeq", str(self.count)), ("User-Agent", "camrelay"), *request.headers]
        if self.session:
            lines.append(("Session", self.session))
        if authorization := self._credentials.authorization(request.method, request.url):
            lines.append(("Authorization", authorization))
        return Head(f"{request.method} {request.url} RTSP/1.0", tuple(lines)).serialize()

    def answered(self, head: Head) -> Request | None:
        """The request that a response is for, None when nothing was asked."""
        request = self._unanswered.pop(head.get("CSeq"), None)
        if request is None and self._unanswered:
            # Some cameras answer with numbers of their own, in order.
            request = self._unanswered.pop(next(iter(self._unanswered)))
        return request

    def forget(self) -> None:
        """Expects no answer to what was asked so far."""
        self._unanswered.clear()

    def challenged(self, head: Head) -> None:
        """Takes in a 401: the next request has an answer to it.

        Raises:
            CameraAuthFailed: there is none, or it was refused.
        """
        self._credentials.take(parse_challenges(head.all("WWW-Authenticate")))

    def accepted(self) -> None:
        """Takes in anything else: what was shown is believed."""
        self._credentials.accepted()

    def take_session(self, head: Head) -> None:
        """Learns the session from a response that names it."""
        session = head.get("Session")
        if not session:
            return
        self.session = session.split(";")[0].strip()
        if found := _TIMEOUT.search(session):
            self.keepalive_s = min(max(int(found[1]) / 2, 1.0), SESSION_TIMEOUT_S / 2)
