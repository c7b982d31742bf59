"""Leases against a model that does everything by walking all of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from camrelay.auth.lease import Handle, HandleKind, Leases, disguised

TOKEN = Handle(HandleKind.TOKEN, "t1")
CAMERA = Handle(HandleKind.CAMERA, "door")

HANDLES = [Handle(kind, id) for kind in (HandleKind.TOKEN, HandleKind.CAMERA) for id in ("a", "b")]

ids = st.integers(0, 9).map(str)
handle_sets = st.lists(st.sampled_from(HANDLES), max_size=4, unique=True)
spans = st.sampled_from([0.0, 1.0, 2.0, 5.0, math.inf])


class LeaseMachine(RuleBasedStateMachine):
    """Any order of calls gives what the naive model gives."""

    def __init__(self) -> None:
        super().__init__()
        self.leases = Leases()
        self.model: dict[str, tuple[float, list[Handle]]] = {}
        self.now = 0.0

    @rule(id=ids, span=spans, handles=handle_sets)
    def add_or_renew(self, id: str, span: float, handles: list[Handle]) -> None:
        deadline = self.now + span
        if id in self.model:
            assert self.leases.renew(id, deadline, handles)
        else:
            self.leases.add(id, deadline, handles)
        self.model[id] = (deadline, handles)

    @rule(id=ids)
    def remove(self, id: str) -> None:
        assert self.leases.remove(id) == (self.model.pop(id, None) is not None)

    @rule(id=ids)
    def a_dead_lease_is_not_renewed(self, id: str) -> None:
        if id not in self.model:
            assert not self.leases.renew(id, math.inf)

    @rule(handle=st.sampled_from(HANDLES))
    def revoke(self, handle: Handle) -> None:
        expected = {id for id, (_, handles) in self.model.items() if handle in handles}
        ended = self.leases.revoke(handle)
        assert len(ended) == len(set(ended))
        assert set(ended) == expected
        for id in expected:
            del self.model[id]

    @rule(step=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def expire(self, step: float) -> None:
        self.now += step
        expected = sorted(deadline for deadline, _ in self.model.values() if deadline <= self.now)
        ended = self.leases.expire(self.now)
        assert [self.model.pop(id)[0] for id in ended] == expected

    @invariant()
    def next_deadline_is_never_late(self) -> None:
        soonest = min((deadline for deadline, _ in self.model.values()), default=math.inf)
        announced = self.leases.next_deadline()
        assert (math.inf if announced is None else announced) <= soonest

    @invariant()
    def size_is_right(self) -> None:
        assert len(self.leases) == len(self.model)


TestLeaseMachine = LeaseMachine.TestCase


def test_a_lease_ends_at_its_deadline_and_once() -> None:
    """Reached means over: at the deadline itself, and not a second time."""
    leases = Leases()
    leases.add("a", 10.0, [TOKEN])
    assert leases.next_deadline() == 10.0
    assert leases.expire(9.999) == []
    assert leases.expire(10.0) == ["a"]
    assert leases.expire(11.0) == []
    assert leases.revoke(TOKEN) == []
    assert leases.next_deadline() is None


def test_revoking_one_handle_leaves_what_hangs_on_others() -> None:
    """Two tokens on one camera: each revocation ends exactly what hangs on it, in order of age."""
    leases = Leases()
    other = Handle(HandleKind.TOKEN, "t2")
    for id, token in (("c", TOKEN), ("a", TOKEN), ("b", other)):
        leases.add(id, math.inf, [token, CAMERA])
    assert leases.revoke(TOKEN) == ["c", "a"]
    assert leases.revoke(CAMERA) == ["b"]


def test_kinds_do_not_mix() -> None:
    """A key and a token of the same name are different handles."""
    leases = Leases()
    leases.add("a", math.inf, [TOKEN])
    assert leases.revoke(Handle(HandleKind.KEY, "t1")) == []


def test_a_renewed_lease_outlives_its_first_deadline() -> None:
    """The earlier heap entry is stale and ends nothing; the old handles are gone too."""
    leases = Leases()
    leases.add("a", 10.0, [TOKEN])
    assert leases.renew("a", 20.0, [CAMERA])
    assert leases.expire(15.0) == []
    assert leases.revoke(TOKEN) == []
    assert leases.expire(20.0) == ["a"]


def test_renewing_for_ever_keeps_the_heap_small() -> None:
    """A session renewed every few minutes for months does not collect deadlines."""
    leases = Leases()
    leases.add("a", 1.0)
    for n in range(10_000):
        leases.renew("a", n + 2.0)
    assert len(leases._heap) < 100
    assert leases.expire(10_001.0) == ["a"]


def test_an_id_is_given_once() -> None:
    """Adding over a running lease is a programming mistake, not a renewal."""
    leases = Leases()
    leases.add("a", 1.0)
    with pytest.raises(AssertionError):
        leases.add("a", 2.0)


def test_an_accounts_name_can_be_hidden() -> None:
    """Always in the same way, once; other handles name no people."""
    anna = disguised(Handle(HandleKind.ACCOUNT, "anna"))
    assert "anna" not in anna.id
    assert disguised(anna) == anna == disguised(Handle(HandleKind.ACCOUNT, "anna"))
    assert anna != disguised(Handle(HandleKind.ACCOUNT, "anna\udcff"))
    assert disguised(TOKEN) == TOKEN
