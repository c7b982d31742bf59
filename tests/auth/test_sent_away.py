"""Who was sent away stays away for a while."""

from __future__ import annotations

import pytest

from camrelay.auth import sent_away
from camrelay.auth.sent_away import AWAY_S, SentAway


def test_for_a_while_and_from_one_camera() -> None:
    """Others may come, and the same person to another camera, and back afterwards."""
    away = SentAway()
    away.add("door", "bert", 10.0)
    assert away.is_away("door", "bert", 10.0 + AWAY_S - 1)
    assert not away.is_away("door", "bert", 10.0 + AWAY_S)
    assert not away.is_away("yard", "bert", 11.0)
    assert not away.is_away("door", "carl", 11.0)


def test_nobody_in_particular_is_not_kept_away() -> None:
    """Or a public camera would be closed to everybody."""
    away = SentAway()
    away.add("door", "", 10.0)
    assert not away.is_away("door", "", 11.0)


def test_there_is_an_end_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the first may come back; who is sent away again is the last."""
    monkeypatch.setattr(sent_away, "LIMIT", 2)
    away = SentAway()
    for subject in ("ana", "bert", "ana", "carl"):
        away.add("door", subject, 0.0)
    assert [away.is_away("door", subject, 1.0) for subject in ("ana", "bert", "carl")] == [True, False, True]
