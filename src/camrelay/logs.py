"""How camrelay logs: one line an event, for people or as JSON, with ids and without secrets.

Ids come in through `extra={"camera": ..., "session": ...}`. What could carry a secret is taken out at the
last door, whoever logged it: user and password of a URL, tokens in a query, JSON web tokens, paths under /m/.
"""

from __future__ import annotations

import datetime
import logging
import re
import sys

import msgspec

_FIELDS = ("camera", "session", "protocol", "worker", "reason", "request")

_SECRETS = (
    (re.compile(r"(://)[^\s/@'\"]{1,512}@"), r"\1***@"),
    (re.compile(r"(/m/)[A-Za-z0-9_-]{8,}"), r"\1***"),
    (re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?"), "***"),
    (
        re.compile(r"([?&][a-z_]{0,20}(?:token|secret|password|key)[a-z_]{0,20}=)[^\s&'\"]*", re.IGNORECASE),
        r"\1***",
    ),
)

#: One line never grows past this: a viewer's header or a camera's answer may be inside.
_LINE_LIMIT = 4096


def redact(text: str) -> str:
    """Takes credentials, tokens and capability paths out of a text."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    # Cut twice: first so that a hostile megabyte costs little, then away from a secret the first cut split.
    return redact(text[: 2 * _LINE_LIMIT])[:_LINE_LIMIT]


def _ids(record: logging.LogRecord) -> dict[str, str]:
    return {name: str(getattr(record, name)) for name in _FIELDS if hasattr(record, name)}


class ConsoleFormatter(logging.Formatter):
    """Time, level, logger, message, ids: for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        ids = " ".join(f"{name}={value}" for name, value in _ids(record).items())
        area = record.name.removeprefix("camrelay.")
        message = _message(record).replace("\n", "\n    ")
        return f"{time} {record.levelname:<7} {area:<8} {message}" + (f"  [{ids}]" if ids else "")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: for a log collector."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **_ids(record),
        }
        return msgspec.json.encode(line).decode()


def set_up(style: str, level: str) -> None:
    """Sends every log line to stderr in the given style ("console" or "json").

    Libraries speak from WARNING on: at INFO and below some of them print what they send and receive.
    """
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(JsonFormatter() if style == "json" else ConsoleFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[output], force=True)
    logging.getLogger("camrelay").setLevel(level.upper())
