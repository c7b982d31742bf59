"""Checkpoints: the root of a tree, signed so that anybody who holds the log's public key can check it alone.

A checkpoint is text (C2SP tlog-checkpoint: origin, size, root) in a signed note (C2SP signed-note), the
format that transparency logs and their witnesses share. Reading returns a checkpoint or raises ChainBroken.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from camrelay.errors import ChainBroken

#: A checkpoint with a dozen witnesses has 2 kB.
NOTE_LIMIT = 16_384
_ED25519 = b"\x01"
_DASH = "\N{EM DASH}"
_NAME = re.compile(r"[^\s+]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class Checkpoint(msgspec.Struct, frozen=True):
    """The root over the first `size` lines of the tree that `origin` names."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """What is signed (C2SP tlog-checkpoint)."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_checkpoint(checkpoint: Checkpoint, name: str, key: Ed25519PrivateKey) -> str:
    """The signed note (C2SP signed-note) that `read_checkpoint` reads; `name` is the signer's."""
    if not _NAME.fullmatch(name) or "\n" in checkpoint.origin or not checkpoint.origin:
        raise ValueError("names have no spaces and no plus, origins one line")
    text = checkpoint.text()
    signature = _key_hash(name, key.public_key()) + key.sign(text.encode())
    return f"{text}\n{_DASH} {name} {base64.b64encode(signature).decode()}\n"


def read_checkpoint(note: str, keys: Mapping[str, Ed25519PublicKey]) -> Checkpoint:
    """The checkpoint of a note that at least one of `keys`, by signer's name, has signed.

    Signatures of others are passed over; a wrong one of ours is not.
    """
    text, blank, signatures = note.rpartition("\n\n")
    if len(note) > NOTE_LIMIT or not blank or not signatures.endswith("\n"):
        raise ChainBroken("not a signed note")
    text += "\n"
    verified = [_verify_signature(line, text, keys) for line in signatures[:-1].split("\n")]
    if not any(verified):
        raise ChainBroken("no known key has signed this checkpoint")
    # Extension lines may follow the root.
    origin, size, root, *_ = [*text.split("\n"), "", ""]
    if not origin or not _SIZE.fullmatch(size) or len(digest := _decode(root)) != 32:
        raise ChainBroken("not a checkpoint")
    return Checkpoint(origin, int(size), digest)


def verifier_key(name: str, key: Ed25519PublicKey) -> str:
    """The public key as other tools of this format take it: name+hash+key (C2SP signed-note)."""
    encoded = base64.b64encode(_ED25519 + key.public_bytes_raw()).decode()
    return f"{name}+{_key_hash(name, key).hex()}+{encoded}"


def read_verifier_key(text: str) -> tuple[str, Ed25519PublicKey]:
    """Name and key of a verifier key; ChainBroken when it is none, or of another kind than Ed25519."""
    name, plus, rest = text.partition("+")
    digest, more, encoded = rest.partition("+")
    try:
        raw = base64.b64decode(encoded, validate=True)
        key = Ed25519PublicKey.from_public_bytes(raw.removeprefix(_ED25519))
    except ValueError:
        raise ChainBroken("not a verifier key") from None
    if not plus or not more or not _NAME.fullmatch(name) or raw[:1] != _ED25519:
        raise ChainBroken("not a verifier key")
    if digest != _key_hash(name, key).hex():
        raise ChainBroken("that verifier key is not whole")
    return name, key


def _key_hash(name: str, key: Ed25519PublicKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key.public_bytes_raw()).digest()[:4]


def _verify_signature(line: str, text: str, keys: Mapping[str, Ed25519PublicKey]) -> bool:
    """Whether one of `keys` made the signature in a line of a note."""
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != _DASH or not _NAME.fullmatch(name):
        raise ChainBroken("not a signed note")
    signature, key = _decode(encoded), keys.get(name)
    if key is None or signature[:4] != _key_hash(name, key):
        return False
    try:
        key.verify(signature[4:], text.encode(errors="replace"))
    except InvalidSignature:
        raise ChainBroken(f"the signature of {name} is wrong") from None
    return True


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ChainBroken("not a signed note") from None
