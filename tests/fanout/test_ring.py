"""Tests of camrelay.fanout.ring."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from builders import make_au, make_gop
from camrelay.fanout.ring import AU_OVERHEAD_BYTES, Ring
from camrelay.model import CLOCK_RATE


class TestRing:
    def test_a_joiner_gets_the_gop_so_far(self) -> None:
        """What a joiner needs is the last key frame and everything after it, nothing before."""
        ring = Ring(30.0, 1_000_000)
        first, second = make_gop(0), make_gop(CLOCK_RATE, units=3)

        for au in first + second:
            ring.append(au)

        assert tuple(second) == ring.since_last_key()
        assert first + second == list(ring)

    def test_an_empty_ring_has_nothing_for_a_joiner(self) -> None:
        """Before the first access unit there is nothing."""
        ring = Ring(30.0, 1_000_000)

        assert ring.since_last_key() == ()
        assert list(ring) == []

    def test_nothing_for_a_joiner_before_the_first_key_frame(self) -> None:
        """A camera that starts within a GOP has nothing a decoder could start on."""
        ring = Ring(30.0, 1_000_000)

        ring.append(make_au(0))
        ring.append(make_au(3600))

        assert ring.since_last_key() == ()

    def test_what_is_cleared_is_gone(self) -> None:
        """And what comes after it is kept as if nothing had been before."""
        ring = Ring(30.0, 1_000_000)
        ring.append(make_au(0, is_key=True))

        ring.clear()
        assert (list(ring), ring.size_bytes) == ([], 0)

        ring.append(make_au(3600, is_key=True))
        assert len(ring.since_last_key()) == 1

    def test_seconds_drop_whole_gops(self) -> None:
        """Beyond the span the oldest GOP leaves as a whole, so the ring always starts with a key frame."""
        ring = Ring(2.5, 1_000_000)

        for second in range(5):
            for au in make_gop(second * CLOCK_RATE):
                ring.append(au)

        assert [au.dts for au in ring if au.is_key] == [3 * CLOCK_RATE, 4 * CLOCK_RATE]
        assert next(iter(ring)).is_key

    def test_bytes_drop_whole_gops(self) -> None:
        """Beyond the memory the oldest GOP leaves as a whole."""
        gop_bytes = 25 * (1000 + AU_OVERHEAD_BYTES)
        ring = Ring(30.0, 2 * gop_bytes)

        for second in range(3):
            for au in make_gop(second * CLOCK_RATE, size=1000):
                ring.append(au)

        assert 2 * gop_bytes == ring.size_bytes
        assert [au.dts for au in ring if au.is_key] == [CLOCK_RATE, 2 * CLOCK_RATE]

    def test_an_endless_gop_leaves_a_bounded_tail_without_a_key_frame(self) -> None:
        """One GOP longer than the ring loses its head; a joiner is told that there is nothing to start on."""
        ring = Ring(2.0, 1_000_000)

        for au in make_gop(0, units=100):
            ring.append(au)

        assert ring.since_last_key() == ()
        assert len(list(ring)) == 51
        ring.append(make_au(100 * 3600, is_key=True))
        assert len(ring.since_last_key()) == 1

    def test_one_access_unit_over_the_limit_is_kept(self) -> None:
        """A single huge key frame is what there is to see; the ring keeps it rather than nothing."""
        ring = Ring(30.0, 1_000)
        au = make_au(0, is_key=True, size=5_000)

        ring.append(au)

        assert (au,) == ring.since_last_key()

    def test_a_break_without_a_key_frame_cannot_be_joined(self) -> None:
        """After a timeline break, the GOP before it is no start for what comes after it."""
        ring = Ring(30.0, 1_000_000)

        ring.append(make_au(0, is_key=True))
        ring.append(make_au(3600, discontinuity=True))

        assert ring.since_last_key() == ()

    def test_prints_what_it_holds(self) -> None:
        """The repr is made for logs: counts and bytes."""
        ring = Ring(30.0, 1_000_000)
        ring.append(make_au(0, is_key=True))

        assert f"<Ring 1 access units in 1 GOPs, {100 + AU_OVERHEAD_BYTES} bytes>" == repr(ring)

    @given(
        st.lists(st.tuples(st.integers(1, 90_000), st.booleans(), st.integers(5, 3000), st.booleans())),
        st.floats(0.1, 5.0),
        st.integers(1000, 50_000),
    )
    def test_stays_within_its_limits(
        self, units: list[tuple[int, bool, int, bool]], seconds: float, max_bytes: int
    ) -> None:
        """Whatever arrives: both limits hold beyond the newest unit, and the bytes are counted right."""
        ring = Ring(seconds, max_bytes)
        dts = 0

        for delta, is_key, size, discontinuity in units:
            dts += delta
            au = make_au(dts, is_key=is_key, size=size, discontinuity=discontinuity)
            ring.append(au)
            held = list(ring)
            assert au == held[-1]
            assert ring.size_bytes == sum(len(a.data) + AU_OVERHEAD_BYTES for a in held)
            if len(held) > 1:
                assert ring.size_bytes <= max_bytes
                assert held[-1].dts - held[0].dts <= round(seconds * CLOCK_RATE)
            joiner = ring.since_last_key()
            assert [a for a in joiner if a.is_key] == list(joiner[:1])
            assert joiner == tuple(held[-len(joiner) :] if joiner else ())

    def test_the_bit_rate_is_what_the_camera_sends(self) -> None:
        """Bits per second of access units, without the overhead; 0 while nothing is there to divide."""
        ring = Ring(30.0, 10_000_000)
        assert ring.bit_rate_bps == 0

        for second in range(10):
            for au in make_gop(second * CLOCK_RATE, size=1000):
                ring.append(au)

        assert abs(ring.bit_rate_bps - 25 * 1000 * 8) < 2000
