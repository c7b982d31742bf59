"""Every option of camrelay: its default, its unit, its limits. `config_file` makes them of a TOML file."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from camrelay.errors import ConfigError
from camrelay.toml_lines import Path

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Fingerprint = Annotated[str, Meta(pattern=r"^(([0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2})?\Z")]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class Server(_Section, frozen=True):
    """[server]: the HTTP listener that viewers, owners and the API use."""

    #: Address and port, "[::]:8080" for every interface.
    listen: str = "127.0.0.1:8080"
    #: Reverse proxies (addresses or CIDR networks) whose X-Forwarded-For is believed.
    trusted_proxies: tuple[str, ...] = ()
    #: PEM files of a certificate with its chain and of its key, read again when they change; "": plain HTTP.
    tls_certificate: str = ""
    tls_key: str = ""
    #: Address and port of a second listener, in plain HTTP, that only sends browsers to TLS; "" is none.
    redirect_listen: str = ""
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Metrics(_Section, frozen=True):
    """[metrics]: the Prometheus listener; never the one viewers use."""

    enabled: bool = True
    listen: str = "127.0.0.1:9464"


class Webrtc(_Section, frozen=True):
    """[webrtc]: WHEP viewers, all on one UDP port."""

    enabled: bool = True
    #: Address and UDP port of every WebRTC viewer.
    listen: str = "0.0.0.0:8189"
    #: Addresses told to browsers, for NAT and containers; empty: the addresses of this machine's interfaces.
    advertise: tuple[str, ...] = ()
    #: STUN/TURN URLs handed to browsers in the Link header, as "turn:user:password@host:3478?transport=udp".
    ice_servers: tuple[str, ...] = ()
    #: POST to finished DTLS handshake.
    handshake_timeout_s: Seconds = 10.0
    #: RFC 7675: no answered consent for this long, and the viewer is gone.
    consent_timeout_s: Seconds = 30.0
    max_viewers: Annotated[int, Meta(ge=1)] = 5000
    #: How far back NACKs are answered.
    history_s: Annotated[float, Meta(ge=1, le=10)] = 2.0
    #: Pace of the GOP so far that a joining viewer is sent first, in bits per second.
    start_burst_bps: Annotated[int, Meta(ge=1_000_000)] = 100_000_000


class Hls(_Section, frozen=True):
    """[hls]: LL-HLS and classic HLS from the same segments."""

    enabled: bool = True
    #: PART-TARGET. Parts are this long, give or take 15 % (rfc8216bis §4.4.4.9).
    part_ms: Annotated[int, Meta(ge=100, le=2000)] = 200
    #: Wished segment length; segments are cut at key frames, or without one when a GOP outgrows the target.
    segment_s: Annotated[float, Meta(ge=1, le=10)] = 2.0
    #: TARGETDURATION; constant for a playlist's life, so it must cover the longest GOP that is to stay whole.
    target_duration_s: Annotated[int, Meta(ge=1, le=20)] = 4
    #: Segments listed in the playlist; never less than 3 x TARGETDURATION in time.
    window_segments: Annotated[int, Meta(ge=3, le=60)] = 7
    #: No request for this long, and the viewing is over.
    idle_timeout_s: Seconds = 30.0


class Ring(_Section, frozen=True):
    """[ring]: what one camera keeps in memory; whichever limit is reached first counts."""

    seconds: Seconds = 30.0
    max_bytes: Annotated[int, Meta(ge=1_000_000)] = 32_000_000


class Ingest(_Section, frozen=True):
    """[ingest]: reading cameras."""

    cameras_per_worker: Annotated[int, Meta(ge=1, le=256)] = 64
    #: TCP connect, DESCRIBE, SETUP and PLAY together.
    open_timeout_s: Seconds = 15.0
    #: No video access unit for this long, and the camera counts as gone. A camera that sends fewer pictures
    #: than that needs more.
    stall_timeout_s: Seconds = 5.0
    backoff_min_s: Seconds = 0.5
    #: The longest a camera that is back may wait to be noticed.
    backoff_max_s: Seconds = 8.0
    #: An on-demand camera stays connected this long after its last viewer, who may only have reloaded a page.
    linger_s: Annotated[float, Meta(ge=1, le=86_400)] = 10.0
    #: Cameras connecting at the same time, per relay.
    connect_concurrency: Annotated[int, Meta(ge=1)] = 16
    #: Show the password itself to ONVIF devices that refuse a digest of it. Anybody on the way can read it.
    onvif_plain_passwords: bool = False


class Egress(_Section, frozen=True):
    """[egress]: the addresses cameras may have. Loopback and link-local are refused unless listed."""

    #: CIDR networks with optional ports, "192.168.10.0/24:554,8554"; empty: every private network.
    allow: tuple[str, ...] = ()


class TenantKey(_Section, frozen=True):
    """[[auth.key]]: a key whose grants are believed for the cameras of one tenant."""

    #: What the `kid` of its tokens says.
    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
    tenant: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z")]
    #: Its public half: the `x` of an Ed25519 JWK.
    public: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")]


class TenantKeySet(_Section, frozen=True):
    """[[auth.jwks]]: where a tenant's own backend publishes the keys that it signs grants with."""

    tenant: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z")]
    #: A JWK set (RFC 7517) at an https:// URL, or http:// on this machine.
    url: Annotated[str, Meta(max_length=2000)]
    #: How long it takes until a key that is published, or taken back, is noticed.
    refresh_s: Annotated[int, Meta(ge=60, le=86_400)] = 300
    #: How long the last keys are believed while none can be fetched; then the tenant's grants are refused.
    keep_s: Annotated[int, Meta(ge=60, le=604_800)] = 3600


class Auth(_Section, frozen=True):
    """[auth]: who may watch."""

    #: Issuer and audience of grant tokens made and accepted here.
    issuer: str = "camrelay"
    audience: str = "camrelay"
    #: Longest life a grant token may claim.
    max_token_life_s: Annotated[int, Meta(ge=60, le=604_800)] = 86_400
    #: Accept ?token= as well as the Authorization header. Off: URLs end up in logs and histories.
    query_tokens: bool = False
    #: A media session serves only the network (/24 or /48) that opened it. Phones that change networks begin
    #: a new one.
    bind_network: bool = False
    #: Whose grants are believed besides the relay's own: the keys of tenants' own backends.
    key: tuple[TenantKey, ...] = ()
    #: The same, where the backend publishes its keys. A key id is believed of the tenant named first.
    jwks: tuple[TenantKeySet, ...] = ()
    #: On PostgreSQL: no news of what other relays withdraw for this long, and nobody begins to watch what is
    #: not public; for the second time, and those who do are cut, unless it is 0.
    lost_feed_refuse_s: Annotated[float, Meta(ge=2, le=3600)] = 5.0
    lost_feed_end_s: Annotated[float, Meta(ge=0, le=86_400)] = 30.0
    #: Media sessions, running or not, that may exist at once.
    max_sessions: Annotated[int, Meta(ge=1)] = 20_000


class Callback(_Section, frozen=True):
    """[callback]: a service of the operator's that decides who may watch, where nobody here can."""

    #: https:// URL, or http:// of this machine, that MediaMTX's question is sent to; "": none is asked.
    url: Annotated[str, Meta(max_length=2000)] = ""
    #: No answer for this long is a refusal.
    timeout_s: Annotated[float, Meta(gt=0, le=30)] = 2.0
    #: For how long an answer counts; the same question is asked again before that, and the viewing goes on.
    lease_s: Annotated[float, Meta(ge=5, le=86_400)] = 60.0
    #: Questions on their way at once; beyond it, viewings are refused.
    max_questions: Annotated[int, Meta(ge=1, le=10_000)] = 100


class Accounts(_Section, frozen=True):
    """[accounts]: people who sign in."""

    #: Who may make an account for themselves: nobody, those who are invited, anybody.
    registration: Literal["closed", "invite", "open"] = "closed"
    #: What those who register without an invitation become. Owners add cameras: addresses the relay dials.
    registered_role: Literal["viewer", "owner"] = "viewer"
    #: Their tier, by its name; "" is no limit.
    registered_tier: Annotated[str, Meta(max_length=64)] = ""


class Mail(_Section, frozen=True):
    """[mail]: letters to people who are invited. Without `server` and `outbox` none are written."""

    #: A mail server's name and port, such as "mail.cams.example:465".
    server: str = ""
    #: TLS from the first byte, by STARTTLS before anything is said, or none: for a server next door.
    security: Literal["tls", "starttls", "none"] = "tls"
    #: What the server wants to know, if it does; never sent without TLS.
    username: str = ""
    password: str = ""
    #: A folder that gets letters as files instead, to try things out.
    outbox: str = ""
    #: The address that letters are from.
    sender: str = ""
    #: Where people find the relay, "https://cams.example". Links in letters begin with this and with nothing
    #: that a request says.
    site: str = ""
    #: Letters that one account may have written in a day.
    invitations_a_day: Annotated[int, Meta(ge=1, le=10_000)] = 20

    @property
    def enabled(self) -> bool:
        """Whether letters are written."""
        return bool(self.server or self.outbox)


class Audit(_Section, frozen=True):
    """[audit]: the access record."""

    #: A viewing waits this long for its record to be durable, then is refused: the answer is there in two
    #: seconds.
    commit_timeout_s: Seconds = 1.5
    #: Records waiting to be written; beyond it, new viewings are refused.
    queue_limit: Annotated[int, Meta(ge=100)] = 65_536
    #: What is kept of viewers' addresses, each with what the one before keeps: nothing, the network (/24 or
    #: /48), a hash whose key is destroyed after the day, the address itself sealed with the viewer's key.
    ip_mode: Literal["none", "prefix", "prefix+keyed", "sealed"] = "prefix+keyed"
    #: For how many days it is kept who watched what.
    viewings_days: Annotated[int, Meta(ge=1, le=3660)] = 180
    #: For how many days it is kept what was done with the record and with rights.
    acts_days: Annotated[int, Meta(ge=1, le=3660)] = 365
    #: For how many days network, address and browser of people are kept beside either. 0: as long as these.
    viewings_details_days: Annotated[int, Meta(ge=0, le=3660)] = 0
    acts_details_days: Annotated[int, Meta(ge=0, le=3660)] = 0
    #: SQLAlchemy URL of the PostgreSQL that keeps who the records are about; "" means SQLite in the
    #: directory.
    url: str = ""
    #: Who gets a copy of every line: "file:/path", "syslog://host:port", "http://" or "https://" URLs.
    sinks: tuple[str, ...] = ()


class Store(_Section, frozen=True):
    """[store]: where camrelay keeps its keys, records and database."""

    #: Made with mode 0700 at first start.
    directory: str = "camrelay-data"
    #: SQLAlchemy URL; "" means SQLite in the directory.
    url: str = ""


class Camera(_Section, frozen=True):
    """[[camera]]: one camera."""

    id: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z")]
    #: rtsp:// or rtsps://, without user and password: those are fields of their own.
    url: str
    #: A second, smaller stream of the camera, for viewers whose connection is slow. Empty: there is none.
    sub_url: str = ""
    title: Annotated[str, Meta(max_length=200)] = ""
    description: Annotated[str, Meta(max_length=2000)] = ""
    #: IANA name of the camera's own time zone.
    time_zone: str = "UTC"
    username: str = ""
    password: str = ""
    transport: Literal["tcp", "udp"] = "tcp"
    #: SHA-256 of the certificate of an rtsps:// camera, in hexadecimal with or without colons. Empty: the
    #: certificate must be one that this machine trusts.
    tls_fingerprint: Fingerprint = ""
    #: Where its ONVIF device listens (HTTP), and the token of the stream's profile there: then it is asked
    #: for a key frame when a viewer waits for one. Empty: it is not.
    onvif_port: Annotated[int, Meta(ge=1, le=65_535)] = 80
    onvif_profile: Annotated[str, Meta(max_length=200)] = ""
    #: Off: the camera's sound is not read. Sound needs a consent of its own in many places.
    audio: bool = True
    #: "on_demand": connected only while somebody watches, who then waits for the first key frame.
    connect: Literal["always", "on_demand"] = "always"
    #: Who may watch besides its owner, each step with those before: nobody, whom it is shared with, whoever
    #: has a link, every account of its tenant, everybody.
    visibility: Literal["private", "shared", "link", "members", "public"] = "private"
    #: The tenant it belongs to, and the id of the account in it that owns it; "" is its operators' own.
    tenant: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z")] = "main"
    owner: Annotated[str, Meta(max_length=32)] = ""

    def __repr__(self) -> str:
        return f"Camera({self.id!r})"


class Config(_Section, frozen=True):
    """The whole file."""

    server: Server = Server()
    metrics: Metrics = Metrics()
    webrtc: Webrtc = Webrtc()
    hls: Hls = Hls()
    ring: Ring = Ring()
    ingest: Ingest = Ingest()
    egress: Egress = Egress()
    auth: Auth = Auth()
    callback: Callback = Callback()
    accounts: Accounts = Accounts()
    mail: Mail = Mail()
    audit: Audit = Audit()
    store: Store = Store()
    camera: tuple[Camera, ...] = ()


#: Options that may hold a secret, and so may be "${NAME}": the value of that environment variable.
SECRETS: tuple[Path, ...] = (
    ("camera", "password"),
    ("callback", "url"),
    ("store", "url"),
    ("mail", "password"),
    ("webrtc", "ice_servers"),
    ("audit", "sinks"),
    ("audit", "url"),
)


def split_address(listen: str) -> tuple[str, int]:
    """The IP address and the port of an option such as "127.0.0.1:8080" or "[::]:8080".

    Raises:
        ConfigError: it is not that; port 0 means any free one.
    """
    host, _, port = listen.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        address = None
    if address is None or (address.version == 6) != bracketed or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ConfigError("not an IP address and a port, such as 127.0.0.1:8080 or [::]:8080")
    if int(port) > 65535:
        raise ConfigError("a port is at most 65535")
    return str(address), int(port)
