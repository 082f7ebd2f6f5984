"""ECGs in XML, told apart by their root element: HL7 aECG, GE MUSE, Philips."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

from biojepa.data import aecg_reader, muse_reader, philips_reader
from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data._xml import MAX_XML_BYTES, parse_xml
from biojepa.data.assemble import DEFAULTS, Decoded, ReadOptions, assemble
from biojepa.data.recording import Recording
from biojepa.errors import FormatError

_ROOTS = (aecg_reader.ROOT, muse_reader.ROOT, philips_reader.ROOT)


def iter_xml(path: str | os.PathLike[str], options: ReadOptions = DEFAULTS) -> Iterator[Recording]:
    """Read the recordings of an XML file.

    Parameters
    ----------
    path : path
    options : ReadOptions

    Yields
    ------
    Recording
        One; several if an aECG document holds several sequence sets.

    Raises
    ------
    FormatError
        If it is not well-formed, declares entities, or is of another kind.
    DataError, LeadError
        See `biojepa.data.assemble.assemble`.
    """
    where = shown(path)
    size = file_size(path)
    if size > min(MAX_XML_BYTES, options.max_bytes):
        raise FormatError(f"{where}: {size} bytes are too many for an XML recording")
    raw = read_bytes(path, size)
    root = parse_xml(raw, where=where, known_doctypes={muse_reader.DOCTYPE})
    digest = hashlib.sha256(raw).hexdigest()
    for decoded in _decode(root, Path(path).stem, where):
        yield assemble(replace(decoded, sha256=digest), path, options)


def _decode(root: Element, record_id: str, where: str) -> Iterator[Decoded]:
    if root.tag == aecg_reader.ROOT:
        yield from aecg_reader.decode_aecg(root, record_id=record_id, where=where)
    elif root.tag == muse_reader.ROOT:
        yield muse_reader.decode_muse(root, record_id=record_id, where=where)
    elif root.tag == philips_reader.ROOT:
        yield philips_reader.decode_philips(root, record_id=record_id, where=where)
    else:
        raise FormatError(
            f"{where}: expected an ECG in XML with the root {', '.join(_ROOTS[:-1])} or "
            f"{_ROOTS[-1]} (HL7 aECG, GE MUSE, Philips), got {root.tag[:40]!r}"
        )
