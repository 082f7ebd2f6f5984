"""Series of vertices in GIFTI files (`.func.gii`), read strictly.

Nothing outside the file is opened, and compressed data is unpacked up to the size that its
dimensions say and no further.

References
----------
Harwell et al. 2011, GIFTI surface data format, version 1.0.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data._xml import base64_bytes, parse_xml, text_of
from biojepa.errors import FormatError

# document types that programs write, never fetched
_DOCTYPES = tuple(
    ("GIFTI", name)
    for name in (
        "http://www.nitrc.org/frs/download.php/115/gifti.dtd",
        "http://www.nitrc.org/frs/download.php/1594/gifti.dtd",
        "http://gifti.projects.nitrc.org/gifti.dtd",
        "gifti.dtd",
    )
)
_DTYPES = {"NIFTI_TYPE_UINT8": "u1", "NIFTI_TYPE_INT32": "i4", "NIFTI_TYPE_FLOAT32": "f4"}
_DTYPES |= {"NIFTI_TYPE_FLOAT64": "f8", "NIFTI_TYPE_INT16": "i2"}
_ORDERS: dict[str, Literal["C", "F"]] = {"RowMajorOrder": "C", "ColumnMajorOrder": "F"}
_ENDS = {"LittleEndian": "<", "BigEndian": ">"}
_ENCODINGS = ("ASCII", "Base64Binary", "GZipBase64Binary")
_MOST_DIMENSIONS = 6
MAX_RATIO, RATIO_FREE_BYTES = 200, 64 << 20  # as of images


def read_gifti(path: Path, *, max_bytes: int) -> NDArray[np.float32]:
    """The series in a GIFTI file.

    Parameters
    ----------
    path : Path
        One array of vertices a frame, or one array of vertices x frames.
    max_bytes : int
        Largest file, and most that its arrays may take unpacked.

    Returns
    -------
    ndarray, shape (T, V)

    Raises
    ------
    FormatError
        If it is damaged, hostile, larger than `max_bytes`, refers to another file, or holds no such
        arrays.
    """
    where, root = shown(path), _root(path, max_bytes)
    found = list(root.iter("DataArray"))
    if root.tag != "GIFTI" or not found:
        raise FormatError(f"{where}: expected a GIFTI file with data arrays, got <{root.tag}>")
    total, arrays = 0, []
    for element in found:
        array = _array(element, max_bytes - total, where)
        total += array.nbytes
        arrays.append(array)
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1 or (len(arrays) > 1 and arrays[0].ndim != 1) or arrays[0].ndim > 2:
        raise FormatError(
            f"{where}: expected one array of vertices a frame, or one of vertices x frames, got "
            f"{len(arrays)} of shapes {sorted(shapes)[:4]}: a surface is no series"
        )
    if len(arrays) > 1 or arrays[0].ndim == 1:
        return np.stack(arrays).astype(np.float32)
    return np.ascontiguousarray(arrays[0].T, dtype=np.float32)


def read_label_table(path: Path, *, max_bytes: int) -> dict[int, str]:
    """Names of the labels of a `.label.gii`, by their number; empty if it has no table.

    Raises
    ------
    FormatError
        As `read_gifti`.
    """
    found = {}
    for label in _root(path, max_bytes).iter("Label"):
        key = label.get("Key") or label.get("Index") or ""
        if key.isdecimal() and text_of(label):
            found[_whole(key)] = text_of(label)
    return found


def _root(path: Path, max_bytes: int) -> Element:
    where, size = shown(path), file_size(path)
    if size > max_bytes:
        raise FormatError(f"{where}: {size} bytes, more than max_bytes={max_bytes}")
    return parse_xml(read_bytes(path, size), where=where, known_doctypes=_DOCTYPES)


def _array(element: Element, budget: int, where: str) -> NDArray:
    """The numbers of a DataArray element, at most `budget` bytes."""
    said = element.attrib
    if said.get("ExternalFileName"):
        raise FormatError(f"{where}: refers to data in another file, which is not opened")
    encoding, kind = said.get("Encoding"), said.get("DataType", "")
    order, end = said.get("ArrayIndexingOrder", ""), said.get("Endian", "")
    dims = [said.get(f"Dim{i}", "") for i in range(_whole(said.get("Dimensionality", "")))]
    shape = tuple(_whole(dim) for dim in dims)
    if (
        encoding not in _ENCODINGS
        or kind not in _DTYPES
        or order not in _ORDERS
        or end not in _ENDS
        or not 1 <= len(shape) <= _MOST_DIMENSIONS
        or min(shape) < 1
    ):
        raise FormatError(f"{where}: expected an array of numbers in GIFTI, got {said!r:.300}")
    dtype = np.dtype(_ENDS[end] + _DTYPES[kind])
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > budget:
        raise FormatError(
            f"{where}: declares {n_bytes} bytes for an array of shape {shape}, more than max_bytes "
            "allows"
        )
    text = text_of(element, "Data")
    if encoding == "ASCII":
        if 2 * math.prod(shape) > len(text) + 1:
            raise FormatError(f"{where}: declares more data than {len(text)} characters can hold")
        try:
            values = np.array(text.split(), dtype=np.float64)
        except ValueError as error:
            raise FormatError(f"{where}: expected numbers in an array: {error}") from None
    else:
        raw = base64_bytes(text, what="an array", where=where)
        if encoding == "GZipBase64Binary":
            raw = _unpacked(raw, n_bytes, where)
        if len(raw) != n_bytes:
            raise FormatError(
                f"{where}: declares more data than there is, or less: {n_bytes} bytes for shape "
                f"{shape}, got {len(raw)}; it is cut or damaged"
            )
        values = np.frombuffer(raw, dtype)
    if values.size != math.prod(shape):
        raise FormatError(f"{where}: expected {math.prod(shape)} numbers, got {values.size}")
    return values.reshape(shape, order=_ORDERS[order])


def _unpacked(raw: bytes, n_bytes: int, where: str) -> bytes:
    """Unpack to as many bytes as are declared, and one to see that there are no more."""
    if n_bytes > max(RATIO_FREE_BYTES, MAX_RATIO * len(raw)):
        raise FormatError(
            f"{where}: declares more data than {len(raw)} bytes can hold: {n_bytes}; it is not "
            "unpacked"
        )
    stream = zlib.decompressobj(wbits=47)  # zlib or gzip
    try:
        return stream.decompress(raw, n_bytes + 1)
    except zlib.error as error:
        raise FormatError(f"{where}: the compression of an array is damaged ({error})") from None


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 12 else 0
