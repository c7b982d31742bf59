"""SOAP answers of devices: XML from somebody else, read within limits and without its dangerous half.

No document type, so no entities to expand and no file or host to name (abuse case 49). Names count without
their namespaces: devices disagree about those or forget to declare them, and no name here has two meanings.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

import msgspec

from camrelay.errors import BadAnswer

#: The profiles of a recorder with 64 channels take 400 KB.
MAX_BYTES = 1024 * 1024
#: A profile has a hundred.
MAX_ELEMENTS = 50_000
MAX_DEPTH = 40
#: URIs are the longest texts that anybody here reads.
MAX_TEXT = 4_096


class Element(msgspec.Struct):
    """An XML element. `name` and the keys of `attributes` are local names; `text` is stripped."""

    name: str
    attributes: dict[str, str] = {}
    text: str = ""
    children: list[Element] = []

    def all(self, name: str) -> Iterator[Element]:
        """The children of that name."""
        return (child for child in self.children if child.name == name)

    def find(self, *path: str) -> Element | None:
        """The first element at the end of a path of names, None when there is none."""
        element: Element | None = self
        for name in path:
            element = next(element.all(name), None) if element else None
        return element

    def at(self, *path: str) -> str:
        """The text at the end of a path, "" when there is none."""
        element = self.find(*path)
        return element.text if element else ""

    def whole(self, *path: str) -> int | None:
        """The number at the end of a path, rounded down; None when there is none below a million."""
        try:
            number = float(self.at(*path))
        except ValueError:
            return None
        return int(number) if 0 <= number < 1_000_000 else None


def parse(data: bytes) -> Element:
    """Reads a document.

    Raises:
        BadAnswer: it breaks a limit, has a document type, or is not XML.
    """
    if len(data) > MAX_BYTES:
        raise BadAnswer("the device's answer is too long")
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError):
        raise BadAnswer("the device's answer is not XML") from None
    return builder.root.children[0]


def body(data: bytes) -> Element:
    """The element inside the Body of an envelope; a Fault is one too.

    Raises:
        BadAnswer: as of `parse`, or it is no envelope.
    """
    found = parse(data).find("Body")
    if found is None or not found.children:
        raise BadAnswer("the device's answer is no SOAP envelope")
    return found.children[0]


def fault_codes(element: Element) -> set[str] | None:
    """The codes and subcodes of a Fault, without their prefixes; None when the element is another answer."""
    if element.name != "Fault":
        return None
    codes = {element.at("faultcode")}
    code = element.find("Code")
    while code is not None:
        codes.add(code.at("Value"))
        code = code.find("Subcode")
    return {text.rpartition(":")[2] for text in codes if text}


def _refuse(*_: object) -> None:
    raise BadAnswer("the device's answer has a document type")


class _Builder:
    def __init__(self) -> None:
        self.root = Element("")
        self._open = [self.root]
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) > MAX_DEPTH:
            raise BadAnswer("the device's answer has too many elements")
        element = Element(_local(name), {_local(key): value for key, value in attributes.items()})
        self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, _: str) -> None:
        element = self._open.pop()
        element.text = element.text.strip()

    def text(self, data: str) -> None:
        element = self._open[-1]
        if len(element.text) < MAX_TEXT:
            element.text += data[:MAX_TEXT]


def _local(name: str) -> str:
    return name.rpartition(":")[2]
