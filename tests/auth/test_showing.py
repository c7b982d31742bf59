"""What a request shows."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from auth_builders import make_request
from camrelay.auth.showing import check_site, token_in
from camrelay.errors import AccessDenied, TokenMalformed, TokenMissing

SITES = ("https://hotel.example",)


def test_a_token_is_shown_once_and_in_one_place() -> None:
    """In the header; in the query where that is allowed; never twice."""
    assert token_in(make_request(), may_be_in_query=False) is None
    assert token_in(make_request(token="a.b.c"), may_be_in_query=False) == "a.b.c"
    assert token_in(make_request(query="token=a.b.c"), may_be_in_query=True) == "a.b.c"
    with pytest.raises(TokenMissing):
        token_in(make_request(query="token=a.b.c"), may_be_in_query=False)
    with pytest.raises(TokenMalformed):
        token_in(make_request(token="a.b.c", query="token=a.b.c"), may_be_in_query=True)


@pytest.mark.parametrize(
    ("origin", "sites", "passes"),
    [
        (None, SITES, True),
        ("https://hotel.example", SITES, True),
        ("https://cams.example", SITES, True),
        ("https://CAMS.example", (), True),
        ("https://evil.example", None, True),
        ("https://evil.example", SITES, False),
        ("https://hotel.example.evil.example", SITES, False),
        ("https://hotel.example:444", SITES, False),
        ("null", SITES, False),
        ("https://hotel.example", (), False),
    ],
)
def test_a_page_of_another_site_passes_where_it_may(
    origin: str | None, sites: tuple[str, ...] | None, passes: bool
) -> None:
    """Cases 29 and 34: our own pages always, players that are no page always, other sites as listed."""
    headers = {"Host": "cams.example"} | ({} if origin is None else {"Origin": origin})
    request = make_mocked_request("POST", "/v1/media/sessions", headers)
    if passes:
        check_site(request, sites)
        return
    with pytest.raises(AccessDenied, match="site_not_allowed"):
        check_site(request, sites)
