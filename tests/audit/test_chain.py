"""RFC 6962 trees, and what tampering with a log looks like."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camrelay.audit.chain import (
    EMPTY_ROOT,
    Header,
    Tree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_header,
    verify_inclusion,
    verify_leaves,
    verify_lines,
)
from camrelay.audit.checkpoint import Checkpoint
from camrelay.errors import ChainBroken

#: The inputs and roots that the test suites of Certificate Transparency share.
CT_INPUTS = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_LEAVES = [leaf_hash(data) for data in CT_INPUTS]


def slow_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(slow_root(leaves[:k]), slow_root(leaves[k:]))


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(b"line %d\n" % n) for n in range(size)]


# Trees.


def test_the_roots_of_certificate_transparency() -> None:
    """Eight leaves, a root after each."""
    tree = Tree()
    roots = []
    for leaf in CT_LEAVES:
        tree.extend([leaf])
        roots.append(tree.root().hex())
    assert roots == CT_ROOTS
    assert tree.size == 8


def test_the_root_of_nothing() -> None:
    """The hash of the empty string (RFC 6962 §2.1)."""
    assert (
        Tree().root()
        == EMPTY_ROOT
        == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    )


@pytest.mark.parametrize("size", [*range(70), 255, 256, 257, 1000])
def test_growing_gives_the_root_of_the_definition(size: int) -> None:
    """At every size around the powers of two."""
    leaves = leaves_of(size)
    assert Tree(leaves).root() == slow_root(leaves)


def test_leaves_and_nodes_are_kept_apart() -> None:
    """Two leaves' hashes, written as a line, are not their parent (second preimage)."""
    left, right = leaves_of(2)
    assert leaf_hash(left + right) != node_hash(left, right)


# Proofs.


def test_the_proofs_of_certificate_transparency() -> None:
    """The inclusion and consistency proofs that other implementations publish for the same eight leaves."""
    assert [h.hex() for h in inclusion_proof(CT_LEAVES, 0)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [h.hex() for h in consistency_proof(CT_LEAVES, 6)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [h.hex() for h in consistency_proof(CT_LEAVES[:5], 2)] == [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]


@pytest.mark.parametrize("size", range(1, 34))
def test_every_leaf_can_be_proven_and_no_other(size: int) -> None:
    """Each position in each tree; another leaf, position, size or root does not pass."""
    leaves = leaves_of(size)
    root = Tree(leaves).root()
    for index, leaf in enumerate(leaves):
        proof = inclusion_proof(leaves, index)
        verify_inclusion(leaf, index, size, proof, root)
        wrong = [
            (leaf_hash(b"x"), index, size, proof, root),
            (leaf, index, size, proof, leaf_hash(b"x")),
            (leaf, index, size, [*proof, leaf], root),
            (leaf, size, size, proof, root),
            (leaf, -1, size, proof, root),
        ]
        if size > 1:
            wrong += [
                (leaf, (index + 1) % size, size, proof, root),
                (leaf, index, size, proof[:-1], root),
                (leaf, index, size, [leaf_hash(b"x"), *proof[1:]], root),
            ]
        for arguments in wrong:
            with pytest.raises(ChainBroken):
                verify_inclusion(*arguments)
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_proof(leaves, size)


@pytest.mark.parametrize("later", range(1, 34))
def test_every_tree_is_the_beginning_of_its_future(later: int) -> None:
    """Each size in each later size; another root, size or history does not pass."""
    leaves = leaves_of(later)
    later_root = Tree(leaves).root()
    for size in range(1, later + 1):
        root = Tree(leaves[:size]).root()
        proof = consistency_proof(leaves, size)
        verify_consistency(size, root, later, later_root, proof)
        wrong = [
            (size, leaf_hash(b"x"), later, later_root, proof),
            (size, root, later, leaf_hash(b"x"), proof),
            (size, root, later, later_root, [*proof, root]),
            (0, root, later, later_root, proof),
            (later + 1, root, later, later_root, proof),
        ]
        if proof:
            wrong += [
                (size, root, later, later_root, proof[:-1]),
                (size, root, later, later_root, [leaf_hash(b"x"), *proof[1:]]),
            ]
        for arguments in wrong:
            with pytest.raises(ChainBroken):
                verify_consistency(*arguments)
    with pytest.raises(ValueError, match="no such tree"):
        consistency_proof(leaves, 0)


@given(st.integers(1, 300), st.data())
def test_a_rewritten_history_is_not_consistent(later: int, data: st.DataObject) -> None:
    """Whoever changes any line below a checkpoint has no proof that passes."""
    size = data.draw(st.integers(1, later))
    changed = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(later)
    root = Tree(leaves[:size]).root()
    leaves[changed] = leaf_hash(b"another")
    with pytest.raises(ChainBroken):
        verify_consistency(size, root, later, Tree(leaves).root(), consistency_proof(leaves, size))


# A day and the day before.


def test_a_day_begins_with_the_end_of_the_day_before() -> None:
    """Case 63: a day that was swapped, left out or begun anew does not follow."""
    first = [Header("cr1-node", "2026-11-20", 0, EMPTY_ROOT.hex()).line(), b"a\n", b"b\n"]
    verify_header(first[0], "cr1-node", "2026-11-20", 0, EMPTY_ROOT)
    yesterday = verify_lines(first, [])
    line = Header("cr1-node", "2026-11-21", 3, yesterday.root().hex()).line()
    verify_header(line, "cr1-node", "2026-11-21", yesterday.size, yesterday.root())
    for log, day, previous in (
        ("cr1-other", "2026-11-21", yesterday),
        ("cr1-node", "2026-11-22", yesterday),
        ("cr1-node", "2026-11-21", Tree()),
        ("cr1-node", "2026-11-21", verify_lines(first[:2], [])),
    ):
        with pytest.raises(ChainBroken, match="does not follow"):
            verify_header(line, log, day, previous.size, previous.root())


# Tampering.

LINES = [b"line %d\n" % n for n in range(100)]
LEAVES = [leaf_hash(line) for line in LINES]
CHECKPOINTS = [Checkpoint("o", size, Tree(LEAVES[:size]).root()) for size in (0, 30, 64, 90)]


def test_an_untouched_log_passes() -> None:
    """With and without stored leaves, checkpoints in any order; lines after the last are not proven yet."""
    for stored in (None, LEAVES):
        assert verify_lines(LINES, CHECKPOINTS[::-1], stored).root() == Tree(LEAVES).root()
    assert verify_lines([*LINES[:95], b"new\n"], CHECKPOINTS).size == 96
    assert verify_leaves(LEAVES, []).size == 100


def edit(lines: list[bytes], at: int) -> None:
    lines[at] = b"edited\n"


def insert(lines: list[bytes], at: int) -> None:
    lines.insert(at, b"inserted\n")


def delete(lines: list[bytes], at: int) -> None:
    del lines[at]


def reorder(lines: list[bytes], at: int) -> None:
    lines[at], lines[at + 1] = lines[at + 1], lines[at]


def truncate(lines: list[bytes], at: int) -> None:
    del lines[at:]


@pytest.mark.parametrize("tamper", [edit, insert, delete, reorder, truncate])
@pytest.mark.parametrize("at", [0, 1, 29, 30, 50, 63, 64, 88])
def test_the_first_bad_line_is_named(tamper: object, at: int) -> None:
    """Case 63: with the stored leaves exactly, without them between the checkpoints around it."""
    lines = list(LINES)
    tamper(lines, at)  # type: ignore[operator]
    with pytest.raises(ChainBroken) as caught:
        verify_lines(lines, CHECKPOINTS, LEAVES)
    assert (caught.value.first, caught.value.last) == (at, at)
    with pytest.raises(ChainBroken) as caught:
        verify_lines(lines, CHECKPOINTS)
    assert caught.value.first <= at <= caught.value.last
    assert caught.value.last - caught.value.first < 36


@pytest.mark.parametrize("tamper", [edit, insert, delete, reorder, truncate])
def test_leaves_forged_along_with_their_lines_prove_nothing(tamper: object) -> None:
    """Case 63: whoever changes both is still caught by the checkpoint, between its neighbours."""
    lines, stored = list(LINES), list(LEAVES)
    tamper(lines, 50)  # type: ignore[operator]
    stored = [leaf_hash(line) for line in lines]
    with pytest.raises(ChainBroken) as caught:
        verify_lines(lines, CHECKPOINTS, stored)
    assert (caught.value.first, caught.value.last) in {(30, 63), (30, 50)}


def test_an_earlier_change_is_named_although_later_leaves_were_forged() -> None:
    """Leaves below the last checkpoint that holds are proven, and tell."""
    lines, stored = list(LINES), list(LEAVES)
    lines[5] = b"edited\n"
    stored[70] = leaf_hash(b"forged")
    with pytest.raises(ChainBroken) as caught:
        verify_lines(lines, CHECKPOINTS, stored)
    assert caught.value.first == caught.value.last == 5


def test_a_rolled_back_log_is_told_by_a_saved_checkpoint() -> None:
    """Case 63: yesterday's copy is consistent in itself; the checkpoint that was kept is larger."""
    with pytest.raises(ChainBroken, match="lines from 64 on are missing"):
        verify_lines(LINES[:64], CHECKPOINTS, LEAVES[:64])


def test_random_tampering_never_passes() -> None:
    """A thousand random edits below the last checkpoint, each found."""
    random_source = random.Random(7)
    for _ in range(1000):
        lines = list(LINES)
        for _ in range(random_source.randint(1, 3)):
            random_source.choice([edit, insert, delete])(lines, random_source.randrange(80))
        if lines[:90] == LINES[:90]:
            continue
        with pytest.raises(ChainBroken):
            verify_lines(lines, CHECKPOINTS, LEAVES)
