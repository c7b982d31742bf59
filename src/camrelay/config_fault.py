"""Why data does not fit a struct, in an operator's words: the key, what is wrong, what would be right.

Faults never repeat a value: it may be a password that went into the wrong place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect as types

from camrelay.toml_lines import Path


class Fault(NamedTuple):
    """One thing wrong: `path` is where, `message` continues the key's name as a sentence."""

    path: Path
    message: str
    hint: str = ""


def unknown_keys(data: Any, struct: type[msgspec.Struct]) -> Iterator[Fault]:
    """Every key of `data` that no field of `struct` has, with the nearest that one has."""
    return _unknown_keys(data, types.type_info(struct), ())


def misfit(message: str, struct: type[msgspec.Struct]) -> Fault:
    """What msgspec's message about a failed conversion to `struct` means."""
    path = _path(message)
    missing = re.search(r"missing required field `(\w+)`", message)
    if missing:
        return Fault(path, f"needs {missing[1]}")
    return Fault(path, "has a value that is not accepted", f"accepted: {_accepted(_type_at(struct, path))}")


def dotted(path: Path) -> str:
    """The key as written, without the place in an array of tables: the line tells that."""
    return ".".join(step for step in path if isinstance(step, str))


def _unknown_keys(data: Any, kind: types.Type, path: Path) -> Iterator[Fault]:
    if isinstance(kind, types.StructType) and isinstance(data, dict):
        fields = {field.name: field.type for field in kind.fields}
        for key, value in data.items():
            if key in fields:
                yield from _unknown_keys(value, fields[key], (*path, key))
            else:
                nearest = difflib.get_close_matches(key, fields, n=1)
                hint = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(fields)}"
                yield Fault((*path, key), "is not an option", hint)
    elif isinstance(kind, types.VarTupleType) and isinstance(data, list):
        for i, value in enumerate(data):
            yield from _unknown_keys(value, kind.item_type, (*path, i))


def _path(message: str) -> Path:
    """The place that msgspec names at the end of its message, as in "... - at `$.camera[0].url`"."""
    _, _, place = message.rpartition("`$")
    steps = re.findall(r"\.(\w+)|\[(\d+)\]", place)
    return tuple(int(index) if index else name for name, index in steps)


def _type_at(struct: type[msgspec.Struct], path: Path) -> types.Type:
    kind: types.Type = types.type_info(struct)
    for step in path:
        if isinstance(kind, types.StructType):
            kind = next(field.type for field in kind.fields if field.name == step)
        else:
            assert isinstance(kind, types.VarTupleType)
            kind = kind.item_type
    return kind


def _accepted(kind: types.Type) -> str:
    """The values a type takes, in an operator's words."""
    match kind:
        case types.BoolType():
            return "true or false"
        case types.LiteralType():
            return " or ".join(f'"{value}"' for value in kind.values)
        case types.IntType() | types.FloatType():
            bounds = ((kind.ge, "from"), (kind.gt, "over"), (kind.le, "up to"))
            word = "a whole number" if isinstance(kind, types.IntType) else "a number"
            return " ".join([word, *(f"{name} {bound:g}" for bound, name in bounds if bound is not None)])
        case types.StrType(pattern=str(pattern)) if "0-9a-fA-F" in pattern:
            return "64 hexadecimal digits, with or without colons between the bytes"
        case types.StrType(pattern=str()):
            return "1 to 64 of a-z, 0-9, - and _, the first a letter or a digit"
        case types.StrType(max_length=int()):
            return f"text of at most {kind.max_length} characters"
        case types.VarTupleType(item_type=types.StructType()):
            return "tables, each headed by its name in double brackets"
        case types.VarTupleType():
            return "a list of texts"
        case types.StructType():
            return "a table"
        case _:
            return "text"
