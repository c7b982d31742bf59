"""The pages people see, and the files they are made of.

Rules: a page is the same for everybody, it holds no camera's data and nobody's token; its scripts ask the
API with the viewer's own authority. Files are read once, at start, and asking for one is a dictionary lookup.
They are addressed under the version of all of them together, so browsers may keep them for good. Nothing on
a page comes from another host, and no script or style stands inside a page.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from aiohttp import web

from camrelay.errors import NotFound

logger = logging.getLogger("camrelay.server")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: The catalogue the pages speak; another language is another file of the same shape.
LANGUAGE = "en"

HLS_LIBRARY = "vendor/hls.light.min.mjs"

_CONTENT_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
}

_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'none'; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
)

_PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY.format(ancestors="'none'"),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

#: Anybody may frame the player alone: there is nothing on it to be tricked into pressing.
_EMBED_HEADERS = {
    **_PAGE_HEADERS,
    "Content-Security-Policy": _POLICY.format(ancestors="*"),
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
    """

    def __init__(self, directory: Path | None = None) -> None:
        directory = directory or Path(__file__).parent / "web"
        words = json.loads((directory / "words" / f"{LANGUAGE}.json").read_text())
        self._files = _read_files(directory / "static", words)
        self.version = _version(self._files)
        if HLS_LIBRARY not in self._files:
            logger.warning("hls.js is not built: pages play WebRTC only until `make` has built it")
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(directory / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(language=LANGUAGE, words=words, static=f"/static/{self.version}")
        self._player = _file(self._render("player.js").encode(), ".js")

    def routes(self) -> list[tuple[str, str, Handler]]:
        """(method, path, handler) of everything here; all of it is public."""
        table: dict[str, Handler] = {
            "/": self.grid,
            "/cameras/{camera:[a-z0-9][a-z0-9_-]*}": self.camera,
            "/find": self.find,
            "/cameras/{camera:[a-z0-9][a-z0-9_-]*}/watched": self.watched,
            "/me/record": self.record,
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
        return self._page(request, "camera.html", _PAGE_HEADERS, camera=request.match_info["camera"])

    async def find(self, request: web.Request) -> web.Response:
        """Finding and adding cameras. Whether somebody may is the API's to say."""
        return self._page(request, "find.html", _PAGE_HEADERS)

    async def watched(self, request: web.Request) -> web.Response:
        """Who watched a camera. Whether somebody may see that is the API's to say."""
        return self._page(request, "watched.html", _PAGE_HEADERS, camera=request.match_info["camera"])

    async def record(self, request: web.Request) -> web.Response:
        """What is on record of whoever looks."""
        return self._page(request, "record.html", _PAGE_HEADERS)

    async def embed(self, request: web.Request) -> web.Response:
        """The player alone, for an iframe."""
        return self._page(request, "embed.html", _EMBED_HEADERS, camera=request.match_info["camera"])

    async def player(self, request: web.Request) -> web.Response:
        """The module for other sites: a lasting address for whatever version there is."""
        return _answer(request, self._player, {**_FILE_HEADERS, "Cache-Control": "no-cache"})

    async def icon(self, request: web.Request) -> web.Response:
        """What browsers ask for by themselves where no page names an icon."""
        return _answer(request, self._files["icon.svg"], {**_FILE_HEADERS, "Cache-Control": "max-age=86400"})

    async def static(self, request: web.Request) -> web.Response:
        """A file. A page older than the last upgrade names another version and gets today's, not to keep."""
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise NotFound("no such file")
        is_current = request.match_info["version"] == self.version
        return _answer(
            request, file, {**_FILE_HEADERS, "Cache-Control": _FOR_GOOD if is_current else "no-cache"}
        )

    def _page(
        self, request: web.Request, template: str, headers: dict[str, str], **values: str
    ) -> web.Response:
        return _answer(request, _file(self._render(template, **values).encode(), ".html"), headers)

    def _render(self, template: str, **values: str) -> str:
        return self._templates.get_template(template).render(**values)


def _read_files(directory: Path, words: dict[str, Any]) -> dict[str, _File]:
    """Every file of a known kind below `directory`, by its relative path, and the catalogue as a module."""
    constants = {"language": LANGUAGE, "words": words}
    catalogue = "".join(f"export const {name} = {json.dumps(value)};\n" for name, value in constants.items())
    files = {"words.js": _file(catalogue.encode(), ".js")}
    for path in sorted(directory.rglob("*")):
        if path.suffix in _CONTENT_TYPES:
            files[path.relative_to(directory).as_posix()] = _file(path.read_bytes(), path.suffix)
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
    headers = {**headers, "Vary": "Accept-Encoding", "ETag": f'W/"{file.etag}"'}
    if any(tag.value in (file.etag, "*") for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = file.body
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = file.gzipped
    return web.Response(body=body, content_type=file.content_type, charset="utf-8", headers=headers)
