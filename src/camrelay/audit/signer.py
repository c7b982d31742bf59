"""The log's own signing key, and the checkpoints that it has signed so far.

The key signs checkpoints and nothing else: whoever can make tokens cannot rewrite the record, and the other
way round. Everything here blocks.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from camrelay.audit.chain import Tree
from camrelay.audit.checkpoint import (
    Checkpoint,
    read_checkpoint,
    read_verifier_key,
    sign_checkpoint,
    verifier_key,
)
from camrelay.audit.file import LogFile
from camrelay.errors import ChainBroken
from camrelay.sealing import load_key

KEY = "audit.key"
CHECKPOINTS = "checkpoints.txt"
#: The last roots of days that were purged; being here is what says so.
PURGED = "purged.txt"


class Verifier:
    """A log's identity, for whoever only checks it: its name follows from its key, so a new log has another.

    Args:
        key: the log's public key.
    """

    def __init__(self, key: Ed25519PublicKey) -> None:
        digest = hashlib.sha256(key.public_bytes_raw()).digest()
        self.name = f"camrelay-{digest[:8].hex()}"
        self._public = key

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """The verifier of a C2SP verifier key, as `text` of another; ChainBroken when it is none."""
        name, key = read_verifier_key(text)
        verifier = cls(key)
        if verifier.name != name:
            raise ChainBroken("that key belongs to no access log")
        return verifier

    @property
    def text(self) -> str:
        """The public key as people hand it on."""
        return verifier_key(self.name, self._public)

    def origin(self, day: str) -> str:
        """The tree of a day, as checkpoints name it."""
        return f"{self.name}/{day}"

    def read(self, notes: Iterable[str]) -> list[Checkpoint]:
        """Checks notes; ChainBroken when one is not this log's."""
        return [read_checkpoint(note, {self.name: self._public}) for note in notes]


class Signer(Verifier):
    """What the log itself is besides: it has the private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        super().__init__(key.public_key())
        self._key = key

    @classmethod
    def load(cls, directory: Path) -> Signer:
        """The signer of the log in a directory, made at first start; ConfigError when its file is unfit."""
        return cls(Ed25519PrivateKey.from_private_bytes(load_key(directory / KEY)))

    def sign(self, day: str, tree: Tree) -> str:
        """A note over the tree of a day so far."""
        return sign_checkpoint(Checkpoint(self.origin(day), tree.size, tree.root()), self.name, self._key)


def append_note(directory: Path, note: str, name: str = CHECKPOINTS) -> None:
    """Makes a note durable at the end of the file; a blank line ends it.

    A note that was left half written, or lost between others, would make the file unreadable.
    """
    file = LogFile(directory / name)
    size = file.size
    try:
        file.write(f"{note}\n".encode())
        file.sync()
    except OSError:
        file.truncate(size)
        raise
    finally:
        file.close()


def read_notes(directory: Path, name: str = CHECKPOINTS) -> list[str]:
    """The notes of a file, oldest first; what follows the last whole one is passed over."""
    try:
        text = (directory / name).read_text(errors="replace")
    except FileNotFoundError:
        return []
    return _split(text)


def cut_torn_note(directory: Path, name: str = CHECKPOINTS) -> None:
    """Removes what a crash left half written, so that the next note begins on a line of its own."""
    whole = "".join(note + "\n" for note in read_notes(directory, name)).encode()
    path = directory / name
    if path.exists() and path.stat().st_size != len(whole):
        with open(path, "r+b") as file:
            file.truncate(len(whole))


def saved_notes(text: str) -> list[str]:
    """The notes somebody kept: a copy of the file, single notes, or lines of the operators' log."""
    logged = _LOGGED.findall(text)
    if logged:
        return [_note(*fields) for fields in logged]
    return _split(text.strip("\n") + "\n\n")


def one_line(note: str) -> str:
    """A note for the operators' log; `saved_notes` reads it again."""
    origin, size, root, _, signature = note[:-1].split("\n")
    return f"checkpoint {origin} {size} {_hex(root)} {_hex(signature.split(' ')[2])}"


_LOGGED = re.compile(r"checkpoint (camrelay-[0-9a-f]+)(/\S+) ([0-9]+) ([0-9a-f]{64}) ([0-9a-f]+)")


def _split(text: str) -> list[str]:
    blocks = text.split("\n\n")
    return [
        f"{body}\n\n{signatures}\n" for body, signatures in zip(blocks[:-1:2], blocks[1:-1:2], strict=False)
    ]


def _note(name: str, tree: str, size: str, root: str, signature: str) -> str:
    return f"{name}{tree}\n{size}\n{_base64(root)}\n\n\N{EM DASH} {name} {_base64(signature)}\n"


def _hex(base64: str) -> str:
    return binascii.a2b_base64(base64).hex()


def _base64(digits: str) -> str:
    return binascii.b2a_base64(bytes.fromhex(digits), newline=False).decode()


def private(path: str, flags: int) -> int:
    """Opens as `open` does, for nobody else's eyes."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
