"""Tests of camrelay.fanout.hls.waiting."""

from __future__ import annotations

import pytest

from camrelay.errors import NotFound, Overloaded
from camrelay.fanout.hls.waiting import Pending, Waiter, WaitingRoom

ENOUGH = 10


class Thing:
    """Something that is waited for, and how often it was made."""

    def __init__(self, room: WaitingRoom[str], deadline: float = 0.0) -> None:
        self.is_there = False
        self.made = 0
        self.pending = Pending(room, lambda: self.is_there, self.make, deadline)

    def make(self) -> str:
        self.made += 1
        return "answer"


def told(into: list[object]) -> Waiter[str]:
    """A waiter that notes what it is told."""
    return lambda answer: into.append(answer)


def test_all_who_wait_are_told_by_one_make() -> None:
    """A thousand requests for one thing are one answer."""
    room = WaitingRoom[str](1000)
    thing, answers = Thing(room), list[object]()
    for _ in range(1000):
        thing.pending.join(told(answers))
    assert room.count == 1000
    assert room.met() == []

    thing.is_there = True
    (met,) = room.met()

    assert met.tell(met.answer(), 1000) is False
    assert answers == ["answer"] * 1000
    assert thing.made == 1
    assert room.count == 0
    assert room.all() == []


def test_they_are_told_in_groups_in_the_order_they_came() -> None:
    """So many at a time, until none are left."""
    thing, order = Thing(WaitingRoom[str](ENOUGH)), list[int]()
    for index in range(5):
        thing.pending.join(lambda _, index=index: order.append(index))  # type: ignore[misc]

    assert thing.pending.tell("x", 2) is True
    assert order == [0, 1]
    assert thing.pending.tell("x", 2) is True
    assert thing.pending.tell("x", 2) is False
    assert order == [0, 1, 2, 3, 4]


def test_an_error_is_an_answer_too() -> None:
    """What cannot be made is said, with the reason."""

    def make() -> str:
        raise NotFound("a gap")

    pending = Pending(WaitingRoom[str](ENOUGH), lambda: True, make, 0)
    assert isinstance(pending.answer(), NotFound)


def test_who_left_is_not_told() -> None:
    """And leaving twice, or without having waited, is nothing."""
    room = WaitingRoom[str](ENOUGH)
    thing, answers = Thing(room), list[object]()
    gone, stays = told(answers), told(answers)
    thing.pending.join(gone)
    thing.pending.join(stays)

    thing.pending.leave(gone)
    thing.pending.leave(gone)
    thing.pending.leave(print)

    assert room.count == 1
    thing.pending.tell("x", ENOUGH)
    assert answers == ["x"]


def test_one_may_make_another_leave() -> None:
    """As when an answer ends a viewing that two connections belong to."""
    thing, answers = Thing(WaitingRoom[str](ENOUGH)), list[object]()
    second = told(answers)
    thing.pending.join(lambda _: thing.pending.leave(second))
    thing.pending.join(second)

    thing.pending.tell("x", ENOUGH)

    assert answers == []


def test_nothing_is_kept_of_what_nobody_waits_for() -> None:
    """A thing that everybody left is no longer looked at, until somebody joins again."""
    room = WaitingRoom[str](ENOUGH)
    thing, waiter = Thing(room), told([])
    thing.pending.join(waiter)
    assert room.all() == [thing.pending]
    thing.pending.leave(waiter)
    assert room.all() == []
    thing.pending.join(waiter)
    assert room.all() == [thing.pending]


def test_waiting_has_a_limit() -> None:
    """Over all things together; who is refused does not wait."""
    room = WaitingRoom[str](2)
    one, other = Thing(room), Thing(room)
    one.pending.join(told([]))
    other.pending.join(told([]))
    with pytest.raises(Overloaded):
        one.pending.join(told([]))
    assert room.count == 2


def test_what_does_not_come_is_overdue() -> None:
    """From its deadline on."""
    room = WaitingRoom[str](ENOUGH)
    early, late = Thing(room, 1.0), Thing(room, 2.0)
    for thing in (late, early):
        thing.pending.join(told([]))
    assert room.overdue(0.9) == []
    assert room.overdue(1.0) == [early.pending]
    assert room.overdue(2.5) == [late.pending, early.pending]
