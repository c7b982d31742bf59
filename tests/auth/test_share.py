"""Shares and links: what holds when, and what is found in the book."""

from __future__ import annotations

import datetime

import pytest

from camrelay.auth.lease import Handle, HandleKind
from camrelay.auth.schedule import Edge, Hours
from camrelay.auth.share import Book, Link, Share, Terms, Visibility, edge

UTC = datetime.UTC
#: 2026-11-21 12:00:00 UTC, a Saturday.
NOW_US = 1_795_262_400_000_000
HOUR_US = 3_600_000_000


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (Terms(), Edge(True, None)),
        (Terms(expires_us=NOW_US), Edge(False, None)),
        (Terms(expires_us=NOW_US + 1), Edge(True, NOW_US + 1)),
        (Terms(not_before_us=NOW_US + 5), Edge(False, NOW_US + 5)),
        (Terms(not_before_us=NOW_US), Edge(True, None)),
        (Terms(schedule=(Hours(5, 0, 13 * 60),)), Edge(True, NOW_US + HOUR_US)),
        (Terms(schedule=(Hours(5, 13 * 60, 1440),)), Edge(False, NOW_US + HOUR_US)),
        (Terms(expires_us=NOW_US + 7, schedule=(Hours(5, 0, 13 * 60),)), Edge(True, NOW_US + 7)),
        (
            Terms(expires_us=NOW_US + 2 * HOUR_US, schedule=(Hours(5, 0, 13 * 60),)),
            Edge(True, NOW_US + HOUR_US),
        ),
    ],
)
def test_terms_hold_until_their_first_edge(terms: Terms, expected: Edge) -> None:
    """Beginning, end and hours together; whichever comes first is the next edge."""
    assert edge(terms, UTC, NOW_US) == expected


def test_each_step_admits_those_below() -> None:
    """Private admits itself alone, public everybody."""
    steps = list(Visibility)
    assert [[step for step in steps if one.admits(step)] for one in steps] == [
        steps[: n + 1] for n in range(len(steps))
    ]


def test_a_link_is_used_up_after_so_many_sessions() -> None:
    """Without a number it never is."""
    link = Link("l", "door", b"1", max_uses=2)
    assert not link.is_used_up
    assert not Link("l", "door", b"1", max_uses=2, uses=1).is_used_up
    assert Link("l", "door", b"1", max_uses=2, uses=2).is_used_up
    assert not Link("l", "door", b"1", uses=10_000).is_used_up


def test_a_share_is_found_by_its_camera_and_account_alone() -> None:
    """And replaced by another of the same two."""
    book = Book([Share("1", "door", "ana"), Share("2", "door", "bo"), Share("3", "yard", "ana")])
    assert [share.id for share in book.shares("door")] == ["1", "2"]
    assert book.share("yard", "bo") is None
    assert book.share("attic", "bo") is None
    book.put_share(Share("4", "door", "ana"))
    found = book.share("door", "ana")
    assert found is not None
    assert found.id == "4"
    assert book.drop_share("door", "ana") == found
    assert book.drop_share("door", "ana") is None
    assert [share.id for share in book.shares("yard")] == ["3"]


def test_a_link_is_found_by_its_secrets_hash() -> None:
    """Until it, or its camera, is gone."""
    book = Book(links=[Link("1", "door", b"a"), Link("2", "door", b"b"), Link("3", "yard", b"c")])
    assert [link.id for link in book.links("door")] == ["1", "2"]
    assert book.by_digest(b"c") == Link("3", "yard", b"c")
    assert (book.link("door", "3"), book.drop_link("door", "3")) == (None, None)
    assert book.link("yard", "3") == Link("3", "yard", b"c")
    assert book.drop_link("door", "1") == Link("1", "door", b"a")
    assert book.by_digest(b"a") is None
    book.drop_camera("door")
    book.drop_camera("attic")
    assert (book.by_digest(b"b"), book.links("door"), book.links("yard")) == (
        None,
        [],
        [Link("3", "yard", b"c")],
    )


def test_which_sites_may_embed_a_camera() -> None:
    """Every one until some are named; nobody when none is named; every one again when that is taken back."""
    book = Book()
    assert book.origins("door") is None
    book.set_origins("door", ())
    assert book.origins("door") == ()
    book.set_origins("door", ("https://hotel.example",))
    assert book.origins("door") == ("https://hotel.example",)
    book.drop_camera("door")
    assert book.origins("door") is None
    book.set_origins("door", ())
    book.set_origins("door", None)
    assert book.origins("door") is None


def test_a_book_becomes_another_and_tells_what_is_gone() -> None:
    """What another relay took away ends here; what stays, and what is new, runs."""
    book = Book([Share("s1", "door", "anna"), Share("s2", "door", "berta")], [Link("l1", "door", b"a")])
    book.set_origins("door", ())
    now = Book([Share("s3", "door", "anna"), Share("s2", "door", "berta")], [Link("l2", "yard", b"b")])
    assert book.become(now) == [Handle(HandleKind.LINK, "l1"), Handle(HandleKind.SHARE, "s1")]
    assert book.share("door", "anna") == Share("s3", "door", "anna")
    assert (book.by_digest(b"a"), book.by_digest(b"b")) == (None, Link("l2", "yard", b"b"))
    assert book.origins("door") is None
    assert book.become(now) == []
