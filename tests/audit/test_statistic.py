"""Numbers that isolate nobody."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay.audit.statistic import MAX_VIEWS_EACH, K, Usage, Watched, plot, total, usage

DAY = "2026-11-21"


def watched(people: int, camera: str = "door", times: int = 1, seconds: int = 600) -> list[Watched]:
    """So many people, one after the other, each so many times."""
    span = seconds * 1_000_000
    return [Watched(camera, f"p{n % people}", n * span, (n + 1) * span) for n in range(people * times)]


def test_case_69_fewer_than_k_people_are_not_told() -> None:
    """However much they watched: nothing but that there was somebody."""
    assert usage(DAY, watched(K - 1, times=50)) == [Usage(DAY, "door")]
    (told,) = usage(DAY, watched(K))
    assert (told.views, told.watch_s) == (10, 6000)


def test_case_69_people_who_cannot_be_told_apart_are_one() -> None:
    """Somebody without a name does not make a crowd by coming often."""
    crowd = [Watched("door", "203.0.113.0/24", n, n + 1) for n in range(100)]
    assert usage(DAY, crowd) == [Usage(DAY, "door")]


def test_numbers_are_rounded() -> None:
    """To steps that one person does not reach alone."""
    (told,) = usage(DAY, watched(12, times=1, seconds=100))
    assert (told.views, told.watch_s, told.peak) == (10, 1200, 0)
    (told,) = usage(DAY, watched(13, times=1, seconds=100))
    assert told.views == 15


def test_one_person_does_not_make_the_number() -> None:
    """What one adds has a limit."""
    (told,) = usage(DAY, [*watched(K), *(Watched("door", "p0", n, n + 1) for n in range(1000))])
    assert told.views == (K - 1) + MAX_VIEWS_EACH + 1


def test_the_peak_is_of_people_and_of_one_moment() -> None:
    """One who watches twice at once is one; one who follows another does not watch beside them."""
    at_once = [Watched("door", f"p{n}", 0, 100) for n in range(20)]
    assert usage(DAY, at_once)[0].peak == 20
    twice = [*at_once, *at_once]
    assert usage(DAY, twice)[0].peak == 20
    following = [Watched("door", f"q{n}", 100, 200) for n in range(20)]
    assert usage(DAY, [*at_once, *following])[0].peak == 20
    instant = [Watched("door", f"r{n}", 5, 5) for n in range(20)]
    assert usage(DAY, instant)[0].peak == 20


@given(st.integers(0, 30), st.integers(0, 30))
def test_case_69_the_sum_tells_no_more_than_its_parts(door: int, yard: int) -> None:
    """Taking one camera from all gives the other as it is told, or nothing."""
    parts = usage(DAY, [*watched(door, "door"), *watched(yard, "yard")] if door and yard else [])
    every = total(parts)
    assert sum(each.views or 0 for each in every) == sum(each.views or 0 for each in parts)
    assert len(every) == (1 if parts else 0)
    assert all(each.camera == "" for each in every)


@pytest.mark.parametrize("leaving", range(1, 5))
def test_case_69_leaving_changes_a_step_or_nothing(leaving: int) -> None:
    """k and k - 1: what is told before and after somebody left is a step apart, or not told."""
    (before,) = usage(DAY, watched(K + leaving - 1))
    (after,) = usage(DAY, watched(K + leaving - 2))
    assert after.views is None or (before.views or 0) - after.views in (0, 5)


def test_a_plot_is_a_picture_without_colours_or_scripts() -> None:
    """One bar a day that has a number; well-formed, whatever the days."""
    days = [Usage(f"2026-11-{day:02}", "door", views=day * 5) for day in range(1, 20)]
    picture = plot([*days, Usage("2026-11-20", "door")])
    root = ElementTree.fromstring(picture)  # noqa: S314 - our own
    assert len(root.findall("{*}rect")) == 19
    assert "<title>2026-11-07: 35</title>" in picture
    assert not any(word in picture for word in ("style", "script", "fill", "href"))
    assert "<rect" not in plot([])
