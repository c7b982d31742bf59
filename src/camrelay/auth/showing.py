"""What a request shows: the token it carries, and the site whose page sends it."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from camrelay.errors import AccessDenied, TokenMalformed, TokenMissing


def token_in(request: web.Request, *, may_be_in_query: bool) -> str | None:
    """The one token of a request, None without any.

    Raises:
        TokenMissing: it stands in the query, where it may not.
        TokenMalformed: there are two.
    """
    tokens = [
        value[7:].strip()
        for value in request.headers.getall("Authorization", ())
        if value[:7].lower() == "bearer "
    ]
    in_query = request.query.getall("token", [])
    if in_query and not may_be_in_query:
        raise TokenMissing("query_token", "tokens in URLs are not accepted here")
    if len(tokens) + len(in_query) > 1:
        raise TokenMalformed("two_tokens")
    return next(iter(tokens + in_query), None)


def check_site(request: web.Request, origins: tuple[str, ...] | None) -> None:
    """Passes what a page of ours, no page at all, or one of these sites sends; None: every site.

    Raises:
        AccessDenied: a browser says that a page of another site sends it.
    """
    origin = request.headers.get("Origin")
    if origins is None or origin is None or origin in origins:
        return
    if urlsplit(origin).netloc.casefold() != request.host.casefold():
        raise AccessDenied("site_not_allowed")
