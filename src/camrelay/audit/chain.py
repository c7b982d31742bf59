"""Proof that a log was only ever appended to: RFC 6962 trees over its lines, one a day, and signed roots.

A leaf is a line as it stands on disk. The first line of a day is its header, which carries the last root of
the day before, so the days form a chain. A checkpoint is a root that the log has signed; whoever keeps one
can later tell whether the lines below it are the same. Without a checkpoint kept elsewhere, whoever has both
the disk and the signing key can write another history.

Formats: RFC 6962 §2.1 and RFC 9162 §2.1. Every check returns what it checked or raises ChainBroken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Annotated

import msgspec
from msgspec import Meta

from camrelay.audit.checkpoint import Checkpoint
from camrelay.errors import ChainBroken

#: Leaves that are not signed yet are taken so many at a time: there may be a day of them.
_AT_ONCE = 4096

EMPTY_ROOT = hashlib.sha256().digest()


def leaf_hash(line: bytes) -> bytes:
    """The leaf of a line (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The parent of two nodes; its prefix keeps nodes and leaves apart."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaf_hashes(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The leaves of lines. Verifying a log costs this and `Tree.extend`, so both write their hash out."""
    sha256 = hashlib.sha256
    return (sha256(b"\x00" + line).digest() for line in lines)


class Tree:
    """A growing tree that keeps only the roots of its complete subtrees: at most 64 hashes."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        #: By height: the subtree that waits for one as large on its right, b"" where none does.
        self._waiting: list[bytes] = []
        self.extend(leaves)

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Adds leaf hashes; many at once cost less."""
        sha256, waiting = hashlib.sha256, self._waiting
        level, height = list(leaves), 0
        self.size += len(level)
        while level:
            if height == len(waiting):
                waiting.append(b"")
            if waiting[height]:
                level.insert(0, waiting[height])
            waiting[height] = level.pop() if len(level) & 1 else b""
            pairs = zip(level[::2], level[1::2], strict=True)
            level = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
            height += 1

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self.size:
            return EMPTY_ROOT
        root, *rest = filter(None, self._waiting)
        for subtree in rest:
            root = node_hash(subtree, root)
        return root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from one leaf to the root over all (RFC 6962 §2.1.1)."""
    return inclusion_proofs(leaves, [index])[index]


def inclusion_proofs(leaves: Sequence[bytes], indices: Iterable[int]) -> dict[int, list[bytes]]:
    """Inclusion proofs by index; many cost little more than one."""
    proofs: dict[int, list[bytes]] = {index: [] for index in indices}
    if not all(0 <= index < len(leaves) for index in proofs):
        raise ValueError("no such leaf")
    level, depth = leaves, 0
    while len(level) > 1:
        for index, proof in proofs.items():
            sibling = index >> depth ^ 1
            if sibling < len(level):
                proof.append(level[sibling])
        # A node without a sibling moves up as it is: that makes the tree of RFC 6962 level by level.
        odd = level[-1:] if len(level) & 1 else ()
        level = [*map(node_hash, level[::2], level[1::2]), *odd]
        depth += 1
    return proofs


def consistency_proof(leaves: Sequence[bytes], size: int) -> list[bytes]:
    """The hashes that show the tree of the first `size` leaves inside the one of all (RFC 6962 §2.1.2)."""
    if not 0 < size <= len(leaves):
        raise ValueError("no such tree")
    proof = []
    start, end, is_whole = 0, len(leaves), True
    while start + size != end:
        middle = start + _split(end - start)
        if start + size <= middle:
            proof.append(Tree(leaves[middle:end]).root())
            end = middle
        else:
            proof.append(Tree(leaves[start:middle]).root())
            size -= middle - start
            start, is_whole = middle, False
    if not is_whole:
        proof.append(Tree(leaves[start:end]).root())
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Checks that `leaf` stands at `index` in the tree of `size` leaves under `root` (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        raise ChainBroken("the proof is for a leaf outside the tree", first=index)
    node, at, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            raise ChainBroken("the proof is too long", first=index)
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        at >>= 1
        last >>= 1
    if last or node != root:
        raise ChainBroken("the record is not under this root", first=index)


def verify_consistency(
    size: int, root: bytes, later_size: int, later_root: bytes, proof: Sequence[bytes]
) -> None:
    """Checks that the tree of `later_size` leaves begins with the one of `size` (RFC 9162 §2.1.4.2)."""
    if size == later_size and root == later_root and not proof:
        return
    if not 0 < size < later_size or not proof:
        raise ChainBroken("the proof is for other trees", last=max(0, later_size - 1))
    hashes = list(proof)
    # A tree of 2^n leaves is itself a node of the later one, and is left out of the proof.
    if size & (size - 1) == 0:
        hashes.insert(0, root)
    at, last = size - 1, later_size - 1
    while at & 1:
        at >>= 1
        last >>= 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ChainBroken("the proof is too long", last=later_size - 1)
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        at >>= 1
        last >>= 1
    if last or old != root or new != later_root:
        raise ChainBroken("the later tree does not begin with the earlier one", last=size - 1)


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a day: which log, which day, and where the day before ended.

    `previous_root` is hexadecimal; the first day of a log has size 0 and the root of the empty tree.
    """

    log: str
    day: str
    previous_size: Annotated[int, Meta(ge=0)]
    previous_root: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]

    def line(self) -> bytes:
        """The header as it stands in the log."""
        return msgspec.json.encode(self) + b"\n"


def verify_header(line: bytes, log: str, day: str, previous_size: int, previous_root: bytes) -> None:
    """Checks that a day follows the one whose tree was that."""
    expected = Header(log, day, previous_size, previous_root.hex()).line()
    if line != expected:
        raise ChainBroken(f"{day} does not follow the day before it", first=0)


def verify_leaves(leaves: Iterable[bytes], checkpoints: Iterable[Checkpoint]) -> Tree:
    """Checks leaf hashes, from the first of the day on, against checkpoints of their tree; returns the tree.

    Raises:
        ChainBroken: between which positions the leaves deviate first, or from which one on they are missing.
    """
    tree, rest, good = Tree(), iter(leaves), 0
    for checkpoint in sorted(checkpoints, key=lambda checkpoint: checkpoint.size):
        tree.extend(islice(rest, checkpoint.size - tree.size))
        if tree.size < checkpoint.size:
            raise ChainBroken(f"lines from {tree.size} on are missing", first=good, last=tree.size)
        if tree.root() != checkpoint.root:
            last = max(good, checkpoint.size - 1)
            raise ChainBroken(f"lines {good} to {last} are not as they were signed", first=good, last=last)
        good = tree.size
    while some := list(islice(rest, _AT_ONCE)):
        tree.extend(some)
    return tree


def verify_lines(
    lines: Iterable[bytes], checkpoints: Collection[Checkpoint], stored: Iterable[bytes] | None = None
) -> Tree:
    """Checks the lines of a day against checkpoints of their tree; returns the tree.

    Args:
        lines: from the first of the day on. When something is wrong they are walked a second time.
        checkpoints: of this tree, at any sizes.
        stored: the leaf hashes kept beside the lines, if they were. Where a checkpoint proves them, they tell
            which line it was.

    Raises:
        ChainBroken: naming the first line that was changed, inserted, moved or removed; without stored
            leaves, the lines between the checkpoints around it.
    """
    try:
        return verify_leaves(leaf_hashes(lines), checkpoints)
    except ChainBroken:
        if stored is None:
            raise
        first = _first_difference(leaf_hashes(lines), stored)
        if first is None or first >= _proven(stored, checkpoints):
            raise
        raise ChainBroken(f"line {first} is not as it was signed", first=first) from None


def _proven(leaves: Iterable[bytes], checkpoints: Collection[Checkpoint]) -> int:
    try:
        verify_leaves(leaves, checkpoints)
    except ChainBroken as broken:
        return broken.first
    return max(checkpoint.size for checkpoint in checkpoints)


def _first_difference(leaves: Iterable[bytes], others: Iterable[bytes]) -> int | None:
    pairs = enumerate(zip_longest(leaves, others))
    return next((position for position, (one, other) in pairs if one != other), None)


def _split(size: int) -> int:
    """The largest power of two below `size` (RFC 6962 §2.1)."""
    return 1 << (size - 1).bit_length() - 1
