"""The pages: their headers, their weight, and that nothing on them comes from elsewhere."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from markupsafe import escape

from auth_builders import make_account
from camrelay.pages import FIRST_WORDS, HLS_LIBRARY, Pages
from camrelay.server import Route, build

WEB = Path(__file__).parent.parent / "src" / "camrelay" / "web"

OWN = [p for p in sorted(WEB.rglob("*")) if p.is_file() and "vendor" not in p.parts]

#: Everything of ours for the first view, as it travels.
BUDGET_BYTES = 60_000

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Somebody who asks the pages over HTTP, without a browser's caching or unpacking."""
    app = build(Route(*route) for route in Pages().routes())
    plain = {"Accept-Encoding": "identity"}
    async with TestClient(TestServer(app), auto_decompress=False, headers=plain) as client:
        yield client


def static(page: str) -> list[str]:
    """Every address a page names."""
    return re.findall(r'(?:href|src)="([^"]*)"', page)


def hash_source(script: str) -> str:
    """How a policy names a script that stands in its page (CSP Level 3 §2.3.1)."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/cameras/yard",
        "/cameras/yard/watched",
        "/me/record",
        "/statistics",
        "/sign-in",
        "/register",
        "/me",
        "/admin/users",
        "/find",
        "/embed/yard",
    ],
)
async def test_a_page_allows_only_itself(client: Client, path: str) -> None:
    """The policy names no other host and allows no style in a page, and no script but by its very bytes."""
    answer = await client.get(path)
    page = await answer.text()
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))

    assert answer.status == 200
    assert policy["default-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert policy["base-uri"] == policy["object-src"] == "'none'"
    assert policy["frame-ancestors"] == ("*" if path.startswith("/embed") else "'none'")
    assert "unsafe" not in str(policy)
    inside = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", page, re.DOTALL)
    assert policy["script-src"] == " ".join(["'self'", *map(hash_source, inside)])
    assert len(inside) == (path == "/cameras/yard")
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", page) == []
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert [address for address in static(page) if not address.startswith(("/", "#", "?"))] == []


@pytest.mark.parametrize("path", ["/", "/cameras/yard"])
async def test_everything_a_page_names_is_there_for_good(client: Client, path: str) -> None:
    """Files carry their version in the address, so browsers may keep them without asking."""
    for address in static(await (await client.get(path)).text()):
        if not address.startswith("/static/"):
            continue
        answer = await client.get(address)
        assert answer.status == 200, address
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.content_type in {"text/css", "text/javascript", "image/svg+xml"}


async def test_a_file_of_another_version_is_todays_and_not_kept(client: Client) -> None:
    """A page opened before an upgrade still finds what it loads late."""
    answer = await client.get("/static/0123456789ab/player.js")

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-cache"


async def test_a_known_page_is_not_sent_again(client: Client) -> None:
    """The entity tag that came with a page or the player is answered with 304 and no body."""
    for path in ("/", "/player.js"):
        first = await client.get(path)
        second = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        other = await client.get(path, headers={"If-None-Match": '"something else"'})

        assert (first.status, second.status, other.status) == (200, 304, 200)
        assert await second.read() == b""
        assert second.headers["Content-Security-Policy" if path == "/" else "ETag"]


async def test_bodies_are_packed_only_for_those_who_unpack(client: Client) -> None:
    """gzip by agreement; both forms hold the same bytes."""
    packed = await client.get("/", headers={"Accept-Encoding": "br, gzip"})
    plain = await client.get("/")

    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(await packed.read()) == await plain.read()
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding, Accept-Language, Cookie"


async def test_browsers_find_an_icon_everywhere(client: Client) -> None:
    """The address that browsers try by themselves is no error."""
    answer = await client.get("/favicon.ico")

    assert (answer.status, answer.content_type) == (200, "image/svg+xml")


async def test_a_head_request_is_answered_without_a_body(client: Client) -> None:
    """Monitoring asks HEAD."""
    answer = await client.head("/")

    assert answer.status == 200
    assert await answer.read() == b""


@pytest.mark.parametrize(
    "path",
    [
        "/cameras/YARD",
        "/cameras/%22%3E%3Csvg%20onload=alert(1)%3E",
        "/embed/..%2f..%2fetc",
        "/static/0123456789ab/../../pages.py",
        "/static/0123456789ab/%2e%2e/templates/base.html",
        "/static/0123456789ab/words/en.json",
        "/static/0123456789ab/",
    ],
)
async def test_what_is_not_a_page_is_not_found(client: Client, path: str) -> None:
    """No path reaches a file outside static/, and no id that cannot exist has a page."""
    answer = await client.get(path)

    assert answer.status == 404
    assert "svg" not in await answer.text()


def test_values_are_escaped(tmp_path: Path) -> None:
    """Whatever a template is given becomes text, and a value that is missing is a mistake."""
    for folder in ("templates", "static", "words"):
        (tmp_path / folder).mkdir()
    (tmp_path / "words" / "en.json").write_text(json.dumps({"title": '"><script>alert(1)</script>'}))
    (tmp_path / "templates" / "player.js").write_text("")
    (tmp_path / "static" / "early.js").write_text("")
    (tmp_path / "templates" / "embed.html").write_text('<p title="{{ words.title }}">{{ camera }}</p>')

    page = Pages(tmp_path)._render("embed.html", camera="<svg onload=alert(1)>")

    assert page == (
        '<p title="&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;">&lt;svg onload=alert(1)&gt;</p>'
    )
    with pytest.raises(Exception, match="'camera' is undefined"):
        Pages(tmp_path)._render("embed.html")


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de-DE, fr;q=0.5", "en"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en;q=0.3, ru;q=0.7", "ru"),
        ("ru;q=0, de", "en"),
        ("ru;q=much, en", "en"),
    ],
)
async def test_a_page_speaks_the_language_that_a_browser_asks_for(
    client: Client, accepted: str, language: str
) -> None:
    """Its scripts too; without one that is known, English."""
    page = await (await client.get("/sign-in", headers={"Accept-Language": accepted})).text()
    (words,) = [address for address in static(page) if address.endswith("/words.js")]

    assert f'<html lang="{language}">' in page
    assert f'export const language = "{language}"' in await (await client.get(words)).text()


async def test_a_chosen_language_stays(client: Client) -> None:
    """Choosing sets a cookie that holds nothing else; nobody has one before."""
    before = await client.get("/", headers={"Accept-Language": "ru"})
    chosen = await client.get("/?language=ru")
    after = await client.get("/me", headers={"Cookie": "camrelay-language=ru"})
    client.session.cookie_jar.clear()
    unknown = await client.get("/?language=xx")

    assert not before.cookies
    assert not unknown.cookies
    assert chosen.cookies["camrelay-language"].value == "ru"
    assert '<html lang="ru">' in await after.text()
    assert '<html lang="en">' in await unknown.text()


def test_another_language_says_nothing_that_english_does_not() -> None:
    """Each phrase of it has a place, and a number has every form that its grammar asks for."""
    catalogues = {path.stem: json.loads(path.read_text()) for path in (WEB / "words").glob("*.json")}

    def forms(words: dict[str, Any], path: str = "") -> dict[str, set[str]]:
        if "other" in words and "one" in words:
            return {path: set(words)}
        found = {}
        for key, value in words.items():
            found |= forms(value, f"{path}.{key}") if isinstance(value, dict) else {f"{path}.{key}": set()}
        return found

    english, russian = forms(catalogues["en"]), forms(catalogues["ru"])
    assert set(catalogues) == {"en", "ru"}
    assert russian.keys() <= english.keys()
    assert all(found == {"one", "few", "many", "other"} for found in russian.values() if found)


def test_case_30_a_name_is_text_wherever_it_stands() -> None:
    """Whatever somebody calls themselves."""
    for name in ('"><svg onload=alert(1)>', "{{ 7*7 }}", "</script><script>alert(1)</script>"):
        page = Pages()._render("grid.html", person=make_account(name=name))

        assert page.count(str(escape(name))) == 1
        assert "<svg onload" not in page
        assert "<script>alert" not in page


async def test_other_sites_may_load_the_player(client: Client) -> None:
    """One lasting address, which any site may import, and whose imports are there."""
    answer = await client.get("/player.js")
    module = await answer.text()

    assert answer.content_type == "text/javascript"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    imported = re.findall(r'"\./(static/[^"]+)"', module)
    assert any(name.endswith("/player.js") for name in imported)
    for name in imported:
        assert (await client.get(f"/{name}")).status == 200


@pytest.mark.parametrize("path", OWN, ids=lambda p: p.name)
def test_no_file_names_another_host(path: Path) -> None:
    """Nothing of ours can make a browser ask anybody else. (XML namespaces and examples are not asked.)"""
    allowed = {"www.w3.org", "cams.example"}
    hosts = set(re.findall(r"(?:https?:)?//([\w-]+(?:\.[\w-]+)+)", path.read_text()))

    assert hosts <= allowed


@pytest.mark.parametrize("path", ["/", "/cameras/yard"])
async def test_the_first_view_is_light(client: Client, path: str) -> None:
    """HTML, style and modules of a page stay in the budget, and hls.js is not among them."""
    addresses = [a for a in static(await (await client.get(path)).text()) if a.startswith("/static/")]
    assert addresses
    assert not any(HLS_LIBRARY in address for address in addresses)

    bodies = [
        await (await client.get(address, headers={"Accept-Encoding": "gzip"})).read()
        for address in {path, *addresses}
    ]

    assert sum(map(len, bodies)) <= BUDGET_BYTES


async def test_comments_stay_here(client: Client) -> None:
    """Scripts and styles travel without what only their authors read."""
    for name in ("camera.js", "transport_webrtc.js", "style.css"):
        whole = (WEB / "static" / name).read_text()
        sent = await (await client.get(f"/static/0/{name}")).text()

        assert "/*" in whole or "//" in whole
        assert not re.search(r"/\*|^ *//", sent, re.MULTILINE)
        assert len(sent) < len(whole)


@pytest.mark.parametrize("page", ["grid", "camera", "embed"])
def test_the_words_of_the_first_view_are_enough_for_it(page: str) -> None:
    """What the pages to watch on, and the player, say stands in words.js; who says more imports the rest."""
    seen: set[str] = set()
    queue = [page]
    while queue:
        name = queue.pop()
        if name in seen or name == "words":
            continue
        seen.add(name)
        script = (WEB / "static" / f"{name}.js").read_text()
        queue += re.findall(r'^(?:import|export)[^;]*"\./(\w+)\.js";', script, re.MULTILINE)
        assert set(re.findall(r'say(?:IfKnown)?\(["`](\w+)', script)) <= FIRST_WORDS, name

    assert {"text", "player"} <= seen
    assert "more_words" not in seen


async def test_the_other_words_are_added_in_the_same_language(client: Client) -> None:
    """Those of letters stay here."""
    words = await (await client.get("/static/0.ru/words.js")).text()
    more = await (await client.get("/static/0.ru/more_words.js")).text()

    assert 'export const language = "ru"' in words
    assert "Камера" in words + more
    assert '"share":' in more
    assert '"share":' not in words
    assert '"mail":' not in words + more


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(scheme: str) -> None:
    """WCAG 2.2 §1.4.3: every colour of text has a contrast of 4.5:1 or more to what it stands on."""
    light, dark = re.findall(r":root \{(.*?)\}", (WEB / "static" / "style.css").read_text(), re.DOTALL)[:2]
    colours = dict(re.findall(r"--([\w-]+): (#\w+);", light if scheme == "light" else dark))

    assert len(colours) >= 8
    for ground in ("ground", "surface"):
        for ink in ("text", "quiet", "accent", "warning", "danger"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert contrast(colours["text"], colours["warning-ground"]) >= 4.5
    assert contrast(colours["ground"], colours["accent"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of "#rgb" or "#rrggbb"."""
    digits = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
    red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_phrase_has_its_words() -> None:
    """Each key the scripts and templates ask for stands in the catalogue, and each state has a name."""
    words = json.loads((WEB / "words" / "en.json").read_text())

    def known(key: str) -> bool:
        branch = words
        for name in key.split("."):
            if name not in branch:
                return False
            branch = branch[name]
        return True

    asked = {
        (path.name, key)
        for path in OWN
        for pattern in (r'say(?:IfKnown)?\("([\w.-]+)"', r"\bwords\.([\w.]+)")
        for key in re.findall(pattern, path.read_text())
        if path.suffix in {".js", ".html"} and key not in {"js", "json"}
    }
    assert [(name, key) for name, key in sorted(asked) if not known(key)] == []
    assert {"connecting", "waiting", "live", "offline", "denied", "ended", "unsupported"} <= set(
        words["state"]
    )


def test_a_missing_hls_library_is_said_at_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An installation without the built library starts, plays WebRTC, and says what is missing."""
    for folder in ("templates", "static", "words"):
        (tmp_path / folder).mkdir()
    (tmp_path / "words" / "en.json").write_text("{}")
    (tmp_path / "templates" / "player.js").write_text("")
    (tmp_path / "static" / "early.js").write_text("")

    Pages(tmp_path)

    assert "hls.js is not built" in caplog.text


async def test_an_owner_says_which_sites_may_embed_a_camera() -> None:
    """Case 29: those and our own pages; nobody else's where none is named."""
    origins = {"door": ("https://hotel.example", "https://bar.example"), "yard": ()}
    app = build(Route(*route) for route in Pages(origins=origins.get).routes())
    async with TestClient(TestServer(app)) as client:
        found = {}
        for camera in ("door", "yard", "lobby"):
            answer = await client.get(f"/embed/{camera}")
            found[camera] = answer.headers["Content-Security-Policy"].rpartition("frame-ancestors ")[2]
            assert "Set-Cookie" not in answer.headers
    assert found == {
        "door": "'self' https://hotel.example https://bar.example",
        "yard": "'self'",
        "lobby": "*",
    }
