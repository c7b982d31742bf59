"""What a log line shows, and what it must never show."""

from __future__ import annotations

import logging

import msgspec
import pytest

from camrelay import config, logs
from camrelay.api import CameraChanges
from camrelay.find import ProbeRequest
from camrelay.ingest.device import Question
from camrelay.ingest.feed import Start
from camrelay.ingest.scout import Access
from camrelay.ingest.target import Target


def record(message: str, **extra: str) -> logging.LogRecord:
    made = logging.LogRecord("camrelay.ingest", logging.INFO, __file__, 1, message, None, None)
    made.__dict__.update(extra)
    return made


@pytest.mark.parametrize(
    "text",
    [
        "Connection refused: 'rtsp://admin:S3cret@192.0.2.1/live'",
        "GET /m/S3cretS3cretS3cret/gate/index.m3u8",
        "Authorization: Bearer eyJhbGciS3cret.eyJzdWIiS3cret.S3cret",
        "GET /x?token=S3cret&b=1",
        "GET /x?a=1&api_key=S3cret",
    ],
)
def test_secrets_are_taken_out_of_every_line(text: str) -> None:
    """Whoever logs a URL with a password, a capability path or a token: the line does not show it."""
    assert "S3cret" not in logs.redact(text)


@pytest.mark.parametrize(
    "holder",
    [
        config.Camera(id="gate", url="rtsp://192.0.2.1/", password="S3cret"),
        config.Config(camera=(config.Camera(id="gate", url="rtsp://192.0.2.1/", password="S3cret"),)),
        CameraChanges(password="S3cret"),
        ProbeRequest(host="192.0.2.1", password="S3cret"),
        Access("192.0.2.1", password="S3cret"),
        Question("192.0.2.1", 80, "192.0.2.1:80", password="S3cret"),
        Start(1, "192.0.2.1", 554, "192.0.2.1:554", "/", False, "admin", "S3cret", "tcp"),
        Target("192.0.2.1", 554, "192.0.2.1:554", "/", "admin", "S3cret"),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_nothing_that_holds_a_cameras_password_prints_it(holder: object) -> None:
    """Whatever ends up in a log line, an error text or a traceback with values."""
    assert "S3cret" not in repr(holder)
    assert "S3cret" not in f"{holder}"


def test_ordinary_text_stays_as_it_is() -> None:
    """Redaction does not eat what operators need to read."""
    assert logs.redact("camera front-door is live after 0.21 s") == "camera front-door is live after 0.21 s"


def test_console_line_carries_ids() -> None:
    """The console line names camera and session."""
    line = logs.ConsoleFormatter().format(record("live", camera="gate", session="s1"))
    assert "live" in line
    assert "[camera=gate session=s1]" in line


def test_json_line_is_one_object_with_ids() -> None:
    """The JSON line parses and carries level, logger, message and ids."""
    line = logs.JsonFormatter().format(record("two\nlines", camera="gate"))
    assert "\n" not in line
    parsed = msgspec.json.decode(line)
    assert (parsed["level"], parsed["message"], parsed["camera"]) == ("info", "two\nlines", "gate")


def test_tracebacks_are_redacted() -> None:
    """An exception that quotes a URL with a password does not bring it into the log."""
    made = record("failed")
    try:
        raise OSError("cannot open rtsp://admin:S3cret@192.0.2.1/")
    except OSError as error:
        made.exc_info = (type(error), error, error.__traceback__)
    assert "S3cret" not in logs.ConsoleFormatter().format(made)


def test_lines_are_bounded() -> None:
    """A hostile megabyte does not become a megabyte of log."""
    assert len(logs.ConsoleFormatter().format(record("x" * 1_000_000))) < 5000


def test_set_up_keeps_libraries_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """camrelay speaks at its level, libraries only from WARNING on."""
    before = logging.getLogger().handlers[:]
    try:
        logs.set_up("json", "info")
        logging.getLogger("camrelay.ingest").info("ours")
        logging.getLogger("zeep.transports").info("theirs")
        logs.set_up("console", "info")
    finally:
        logging.getLogger().handlers[:] = before
        logging.getLogger("camrelay").setLevel(logging.NOTSET)
    shown = capsys.readouterr().err
    assert "ours" in shown
    assert "theirs" not in shown
