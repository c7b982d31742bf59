"""Every option of camrelay: its default, its unit, its limits. One TOML file becomes one Config.

Unknown keys are refused with the line they stand on and the nearest known key; so are values out of range.
This module reads no file and no environment: `load` takes the text and the variables.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from camrelay.config_fault import Fault, dotted, misfit, unknown_keys
from camrelay.errors import ConfigError
from camrelay.toml_lines import Path, line_of

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

    cameras_per_worker: Annotated[int, Meta(ge=1, le=256)] = 16
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
)

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def load(text: str, environment: Mapping[str, str] | None = None) -> Config:
    """Reads a whole configuration; `environment` fills the SECRETS written as "${NAME}".

    Raises:
        ConfigError: not TOML, an unknown key, a value out of its range, an unset variable, or options that
            contradict each other; with the line, and the nearest known key or the accepted range as hint.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        # Its words tell what was expected and where, never a value; without a line they mean the end.
        line = re.search(r"at line (\d+)", str(e))
        end = text.rstrip().count("\n") + 1
        raise ConfigError(f"not TOML: {e}", line=int(line[1]) if line else end) from None
    for fault in (*unknown_keys(data, Config), *_fill_secrets(data, (), environment or {})):
        raise _error(text, fault)
    try:
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError as e:
        raise _error(text, misfit(str(e), Config)) from None
    for fault in _contradictions(config):
        raise _error(text, fault)
    return config


def check_camera(camera: Camera) -> None:
    """Returns when no option of a camera contradicts another one.

    Raises:
        ConfigError: one does.
    """
    if fault := _misfit_of(camera):
        raise ConfigError(" ".join(fault))


def _misfit_of(camera: Camera) -> tuple[str, str] | None:
    """The option of a camera that contradicts another one, and how; None when all is well."""
    urls = [url.lower() for url in (camera.url, camera.sub_url) if url]
    if camera.transport == "udp" and any(url.startswith("rtsps:") for url in urls):
        return "transport", "cannot be udp with an rtsps:// URL: datagrams would not be encrypted"
    if camera.tls_fingerprint and not all(url.startswith("rtsps:") for url in urls):
        return "tls_fingerprint", "is for rtsps:// URLs; this camera shows no certificate"
    return None


#: A site's origin (RFC 6454 §6.1); links must not be made of anything else.
_SITE = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")
_SENDER = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+")
_MAIL_SERVER = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}")


def _misfit_of_mail(mail: Mail) -> tuple[str, str] | None:
    """The option of [mail] that does not go with the others, and how; None when all is well."""
    if not mail.enabled:
        return None
    if mail.server and mail.outbox:
        return "outbox", "is instead of a server: choose one"
    if mail.server and not _MAIL_SERVER.fullmatch(mail.server):
        return "server", "is not a name and a port, such as mail.cams.example:465"
    if not _SENDER.fullmatch(mail.sender):
        return "sender", "has to be the address that letters are from"
    if not _SITE.fullmatch(mail.site):
        return "site", "has to be where people find the relay, such as https://cams.example"
    if mail.security == "none" and mail.username:
        return "security", "cannot be none with a username: the password would not be encrypted"
    return None


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


def _error(text: str, fault: Fault) -> ConfigError:
    return ConfigError(
        f"{dotted(fault.path)} {fault.message}", line=line_of(text, fault.path), hint=fault.hint
    )


def _fill_secrets(data: Any, path: Path, environment: Mapping[str, str]) -> Iterator[Fault]:
    """Fills in place; yields each variable that is not set."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        inner: Path = (*path, key)
        if isinstance(value, dict | list):
            yield from _fill_secrets(value, inner, environment)
        elif isinstance(value, str) and tuple(p for p in inner if isinstance(p, str)) in SECRETS:
            variable = _VARIABLE.fullmatch(value)
            if variable and variable[1] not in environment:
                yield Fault(inner, f"needs {variable[1]}, which is not set in the environment")
            elif variable:
                data[key] = environment[variable[1]]


def _contradictions(config: Config) -> Iterator[Fault]:
    """What types cannot say."""
    listeners = (("server", config.server), ("metrics", config.metrics), ("webrtc", config.webrtc))
    for section, options in listeners:
        try:
            split_address(options.listen)
        except ConfigError as e:
            yield Fault((section, "listen"), f"is {e}")
    if bool(config.server.tls_certificate) != bool(config.server.tls_key):
        yield Fault(("server", "tls_certificate"), "and tls_key go together")
    if config.server.redirect_listen:
        if not config.server.tls_certificate:
            yield Fault(("server", "redirect_listen"), "is of no use without tls_certificate")
        try:
            split_address(config.server.redirect_listen)
        except ConfigError as e:
            yield Fault(("server", "redirect_listen"), f"is {e}")
    shared = config.metrics.listen == config.server.listen and not config.server.listen.endswith(":0")
    if config.metrics.enabled and shared:
        yield Fault(("metrics", "listen"), "is the listener that viewers use")
    if not all(_is_network(network) for network in config.server.trusted_proxies):
        yield Fault(("server", "trusted_proxies"), "names something that is no address or network")
    if not all(_is_network(address) and "/" not in address for address in config.webrtc.advertise):
        yield Fault(("webrtc", "advertise"), "names something that is no IP address")
    if fault := _misfit_of_mail(config.mail):
        yield Fault(("mail", fault[0]), fault[1])
    if config.hls.segment_s > config.hls.target_duration_s:
        yield Fault(("hls", "segment_s"), "is over target_duration_s, the longest a segment may be")
    if config.audit.viewings_days > config.audit.acts_days:
        yield Fault(("audit", "viewings_days"), "is over acts_days: a purge must outlive what it purged")
    for name in ("viewings", "acts"):
        if getattr(config.audit, f"{name}_details_days") > getattr(config.audit, f"{name}_days"):
            yield Fault(("audit", f"{name}_details_days"), f"is over {name}_days: details go with the record")
    if config.ingest.backoff_min_s > config.ingest.backoff_max_s:
        yield Fault(("ingest", "backoff_min_s"), "is over backoff_max_s")
    if 0 < config.auth.lost_feed_end_s < config.auth.lost_feed_refuse_s:
        yield Fault(("auth", "lost_feed_end_s"), "is under lost_feed_refuse_s: who is cut would begin again")
    for i, published in enumerate(config.auth.jwks):
        if not _is_guarded(published.url):
            yield Fault(("auth", "jwks", i, "url"), _UNGUARDED)
        if published.keep_s < published.refresh_s:
            yield Fault(("auth", "jwks", i, "keep_s"), "is under refresh_s: no key would last until the next")
    if config.callback.url and not _is_guarded(config.callback.url):
        yield Fault(("callback", "url"), _UNGUARDED)
    seen: set[str] = set()
    for i, camera in enumerate(config.camera):
        if camera.id in seen:
            yield Fault(("camera", i, "id"), f"{camera.id!r} is taken by a camera above")
        seen.add(camera.id)
        if fault := _misfit_of(camera):
            yield Fault(("camera", i, fault[0]), fault[1])


_UNGUARDED = "is no https:// URL, nor an http:// URL of this machine, without user and password"


def _is_guarded(text: str) -> bool:
    """Whether nobody on the way reads or changes what is asked for at a URL."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        return False
    if not host or "@" in url.netloc or not text.isascii() or not text.isprintable():
        return False
    return url.scheme == "https" or (url.scheme == "http" and host in _THIS_MACHINE)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
