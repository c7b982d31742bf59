"""One TOML file becomes one Config.

Unknown keys are refused with the line they stand on and the nearest known key; so are values out of range
and options that contradict each other. This module reads no file and no environment: `load` takes the text
and the variables.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from camrelay.config import SECRETS, Camera, Config, Mail, split_address
from camrelay.config_fault import Fault, dotted, misfit, unknown_keys
from camrelay.errors import ConfigError
from camrelay.toml_lines import Path, line_of

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
