"""Checkpoints as signed notes."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from camrelay.audit.checkpoint import (
    NOTE_LIMIT,
    Checkpoint,
    read_checkpoint,
    read_verifier_key,
    sign_checkpoint,
    verifier_key,
)
from camrelay.errors import ChainBroken

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEYS = {"cr1-node": KEY.public_key()}

CHECKPOINT = Checkpoint("cr1-node/2026-11-21", 8, bytes(range(32)))


def test_a_checkpoint_is_a_signed_note() -> None:
    """Origin, size, root, a blank line and a signature line (C2SP tlog-checkpoint)."""
    note = sign_checkpoint(CHECKPOINT, "cr1-node", KEY)
    root = base64.b64encode(CHECKPOINT.root).decode()
    assert note.split("\n")[:4] == ["cr1-node/2026-11-21", "8", root, ""]
    assert note.split("\n")[4].startswith("— cr1-node ")
    assert note.count("\n") == 5
    assert read_checkpoint(note, KEYS) == CHECKPOINT


def test_a_note_of_the_go_implementation() -> None:
    """The example of golang.org/x/mod/sumdb/note: signed by its PeterNeumann key."""
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    raw = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert raw[0] == 1
    key = Ed25519PublicKey.from_public_bytes(raw[1:])
    assert verifier_key("PeterNeumann", key) == (
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    )
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    note = f"{text}\n— PeterNeumann {signature}\n"
    with pytest.raises(ChainBroken, match="not a checkpoint"):
        read_checkpoint(note, {"PeterNeumann": key})
    with pytest.raises(ChainBroken, match="signature of PeterNeumann is wrong"):
        read_checkpoint(note.replace("answer", "question"), {"PeterNeumann": key})


def test_a_verifier_key_is_read_again() -> None:
    """The one of the format's own example; what is changed, cut, or of another kind is none."""
    text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    name, key = read_verifier_key(text)
    assert verifier_key(name, key) == text
    for other in (
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        text[:-4],
        text.replace("+c7", "+c8"),
        text.replace("Peter", "Petra"),
        text.replace("+ARpc", "+AhpC"),
        text.replace("+ARpc", "+é"),
        text.replace("PeterNeumann", "Peter Neumann"),
        "PeterNeumann+c74f20a3+GlzZBxQ8OExB6DDFvOEqqIF+xWSaqr8sMTiLNbLXRNY=",
    ):
        with pytest.raises(ChainBroken, match="verifier key"):
            read_verifier_key(other)


def test_others_may_sign_too() -> None:
    """Witnesses we do not know, and another key of our own name, are passed over."""
    other = Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
    note = sign_checkpoint(CHECKPOINT, "cr1-node", KEY)
    witness = sign_checkpoint(CHECKPOINT, "witness", other).split("\n")[4]
    namesake = sign_checkpoint(CHECKPOINT, "cr1-node", other).split("\n")[4]
    assert read_checkpoint(f"{note}{witness}\n{namesake}\n", KEYS) == CHECKPOINT
    for stranger in (witness, namesake):
        with pytest.raises(ChainBroken, match="no known key"):
            read_checkpoint(f"{CHECKPOINT.text()}\n{stranger}\n", KEYS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n8\n", "\n9\n"),
        ("2026-11-21", "2026-11-22"),
        ("\n\n", "\nextension\n\n"),
        ("— cr1-node", "- cr1-node"),
        ("— cr1-node ", "— "),
        ("\n\n", "\n"),
        ("— cr1-node ", "— cr1-node !"),
    ],
)
def test_a_note_that_was_touched_is_refused(old: str, new: str) -> None:
    """Case 63: every part of it is under the signature, or is the signature."""
    note = sign_checkpoint(CHECKPOINT, "cr1-node", KEY)
    assert old in note
    with pytest.raises(ChainBroken):
        read_checkpoint(note.replace(old, new), KEYS)


def test_a_checkpoint_forged_with_another_key_is_refused() -> None:
    """Case 63: a signature under our name and our key's hash, made by somebody else."""
    note = sign_checkpoint(CHECKPOINT, "cr1-node", KEY)
    *text, line, end = note.split("\n")
    signature = base64.b64decode(line.split(" ")[2])
    forged = base64.b64encode(signature[:4] + bytes(64)).decode()
    with pytest.raises(ChainBroken, match="is wrong"):
        read_checkpoint("\n".join([*text, f"— cr1-node {forged}", end]), KEYS)


@pytest.mark.parametrize(
    "note", ["", "\n\n", "x", "\n\n\n", "a\n8\nAA==\n\n", "\n\n— n AA==\n", "x" * NOTE_LIMIT]
)
def test_what_is_no_note(note: str) -> None:
    """Nothing but ChainBroken comes of any text."""
    with pytest.raises(ChainBroken):
        read_checkpoint(note, KEYS)


@given(st.text(max_size=200))
def test_any_text_is_refused_in_our_own_words(text: str) -> None:
    """With and without something like a signature."""
    for note in (text, f"{text}\n\n— cr1-node {text}\n", text + "x" * NOTE_LIMIT):
        with pytest.raises(ChainBroken):
            read_checkpoint(note, KEYS)


NOT_CHECKPOINTS = [
    "a\n8\n",
    "a\nx\nAA==\n",
    "a\n08\nAA==\n",
    "a\n-1\nAA==\n",
    "\n8\nAA==\n",
    "a\n8\nAA==\n",
    "a\n8\n?\n",
]


@pytest.mark.parametrize("text", NOT_CHECKPOINTS)
def test_signed_notes_that_are_no_checkpoints(text: str) -> None:
    """The right signature under the wrong words."""
    signature = base64.b64decode(sign_checkpoint(CHECKPOINT, "cr1-node", KEY).split(" ")[-1])[:4]
    encoded = base64.b64encode(signature + KEY.sign(text.encode())).decode()
    with pytest.raises(ChainBroken, match="not a"):
        read_checkpoint(f"{text}\n— cr1-node {encoded}\n", KEYS)


@pytest.mark.parametrize(
    ("origin", "name"), [("", "n"), ("a\nb", "n"), ("a", ""), ("a", "n n"), ("a", "n+n")]
)
def test_names_that_a_note_cannot_carry(origin: str, name: str) -> None:
    """Refused before they are signed."""
    with pytest.raises(ValueError, match="names have no spaces"):
        sign_checkpoint(Checkpoint(origin, 0, bytes(32)), name, KEY)
