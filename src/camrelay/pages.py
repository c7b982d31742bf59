"""The pages people see, and the files they are made of.

Rules: a page holds no camera's data and nobody's token; its scripts ask the API with the viewer's own
authority. Of whoever is signed in it knows the name and the role, so that it shows what they may open.
Files are read once, at start, and asking for one is a dictionary lookup.
They are addressed under the version of all of them together, so browsers may keep them for good. Nothing on
a page comes from another host. No style stands inside a page, and one script: early.js, in a camera's page,
which its policy names by hash.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import rcssmin  # type: ignore[import-untyped]
import rjsmin  # type: ignore[import-untyped]
from aiohttp import web

from camrelay.auth.websession import signed_in
from camrelay.errors import NotFound

logger = logging.getLogger("camrelay.server")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: What the pages speak to those who ask for no language there is; its catalogue is the whole one, and stands
#: in for what another does not have.
LANGUAGE = "en"

#: Set when somebody chooses a language, which is all that it says.
LANGUAGE_COOKIE = "camrelay-language"
_YEAR_S = 365 * 86_400

HLS_LIBRARY = "vendor/hls.light.min.mjs"

#: What the player and the pages to watch on say: words.js. Everything else is in more_words.js, which adds
#: to it.
FIRST_WORDS = frozenset({"site", "empty", "banner", "tile", "camera", "state", "hint", "reason", "player"})

#: What only letters say.
_LETTERS = "mail"

_CONTENT_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
}

#: What a browser has no use for, comments and indentation, is a quarter of what it would be sent.
_SHORTEN: dict[str, Callable[[str], str]] = {".css": rcssmin.cssmin, ".js": rjsmin.jsmin}

_POLICY = (
    "default-src 'self'; script-src {scripts}; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'none'; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
)

_PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY.format(scripts="'self'", ancestors="'none'"),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

#: Anybody may frame the player alone, unless its owner says who: there is nothing on it to be tricked into
#: pressing.
_EMBED_HEADERS = {
    **_PAGE_HEADERS,
    "Cross-Origin-Resource-Policy": "cross-origin",
}

#: Other sites load the player as a module, which browsers do only with leave given to all.
_FILE_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}

#: Paths that name a version never change what they mean.
_FOR_GOOD = "public, max-age=31536000, immutable"


class _File(NamedTuple):
    """A body with everything an answer needs."""

    body: bytes
    gzipped: bytes
    content_type: str
    etag: str


class Pages:
    """Renders the pages and serves their files.

    Args:
        directory: holds templates/, static/ and words/; None means the ones camrelay was installed with.
        registration: who may make an account for themselves, as [accounts] says.
        mail: whether letters are written here.
        origins: the sites that may embed a camera; None: every site.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        registration: str = "closed",
        mail: bool = False,
        origins: Callable[[str], tuple[str, ...] | None] = lambda camera: None,
    ) -> None:
        self._origins = origins
        directory = directory or Path(__file__).parent / "web"
        self._words = _read_words(directory / "words")
        self._catalogues = {
            f"{name}.{language}": file
            for language, words in self._words.items()
            for name, file in _catalogue(language, words).items()
        }
        self._files = _read_files(directory / "static")
        self._early = self._files.pop("early.js").body.decode()
        self._camera_headers = _allowing(self._early)
        self.version = _version(self._files | self._catalogues)
        if HLS_LIBRARY not in self._files:
            logger.warning("hls.js is not built: pages play WebRTC only until `make` has built it")
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(directory / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        names = {
            language: words["site"]["language"] for language, words in self._words.items() if "site" in words
        }
        self._templates.globals.update(languages=names, registration=registration, mail=mail)
        self._players = {
            language: _file(self._render("player.js", language).encode(), ".js") for language in self._words
        }

    def routes(self) -> list[tuple[str, str, Handler]]:
        """(method, path, handler) of everything here; all of it is public."""
        table: dict[str, Handler] = {
            "/": self.grid,
            "/cameras/{camera:[a-z0-9][a-z0-9_-]*}": self.camera,
            "/find": self.find,
            "/cameras/{camera:[a-z0-9][a-z0-9_-]*}/watched": self.watched,
            "/cameras/{camera:[a-z0-9][a-z0-9_-]*}/share": self.share,
            "/shared": self.shared,
            "/invitation": self.invitation,
            "/me/record": self.record,
            "/statistics": self.statistics,
            "/sign-in": self.sign_in,
            "/register": self.register,
            "/me": self.me,
            "/admin/users": self.users,
            "/embed/{camera:[a-z0-9][a-z0-9_-]*}": self.embed,
            "/player.js": self.player,
            "/favicon.ico": self.icon,
            "/static/{version}/{name:.+}": self.static,
        }
        return [(method, path, handler) for path, handler in table.items() for method in ("GET", "HEAD")]

    async def grid(self, request: web.Request) -> web.Response:
        """The grid of cameras."""
        return self._page(request, "grid.html", _PAGE_HEADERS)

    async def camera(self, request: web.Request) -> web.Response:
        """One camera. Whether it exists is the API's secret, so every well-formed id has a page."""
        camera = request.match_info["camera"]
        return self._page(request, "camera.html", self._camera_headers, camera=camera, early=self._early)

    async def find(self, request: web.Request) -> web.Response:
        """Finding and adding cameras. Whether somebody may is the API's to say."""
        return self._page(request, "find.html", _PAGE_HEADERS)

    async def sign_in(self, request: web.Request) -> web.Response:
        """Signing in."""
        return self._page(request, "sign_in.html", _PAGE_HEADERS)

    async def register(self, request: web.Request) -> web.Response:
        """Making an account."""
        return self._page(request, "register.html", _PAGE_HEADERS)

    async def me(self, request: web.Request) -> web.Response:
        """One's own account and sessions; nothing of them stands on the page."""
        return self._page(request, "me.html", _PAGE_HEADERS)

    async def users(self, request: web.Request) -> web.Response:
        """Accounts and tiers. Whether somebody may see them is the API's to say."""
        return self._page(request, "users.html", _PAGE_HEADERS)

    async def watched(self, request: web.Request) -> web.Response:
        """Who watched a camera. Whether somebody may see that is the API's to say."""
        return self._page(request, "watched.html", _PAGE_HEADERS, camera=request.match_info["camera"])

    async def share(self, request: web.Request) -> web.Response:
        """Sharing a camera. Whether somebody may is the API's to say."""
        return self._page(request, "share.html", _PAGE_HEADERS, camera=request.match_info["camera"])

    async def shared(self, request: web.Request) -> web.Response:
        """The way in by a link, whose secret stands behind the # and does not come here."""
        return self._page(request, "shared.html", _PAGE_HEADERS)

    async def invitation(self, request: web.Request) -> web.Response:
        """The answer to a letter, whose token stands behind the #; looking at it changes nothing."""
        return self._page(request, "invitation.html", _PAGE_HEADERS)

    async def record(self, request: web.Request) -> web.Response:
        """What is on record of whoever looks."""
        return self._page(request, "record.html", _PAGE_HEADERS)

    async def statistics(self, request: web.Request) -> web.Response:
        """How much cameras are watched. Whether somebody may see that is the API's to say."""
        return self._page(request, "statistics.html", _PAGE_HEADERS)

    async def embed(self, request: web.Request) -> web.Response:
        """The player alone, for an iframe of those sites that may show the camera, and of our own."""
        camera = request.match_info["camera"]
        origins = self._origins(camera)
        ancestors = "*" if origins is None else " ".join(("'self'", *origins))
        policy = _POLICY.format(scripts="'self'", ancestors=ancestors)
        headers = {**_EMBED_HEADERS, "Content-Security-Policy": policy}
        return self._page(request, "embed.html", headers, camera=camera)

    async def player(self, request: web.Request) -> web.Response:
        """The module for other sites: a lasting address for whatever version there is."""
        player = self._players[self._language(request)]
        return _answer(
            request, player, {**_FILE_HEADERS, "Cache-Control": "no-cache", "Vary": "Accept-Language"}
        )

    async def icon(self, request: web.Request) -> web.Response:
        """What browsers ask for by themselves where no page names an icon."""
        return _answer(request, self._files["icon.svg"], {**_FILE_HEADERS, "Cache-Control": "max-age=86400"})

    async def static(self, request: web.Request) -> web.Response:
        """A file. A page older than the last upgrade names another version and gets today's, not to keep."""
        name, (version, _, language) = (
            request.match_info["name"],
            request.match_info["version"].partition("."),
        )
        file = (
            self._files.get(name)
            or self._catalogues.get(f"{name}.{language}")
            or self._catalogues.get(f"{name}.{LANGUAGE}")
        )
        if file is None:
            raise NotFound("no such file")
        is_current = version == self.version
        return _answer(
            request, file, {**_FILE_HEADERS, "Cache-Control": _FOR_GOOD if is_current else "no-cache"}
        )

    def letter_words(self, language: str) -> dict[str, str]:
        """What letters are made of in a language."""
        return dict(self._words[language]["mail"])

    def _page(
        self, request: web.Request, template: str, headers: dict[str, str], **values: str
    ) -> web.Response:
        person, language = signed_in(request), self._language(request)
        text = self._render(template, language, person=person.account if person else None, **values)
        headers = {**headers, "Vary": "Accept-Language, Cookie"}
        response = _answer(request, _file(text.encode(), ".html"), headers)
        if request.query.get("language") == language:
            response.set_cookie(LANGUAGE_COOKIE, language, max_age=_YEAR_S, path="/", samesite="Lax")
        return response

    def _language(self, request: web.Request) -> str:
        chosen = request.query.get("language", request.cookies.get(LANGUAGE_COOKIE, ""))
        if chosen in self._words:
            return chosen
        return preferred(request.headers.get("Accept-Language", ""), self._words)

    def _render(self, template: str, language: str = LANGUAGE, **values: Any) -> str:
        return self._templates.get_template(template).render(
            language=language,
            words=self._words[language],
            static=f"/static/{self.version}.{language}",
            **values,
        )


def preferred(accepted: str, known: Iterable[str]) -> str:
    """The known language that an Accept-Language header likes best, else LANGUAGE (RFC 9110 §12.5.4)."""
    wishes = []
    for place, wish in enumerate(accepted.split(",")[:20]):
        tag, _, weight = wish.partition(";q=")
        try:
            wishes.append((-float(weight or 1), place, tag.strip().partition("-")[0].lower()))
        except ValueError:
            continue
    liked = (language for weight, _, language in sorted(wishes) if weight < 0)
    return next((language for language in liked if language in known), LANGUAGE)


def _allowing(script: str) -> dict[str, str]:
    """The headers of a page that holds this script (CSP Level 3 §6.7.2)."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = _POLICY.format(scripts=f"'self' 'sha256-{digest}'", ancestors="'none'")
    return {**_PAGE_HEADERS, "Content-Security-Policy": policy}


def _read_words(directory: Path) -> dict[str, dict[str, Any]]:
    """Every catalogue by its language, completed from the whole one."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))}
    return {language: _completed(words, found[LANGUAGE]) for language, words in found.items()}


def _completed(words: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    return words | {
        key: _completed(words.get(key, {}), value) if isinstance(value, dict) else words.get(key, value)
        for key, value in whole.items()
    }


def _catalogue(language: str, words: dict[str, Any]) -> dict[str, _File]:
    """A catalogue as modules: what the first view says, and what the other pages add to it."""
    first = {key: value for key, value in words.items() if key in FIRST_WORDS}
    more = {key: value for key, value in words.items() if key not in FIRST_WORDS and key != _LETTERS}
    constants = {"language": language, "words": first}
    exports = [f"export const {name} = {_json(value)};\n" for name, value in constants.items()]
    added = f'import {{ words }} from "./words.js";\nObject.assign(words, {_json(more)});\n'
    return {"words.js": _script("".join(exports)), "more_words.js": _script(added)}


def _script(text: str) -> _File:
    return _file(text.encode(), ".js")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _read_files(directory: Path) -> dict[str, _File]:
    """Every file of a known kind below `directory`, by its relative path."""
    files = {}
    for path in sorted(directory.rglob("*")):
        if path.suffix in _CONTENT_TYPES:
            shorten = _SHORTEN.get(path.suffix, str)
            body = shorten(path.read_text()).encode()
            files[path.relative_to(directory).as_posix()] = _file(body, path.suffix)
    return files


def _file(body: bytes, suffix: str) -> _File:
    return _File(
        body=body,
        gzipped=gzip.compress(body, mtime=0),
        content_type=_CONTENT_TYPES.get(suffix, "text/html"),
        etag=hashlib.sha256(body).hexdigest()[:20],
    )


def _version(files: dict[str, _File]) -> str:
    """A name for exactly these files."""
    return hashlib.sha256(json.dumps({n: f.etag for n, f in files.items()}).encode()).hexdigest()[:12]


def _answer(request: web.Request, file: _File, headers: dict[str, str]) -> web.Response:
    """The file, gzipped if that is accepted, or 304 to somebody who has it."""
    # The tag is weak because it covers both encodings.
    varied = ", ".join(("Accept-Encoding", *filter(None, (headers.get("Vary"),))))
    headers = {**headers, "Vary": varied, "ETag": f'W/"{file.etag}"'}
    if any(tag.value in (file.etag, "*") for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = file.body
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = file.gzipped
    return web.Response(body=body, content_type=file.content_type, charset="utf-8", headers=headers)
