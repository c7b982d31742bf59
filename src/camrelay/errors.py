"""Every error camrelay raises on purpose. The branch says whose fault it is.

    CamrelayError
    ├── ConfigError                  the operator's configuration
    ├── SourceError                  the camera's side
    │   ├── CameraUnreachable
    │   ├── CameraAuthFailed
    │   ├── CredentialsOnHold        refused twice: not shown again for a while
    │   ├── StreamNotFound
    │   ├── UnsupportedCodec
    │   ├── StreamInterrupted
    │   ├── BadAnswer                a device breaks its own protocol
    │   ├── WorkerLost               not the camera: the process that read it
    │   └── EgressDenied             an address no camera may have
    ├── MalformedMedia               bytes break their specification (cores raise these)
    │   ├── BadNalUnit
    │   ├── BadParameterSet
    │   ├── BadPlaylist
    │   ├── BadRtpPacket
    │   ├── BadRtspMessage
    │   ├── BadStunMessage
    │   └── BadFeedMessage
    ├── AccessDenied                 the viewer's authority; .reason goes to the access record
    │   ├── TokenError
    │   │   ├── TokenMissing
    │   │   ├── TokenMalformed
    │   │   ├── TokenSignatureInvalid
    │   │   ├── TokenExpired
    │   │   ├── TokenNotYetValid
    │   │   └── TokenRevoked
    │   ├── ScopeDenied              a sound token that does not reach this camera or action
    │   ├── SignInFailed             not these credentials, or not yet
    │   ├── NotConfirmed             signed in, and the password has to be given once more
    │   ├── LinkPassword             a share link that wants a password, or another one
    │   └── SessionEnded             the media session was good once and is over
    ├── ViewerError                  the viewer's request
    │   ├── BadRequest
    │   ├── PayloadTooLarge
    │   ├── NegotiationFailed        no common codec, bad SDP
    │   ├── PreconditionFailed
    │   ├── CameraExists             the id of a new camera is taken
    │   ├── PublishUnconfirmed       what would become public has to be confirmed first
    │   ├── NameTaken                somebody else's, or used before
    │   └── NotFound
    ├── NotReady                     right request, wrong moment: say when to try again
    │   ├── StreamNotReady
    │   ├── Overloaded
    │   ├── TooManyRequests          from this client, or for everybody
    │   └── StoreUnavailable         the database does not answer
    ├── MailFailed                   a letter that nobody has taken
    └── AuditError                   our own record
        ├── AuditUnavailable
        ├── BadRecord
        └── ChainBroken

Errors carry data, not only text; texts never hold a URL, a token, a password or another program's words.
`server.py` maps classes to HTTP statuses; nothing below it knows HTTP.
"""

from __future__ import annotations


class CamrelayError(Exception):
    """Root of the tree."""

    #: Stable machine-readable name, used in problem+json, metrics labels and access records.
    code = "internal"


class ConfigError(CamrelayError):
    """The configuration cannot be used.

    Attributes:
        line: 1-based line in the file, or None when the fault has no single place.
        hint: what to do about it, or "".
    """

    code = "config"

    def __init__(self, message: str, *, line: int | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.hint = hint


class SourceError(CamrelayError):
    """The camera, or the way to it, failed."""

    code = "source_failed"


class CameraUnreachable(SourceError):
    """No connection, or no answer in time."""

    code = "unreachable"


class CameraAuthFailed(SourceError):
    """The camera refused the credentials. Trying again may lock the account (camera fault F11)."""

    code = "credentials_refused"


class CredentialsOnHold(SourceError):
    """The camera refused these credentials twice; they are not shown to it before a moment.

    Attributes:
        retry_at_us: that moment, in UTC microseconds.
    """

    code = "credentials_on_hold"

    def __init__(self, retry_at_us: int) -> None:
        super().__init__("the camera refused these credentials twice; they are not tried again yet")
        self.retry_at_us = retry_at_us


class StreamNotFound(SourceError):
    """The camera answers and has no stream at this path."""

    code = "stream_not_found"


class UnsupportedCodec(SourceError):
    """The camera offers no video that camrelay can relay."""

    code = "unsupported_codec"


class StreamInterrupted(SourceError):
    """The camera was playing, then stopped."""

    code = "interrupted"


class BadAnswer(SourceError):
    """The device's answer is none, or over a limit."""

    code = "bad_answer"


class WorkerLost(SourceError):
    """The ingest worker that read the camera died. The camera did nothing wrong."""

    code = "worker_lost"


class EgressDenied(SourceError):
    """The address is outside the configured egress networks."""

    code = "egress_denied"


class MalformedMedia(CamrelayError):
    """Bytes break their specification."""

    code = "malformed_media"


class BadNalUnit(MalformedMedia):
    """A NAL unit cannot be parsed (H.264 §7.3.1)."""


class BadParameterSet(MalformedMedia):
    """An SPS or PPS cannot be parsed (H.264 §7.3.2)."""


class BadPlaylist(MalformedMedia):
    """A playlist breaks rfc8216bis."""


class BadRtpPacket(MalformedMedia):
    """An RTP or RTCP packet breaks RFC 3550."""


class BadRtspMessage(MalformedMedia):
    """An RTSP message breaks RFC 2326, or is over its limit."""


class BadStunMessage(MalformedMedia):
    """A STUN message breaks RFC 8489 or fails its integrity check."""


class BadFeedMessage(MalformedMedia):
    """A message on the feed between worker and relay cannot be parsed."""


class AccessDenied(CamrelayError):
    """The request has no authority here.

    Attributes:
        reason: short closed word for the access record and the metrics; the viewer sees one generic sentence.
    """

    code = "denied"

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason


class TokenError(AccessDenied):
    """The grant token cannot be used."""

    code = "bad_token"


class TokenMissing(TokenError):
    """No token where one is needed; an unknown camera answers the same, so nobody learns which ids exist."""

    code = "token_required"


class TokenMalformed(TokenError):
    """Not a grant token at all."""


class TokenSignatureInvalid(TokenError):
    """No known key made this signature."""


class TokenExpired(TokenError):
    """The token's time is over."""


class TokenNotYetValid(TokenError):
    """The token's time has not begun."""


class TokenRevoked(TokenError):
    """The token was withdrawn before its time."""


class ScopeDenied(AccessDenied):
    """The authority is sound and does not reach this camera or action. Answered like an unknown camera."""

    code = "not_found"


class BadKeySet(CamrelayError):
    """What a tenant's backend publishes as its keys is no JWK set that can be believed."""

    code = "bad_key_set"


class SignInFailed(AccessDenied):
    """Whoever tries to sign in has not shown who they are. It says nothing about which accounts there are."""

    code = "sign_in_failed"


class CodeRequired(SignInFailed):
    """The password is right; the second factor is missing or wrong."""

    code = "code_required"


class NotConfirmed(AccessDenied):
    """What is asked changes who may sign in: the password has to be given again first."""

    code = "confirm_required"


class LinkPassword(AccessDenied):
    """A share link's password is missing or wrong."""

    code = "link_password"


class SessionEnded(AccessDenied):
    """The media session existed and is over: expired, revoked or closed."""

    code = "session_ended"


class ViewerError(CamrelayError):
    """The viewer's request cannot be served as it is. The text is shown to the viewer."""

    code = "bad_request"


class BadRequest(ViewerError):
    """A malformed request."""


class PayloadTooLarge(ViewerError):
    """A body over its limit."""

    code = "too_large"


class NegotiationFailed(ViewerError):
    """Offer and camera have nothing in common, or the offer is not one."""

    code = "negotiation_failed"


class PreconditionFailed(ViewerError):
    """A conditional request whose condition does not hold.

    Attributes:
        missing: True when the condition was required and absent (428), False when it does not match (412).
    """

    code = "precondition_failed"

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


class NotFound(ViewerError):
    """Nothing there. Also what a foreign token learns about a camera."""

    code = "not_found"


class CameraExists(ViewerError):
    """The id of a new camera is taken."""

    code = "camera_exists"


class PublishUnconfirmed(ViewerError):
    """A camera is not made public by accident; the text names what would be."""

    code = "publish_unconfirmed"


class NameTaken(ViewerError):
    """What should be one person's alone is somebody else's."""

    code = "name_taken"


class Held(ViewerError):
    """What is to be purged or erased must be kept for now."""

    code = "held"


class NotReady(CamrelayError):
    """The same request may succeed later.

    Attributes:
        retry_after_s: whole seconds after which trying again makes sense.
    """

    code = "not_ready"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StreamNotReady(NotReady):
    """The camera has no live picture at the moment."""

    code = "camera_not_live"


class Overloaded(NotReady):
    """A limit of this server is reached."""

    code = "overloaded"


class CallbackFailed(NotReady):
    """The service that the operator has named to decide who may watch does not answer."""

    code = "callback_failed"


class TooManyRequests(NotReady):
    """More attempts than one client, or everybody together, may make."""

    code = "too_many_requests"


class StoreUnavailable(NotReady):
    """The database does not answer."""

    code = "store_unavailable"


class MailFailed(CamrelayError):
    """A letter was not taken.

    Attributes:
        is_final: it would not be, however often it is tried.
    """

    code = "mail_failed"

    def __init__(self, *, is_final: bool) -> None:
        super().__init__("the letter was not taken")
        self.is_final = is_final


class AuditError(CamrelayError):
    """The access record failed: no record, no media."""

    code = "audit_failed"


class AuditUnavailable(AuditError):
    """A record could not be made durable in time."""

    code = "audit_unavailable"


class BadRecord(AuditError):
    """A stored line is not an access record in its canonical form."""

    code = "bad_record"


class ChainBroken(AuditError):
    """The stored records do not match their proof.

    Attributes:
        first, last: positions between which the first deviation lies, counted from 0; equal when it is known.
    """

    code = "chain_broken"

    def __init__(self, message: str, *, first: int = 0, last: int | None = None) -> None:
        super().__init__(message)
        self.first = first
        self.last = first if last is None else last
