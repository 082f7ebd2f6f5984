"""Strict parsing of XML: no entities, no document type with content, bounded size and depth.

The parser (expat) opens no other file; a document type that is only a name, as GE MUSE writes it,
is passed over if the caller knows it, and never fetched. Prefixes of names are dropped.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Collection, Iterator
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from biojepa.errors import FormatError

MAX_XML_BYTES = 256 << 20
MAX_ELEMENTS, MAX_DEPTH = 1_000_000, 64
_NUMBER = re.compile(r"[+-]?(\d{1,20}\.?\d{0,20}|\.\d{1,20})([eE][+-]?\d{1,3})?")
_WHOLE = re.compile(r"[+-]?\d{1,10}")


def parse_xml(
    raw: bytes, *, where: str, known_doctypes: Collection[tuple[str, str | None]] = ()
) -> Element:
    """Parse a document.

    Parameters
    ----------
    raw : bytes
    where : str
        The file, for the messages.
    known_doctypes : collection of (root name, system id)
        Document types without content that are passed over.

    Returns
    -------
    Element
        Root; names without prefix.

    Raises
    ------
    FormatError
        If it is not well-formed, declares entities or an unknown document type, or is larger or
        deeper than any recording.
    """
    if len(raw) > MAX_XML_BYTES:
        raise FormatError(f"{where}: {len(raw)} bytes are too many for an XML recording")
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = n_elements = 0

    def refuse(what: str) -> NoReturn:
        raise FormatError(
            f"{where}: line {parser.CurrentLineNumber}: {what}, which recordings do not need and "
            "attacks use; it is refused"
        )

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, n_elements
        depth += 1
        n_elements += 1
        if depth > MAX_DEPTH or n_elements > MAX_ELEMENTS:
            refuse("elements without end")
        builder.start(_local(name), {_local(k): v for k, v in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_local(name))

    def doctype(name: str, system_id: str | None, public_id: str | None, has_content: int) -> None:
        if has_content or public_id or (name, system_id) not in known_doctypes:
            refuse(f"a document type ({name})")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = lambda name, *_: refuse(f"an entity ({name})")
    parser.SkippedEntityHandler = lambda name, _: refuse(f"an entity ({name})")
    parser.ExternalEntityRefHandler = lambda *_: refuse("an external entity")
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        raise FormatError(f"{where}: expected well-formed XML, got {error}") from None
    except (LookupError, ValueError) as error:  # the declared encoding is none
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{where}: its encoding cannot be read ({error})") from None
    return builder.close()


def text_of(element: Element | None, *path: str) -> str:
    """Text of a descendant without outer blanks; empty if it is not there."""
    for name in path:
        element = None if element is None else element.find(name)
    return "" if element is None else (element.text or "").strip()


def texts_of(element: Element, name: str) -> Iterator[str]:
    """Texts of all descendants of a name, without empty ones."""
    for found in element.iter(name):
        if text := " ".join("".join(found.itertext()).split()):
            yield text


def number(text: str, *, what: str, where: str) -> float:
    """A finite number.

    Raises
    ------
    FormatError
        If the text is none.
    """
    if _NUMBER.fullmatch(text) is None or not math.isfinite(value := float(text)):
        raise FormatError(f"{where}: expected a number for {what}, got {text[:40]!r}")
    return value


def integers(text: str, *, what: str, where: str) -> NDArray[np.int64]:
    """Whole numbers between blanks.

    Raises
    ------
    FormatError
        If something else stands among them, or one has more than 32 bits.
    """
    words = text.split()
    bad = next((word for word in words if _WHOLE.fullmatch(word) is None), None)
    if bad is not None:
        raise FormatError(f"{where}: expected whole numbers for {what}, got {bad[:40]!r}")
    return np.array(words, dtype=np.int64)


def base64_bytes(text: str, *, what: str, where: str) -> bytes:
    """Bytes written as Base64, with blanks and line ends in between.

    Raises
    ------
    FormatError
        If it is none.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise FormatError(f"{where}: expected Base64 for {what} ({error})") from None


def _local(name: str) -> str:
    return name.rpartition(":")[2]
