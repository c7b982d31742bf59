"""Proofs that were handed out, checked by whoever has them and the log's public key: no store, no secret.

A proof is bytes from anywhere. Checking returns what it shows, or raises ChainBroken.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from camrelay.audit.chain import leaf_hash, verify_inclusion
from camrelay.audit.checkpoint import Checkpoint
from camrelay.audit.record import Record, parse
from camrelay.audit.search import Manifest, Proof
from camrelay.audit.signer import Verifier
from camrelay.errors import BadRecord, ChainBroken


class Shown(msgspec.Struct, frozen=True):
    """A record, its place, and whether it is proven: not while it is newer than every checkpoint."""

    day: str
    position: int
    record: Record
    is_proven: bool


def read(data: bytes) -> Manifest:
    """The proofs in a file."""
    try:
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ChainBroken("that file has no proofs of an access record") from None


def check(manifest: Manifest, verifier: Verifier) -> Iterator[Shown]:
    """What each proof shows, in their order.

    Args:
        verifier: of the log that is trusted, whatever the file says of its own.
    """
    checkpoints = verifier.read(manifest.checkpoints)
    for number, proof in enumerate(manifest.proofs):
        try:
            yield _check(proof, checkpoints, verifier)
        except ChainBroken as broken:
            raise ChainBroken(f"proof {number}: {broken}", first=number) from None


def _check(proof: Proof, checkpoints: list[Checkpoint], verifier: Verifier) -> Shown:
    line = proof.line.encode(errors="replace")
    try:
        record = parse(line)
    except BadRecord:
        raise ChainBroken("its line is no record") from None
    if proof.checkpoint is None:
        return Shown(proof.day, proof.position, record, is_proven=False)
    if not 0 <= proof.checkpoint < len(checkpoints):
        raise ChainBroken("its checkpoint is missing")
    checkpoint = checkpoints[proof.checkpoint]
    if checkpoint.origin != verifier.origin(proof.day):
        raise ChainBroken("its checkpoint is of another day")
    try:
        hashes = [bytes.fromhex(each) for each in proof.hashes]
    except ValueError:
        raise ChainBroken("its hashes are none") from None
    verify_inclusion(leaf_hash(line), proof.position, checkpoint.size, hashes, checkpoint.root)
    return Shown(proof.day, proof.position, record, is_proven=True)
