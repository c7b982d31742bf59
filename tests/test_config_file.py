"""load makes a Config of a text, or says where the text is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from camrelay import config
from camrelay.config import Camera, Config
from camrelay.config_file import check_camera, load
from camrelay.errors import ConfigError

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "config" / "camrelay.toml"

KEYS_URL = "[[auth.jwks]]\ntenant = 'hotel'\nurl"
MAIL = '[mail]\nserver = "m.example:25"\nsender = "a@b.example"\nsite = "https://b.example:8443"\n'
CAMERA = '[[camera]]\nid = "yard"\nurl = "rtsp://10.0.0.5/"\n'


def test_an_empty_file_is_all_defaults() -> None:
    """Every option has a default; cameras are the only thing one must name."""
    assert load("") == Config()


def test_letters_are_written_where_there_is_a_way_for_them() -> None:
    """By a server or into a folder; an empty table is none."""
    assert [load(text).mail.enabled for text in ("", MAIL, MAIL.replace("server", "outbox"))] == [
        False,
        True,
        True,
    ]


def test_values_arrive() -> None:
    """Tables, arrays of tables and lists become structs and tuples."""
    loaded = load('[ring]\nseconds = 1\n[server]\ntrusted_proxies = ["10.0.0.0/8", "::1"]\n' + CAMERA)

    assert loaded.ring.seconds == 1.0
    assert loaded.server.trusted_proxies == ("10.0.0.0/8", "::1")
    assert loaded.camera[0].id == "yard"
    assert loaded.camera[0].transport == "tcp"


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("[server]\nlisten =\n", 2, "not TOML", ""),
        ("[server", 1, "not TOML", ""),
        ('a = 1\nx = "\n\n', 2, "not TOML", ""),
        ("[server]\n\nlistn = 1\n", 3, "server.listn is not an option", "did you mean listen?"),
        ("[[cameras]]\n", 1, "cameras is not an option", "did you mean camera?"),
        ("[hls]\npart_ms = 50\n", 2, "hls.part_ms", "a whole number from 100 up to 2000"),
        ("[hls]\npart_ms = 200.5\n", 2, "hls.part_ms", "a whole number"),
        ("[server]\nlog_format = 'xml'\n", 2, "server.log_format", '"console" or "json"'),
        ("[ring]\nseconds = nan\n", 2, "ring.seconds", "over 0 up to 86400"),
        ("[audit]\nacts_days = 7\nviewings_days = 8\n", 3, "audit.viewings_days is over acts_days", ""),
        ("[audit]\nviewings_details_days = 181\n", 2, "viewings_details_days is over viewings_days", ""),
        ("[audit]\nacts_details_days = 366\n", 2, "acts_details_days is over acts_days", ""),
        ('[server]\ntls_certificate = "a.pem"\n', 2, "server.tls_certificate and tls_key go together", ""),
        ('[server]\nredirect_listen = "0.0.0.0:80"\n', 2, "is of no use without tls_certificate", ""),
        (
            '[server]\ntls_certificate = "a.pem"\ntls_key = "a.key"\nredirect_listen = "host:80"\n',
            4,
            "server.redirect_listen is not an IP address and a port",
            "",
        ),
        ('[mail]\nserver = "m:25"\noutbox = "o"\n', 3, "mail.outbox is instead of a server", ""),
        ('[mail]\nserver = "mail"\n', 2, "mail.server is not a name and a port", ""),
        ('[mail]\noutbox = "o"\n', 1, "mail.sender has to be the address", ""),
        ('[mail]\noutbox = "o"\nsender = "a@b.example"\nsite = "b.example/"\n', 4, "mail.site has to be", ""),
        (f'{MAIL}security = "none"\nusername = "a"\n', 5, "mail.security cannot be none", ""),
        (
            "[[camera]]\nid = 'a'\nurl = 'rtsps://h/'\ntransport = 'udp'\n",
            4,
            "camera.transport cannot be udp with an rtsps:// URL",
            "",
        ),
        (
            f"[[camera]]\nid = 'a'\nurl = 'rtsp://h/'\ntls_fingerprint = '{'0a' * 32}'\n",
            4,
            "camera.tls_fingerprint is for rtsps:// URLs",
            "",
        ),
        (
            f"{KEYS_URL} = 'http://hotel.example/keys'\n",
            3,
            "auth.jwks.url is no https:// URL, nor an http:// URL of this machine",
            "",
        ),
        (
            f"{KEYS_URL} = 'https://hotel.example/keys'\nkeep_s = 100\n",
            4,
            "auth.jwks.keep_s is under refresh_s",
            "",
        ),
        ("[auth]\nlost_feed_end_s = 2\n", 2, "auth.lost_feed_end_s is under lost_feed_refuse_s", ""),
        ("[callback]\nurl = 'http://10.0.0.5/'\n", 2, "callback.url is no https:// URL", ""),
        ("[auth]\nquery_tokens = 1\n", 2, "auth.query_tokens", "true or false"),
        ("server = 5\n", 1, "server", "a table"),
        ("[camera]\nid = 'a'\n", 1, "camera", "double brackets"),
        (CAMERA + '[[camera]]\nid = "A/b"\nurl = ""\n', 5, "camera.id", "1 to 64 of a-z"),
        ('[[camera]]\nid = "yard\\n"\nurl = ""\n', 2, "camera.id", "1 to 64 of a-z"),
        ("[[camera]]\nid = 'a'\n", 1, "camera needs url", ""),
        (CAMERA + CAMERA, 5, "camera.id 'yard' is taken by a camera above", ""),
        ("[server]\nlisten = '8080'\n", 2, "server.listen is not an IP address and a port", ""),
        ("[webrtc]\nlisten = '0.0.0.0:99999'\n", 2, "webrtc.listen is a port is at most 65535", ""),
        ("[metrics]\nlisten = '127.0.0.1:8080'\n", 2, "metrics.listen is the listener that viewers use", ""),
        ("[server]\ntrusted_proxies = ['nginx']\n", 2, "server.trusted_proxies", ""),
        ("[webrtc]\nadvertise = ['10.0.0.0/8']\n", 2, "webrtc.advertise", ""),
        ("[webrtc]\nadvertise = ['relay']\n", 2, "webrtc.advertise", ""),
        ("[hls]\nsegment_s = 6\n", 2, "hls.segment_s is over target_duration_s", ""),
        ("[ingest]\nbackoff_min_s = 40\n", 2, "ingest.backoff_min_s is over backoff_max_s", ""),
        (CAMERA + 'password = "${CAM_PASSWORD}"\n', 4, "camera.password needs CAM_PASSWORD", ""),
    ],
)
def test_a_bad_file_is_refused_with_its_line(text: str, line: int | None, message: str, hint: str) -> None:
    """Where it is wrong, what is wrong, what would be right."""
    with pytest.raises(ConfigError) as caught:
        load(text)

    assert message in str(caught.value)
    assert caught.value.line == line
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("fingerprint", "is_good"),
    [
        ("", True),
        ("0aF" * 21 + "b", True),
        (":".join(["0a"] * 32), True),
        ("0a" * 31, False),
        ("0a" * 33, False),
        ("0g" * 32, False),
        (":".join(["0a"] * 32) + "\n", False),
    ],
)
def test_a_fingerprint_is_that_of_sha256(fingerprint: str, is_good: bool) -> None:
    """As openssl prints it, or without the colons."""
    camera = {"id": "a", "url": "rtsps://192.168.1.2/", "tls_fingerprint": fingerprint}
    if is_good:
        check_camera(msgspec.convert(camera, Camera))
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(camera, Camera)


def test_check_camera_says_which_option_is_wrong() -> None:
    """For cameras that come by the API."""
    with pytest.raises(ConfigError, match=r"^transport cannot be udp"):
        check_camera(Camera(id="a", url="RTSPS://192.168.1.2/", transport="udp"))
    with pytest.raises(ConfigError, match=r"^transport cannot be udp"):
        check_camera(Camera(id="a", url="rtsp://h/", sub_url="rtsps://h/", transport="udp"))


def test_two_listeners_on_any_free_port_are_two() -> None:
    """Port 0 is nobody's in particular."""
    assert load("[server]\nlisten='127.0.0.1:0'\n[metrics]\nlisten='127.0.0.1:0'\n").metrics.enabled


def test_metrics_that_are_off_collide_with_nobody() -> None:
    """Their listener is never opened."""
    assert load("[metrics]\nenabled=false\nlisten='127.0.0.1:8080'\n").server.listen == "127.0.0.1:8080"


def test_secrets_come_from_the_environment_when_the_file_says_so() -> None:
    """Only whole values of options that hold secrets are looked up; everything else is literal."""
    loaded = load(
        '[store]\nurl = "${DB}"\n[webrtc]\nice_servers = ["${TURN}", "stun:10.0.0.1:3478"]\n'
        + CAMERA
        + 'title = "${DB}"\nusername = "x"\npassword = "a${DB}"\n',
        {"DB": "postgresql://x", "TURN": "turn:u:p@10.0.0.1:3478"},
    )

    assert loaded.store.url == "postgresql://x"
    assert loaded.webrtc.ice_servers == ("turn:u:p@10.0.0.1:3478", "stun:10.0.0.1:3478")
    assert loaded.camera[0].title == "${DB}"
    assert loaded.camera[0].password == "a${DB}"


@pytest.mark.parametrize(
    "text", ["password = 12345\nid = 'a'", "url = 12345\npassword = 'hunter12345'", "pasword = 'hunter12345'"]
)
def test_errors_never_repeat_a_value(text: str) -> None:
    """A password that went into the wrong place stays out of the terminal and the log."""
    with pytest.raises(ConfigError) as caught:
        load(f"[[camera]]\n{text}\n")

    assert "12345" not in str(caught.value) + caught.value.hint
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "https://hotel.example/keys?version=2",
        "https://[2001:db8::1]:8443/",
        "http://localhost/keys",
        "http://127.0.0.1:9000/keys",
        "http://[::1]:9000/keys",
    ],
)
def test_keys_are_fetched_unread_and_unchanged(url: str) -> None:
    """Over TLS, or without leaving this machine."""
    assert load(f"{KEYS_URL} = '{url}'\n").auth.jwks[0].url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https:///keys",
        "https://hotel.example:port/",
        "https://[::1/",
        "https://user:password@hotel.example/",
        "https://hotel.example/\u00e9",
        "https://hotel.example/a b\u0007",
        "http://127.0.0.1.hotel.example/",
        "http://10.0.0.5/",
        "file:///etc/passwd",
    ],
)
def test_keys_come_from_nowhere_else(url: str) -> None:
    """Whoever could change them on the way would watch."""
    with pytest.raises(ConfigError, match=r"auth\.jwks\.url is no https://"):
        load(f"{KEYS_URL} = {msgspec.json.encode(url).decode()}\n")


def options() -> Iterator[tuple[str, str, object]]:
    """(table, key, default) of every option."""
    for section in msgspec.structs.fields(Config):
        struct = config.Camera if section.name == "camera" else section.type
        for field in msgspec.structs.fields(struct):
            yield section.name, field.name, field.default


def test_the_shipped_file_shows_every_option_with_its_default() -> None:
    """Uncommenting a line changes nothing, so the file can be trusted as the description of the defaults."""
    text = SHIPPED.read_text()
    assert load(text) == Config()

    uncommented = load(
        re.sub(r"^# ?(\[|[a-z_]+ = )", r"\1", text, flags=re.MULTILINE), {"FRONT_DOOR_PASSWORD": "x"}
    )
    given = msgspec.to_builtins(uncommented)

    example = given["camera"][0]
    for table, key, default in options():
        value = (example if table == "camera" else given[table])[key]
        assert re.search(rf"^#? ?{key} = ", text, re.MULTILINE), f"{table}.{key} is not shown"
        if default is not msgspec.NODEFAULT and table != "camera":
            assert value == msgspec.to_builtins(default), f"{table}.{key} is shown with another default"


def test_every_option_is_read_somewhere() -> None:
    """An option that nothing reads is a promise that nobody keeps."""
    sources = [path for path in (ROOT / "src").rglob("*.py") if path.name != "config.py"]
    code = "\n".join(path.read_text() for path in sources)

    assert [key for _, key, _ in options() if not re.search(rf"\.{key}\b", code)] == []


@pytest.mark.parametrize(("table", "key"), [(table, key) for table, key, _ in options()])
def test_every_option_is_documented(table: str, key: str) -> None:
    """docs/configuration.md has a row for each, under its table's heading."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    heading = f"## `[[{table}]]`" if table == "camera" else f"## `[{table}]`"

    assert heading in text
    section = text.split(heading)[1].split("\n## ")[0]
    assert f"| `{key}` |" in section
