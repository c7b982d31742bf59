"""The tokens in letters: each for one purpose and one subject, made here and nowhere else."""

from __future__ import annotations

import hashlib

import pytest

from camrelay.auth.invitation import Purpose, address_mark, sign, subject_of


def mark(text: str) -> str:
    return hashlib.sha256(b"key" + text.encode()).hexdigest()


@pytest.mark.parametrize("purpose", Purpose)
def test_a_token_tells_its_subject_for_its_purpose_alone(purpose: Purpose) -> None:
    """Whoever may decline may not accept by that."""
    token = sign(mark, purpose, "9f86d081")

    assert {other: subject_of(mark, other, token) for other in Purpose} == {
        other: "9f86d081" if other is purpose else None for other in Purpose
    }


@pytest.mark.parametrize("change", ["", "-", "9f86d081", "9f86d081-", "9f86d082-{signature}", "ключ-\ud800"])
def test_no_other_token_is_ours(change: str) -> None:
    """Another subject, no signature, or letters that are none."""
    _, _, signature = sign(mark, Purpose.ACCEPT, "9f86d081").partition("-")

    assert subject_of(mark, Purpose.ACCEPT, change.format(signature=signature)) is None


def test_an_address_is_recognized_by_its_mark() -> None:
    """The mark is a subject like any other; the address is nowhere in it."""
    found = address_mark(mark, "anna@cams.example")
    token = sign(mark, Purpose.ERASE, found)

    assert found == address_mark(mark, "anna@cams.example") != address_mark(mark, "bert@cams.example")
    assert subject_of(mark, Purpose.ERASE, token) == found
    assert "anna" not in token
