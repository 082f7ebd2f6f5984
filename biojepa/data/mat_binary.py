"""Strict reader of the variables in MATLAB files of versions 4 and 5 (also called 6 and 7).

Every declared size is compared with the bytes that are there before an array is made of them, and
compressed variables are unpacked up to a bound. Numbers, text, cells and 1 x 1 structs are read;
objects, functions, sparse and complex arrays are left out.

References
----------
MAT-File Format, The MathWorks, R2023b.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from biojepa.data.arrays import MAX_RATIO, RATIO_FREE_BYTES
from biojepa.errors import DataError, FormatError

Variable = np.ndarray | str | dict | list

HEADER_BYTES = 128
MAX_DEPTH, MAX_VARIABLES, MAX_DIMENSIONS = 8, 10_000, 8
MAX_ELEMENTS = 5_000_000  # of whole files: events and channels have some hundred elements each
_MATRIX, _COMPRESSED = 14, 15
_DTYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"} | {
    13: "u8",
    16: "u1",  # UTF-8
    17: "u2",  # UTF-16
    18: "u4",  # UTF-32
}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMBERS = range(6, 16)
_V4_DTYPES = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}


def is_mat5(start: bytes) -> bool:
    """Whether the first 128 bytes are those of version 5."""
    return len(start) >= HEADER_BYTES and start[126:128] in (b"IM", b"MI")


def is_mat4(start: bytes) -> bool:
    """Whether the first 20 bytes could be those of version 4, which has no mark of its own."""
    if len(start) < 20:
        return False
    kind, rows, columns, complex_, name = struct.unpack("<5i", start[:20])
    if not 0 <= kind < 5000:
        kind, rows, columns, complex_, name = struct.unpack(">5i", start[:20])
    tens = kind // 10 % 10, kind % 10, kind // 100 % 10
    sane = 0 <= kind < 5000 and tens[0] in _V4_DTYPES and tens[1] in (0, 1, 2) and tens[2] == 0
    return sane and rows >= 0 and columns >= 0 and complex_ in (0, 1) and 1 <= name <= 256


def read_mat5(
    raw: bytes, *, max_bytes: int, where: str, whole: bool = False
) -> dict[str, Variable]:
    """Variables of a version 5 file.

    Parameters
    ----------
    raw : bytes
        The whole file.
    max_bytes : int
        Bytes that compressed variables may unpack to.
    where : str
        For the messages.
    whole : bool
        Read arrays of structs too, and refuse what is of a kind that is not read: for files that
        another library opens afterwards, which may not survive what is wrong with them.

    Returns
    -------
    dict
        Arrays with at least two axes, texts, dicts (structs) and lists (cells, arrays of structs).

    Raises
    ------
    FormatError
        If a size is impossible or the file is cut.
    DataError
        If it unpacks to more than `max_bytes`.
    """
    order = "<" if raw[126:128] == b"IM" else ">"
    reader = _Reader(order, where, whole)
    found: dict[str, Variable] = {}
    budget = max_bytes
    for kind, data in reader.elements(raw, HEADER_BYTES):
        if kind == _COMPRESSED:
            data = _inflate(data, budget, order, where)
            budget -= len(data)
            inner = list(reader.elements(data, 0))
            if len(inner) != 1:
                raise FormatError(f"{where}: expected one variable in a compressed part")
            kind, data = inner[0]
        if kind != _MATRIX:
            if whole:
                raise FormatError(f"{where}: expected variables, got an element of kind {kind}")
            continue  # what MATLAB keeps for itself
        name, value = reader.matrix(data, 0)
        if value is not None:
            found[name] = value
    return found


def read_mat4(raw: bytes, *, where: str) -> dict[str, Variable]:
    """Variables of a version 4 file; errors as `read_mat5`."""
    found: dict[str, Variable] = {}
    at = 0
    while at < len(raw):
        if not is_mat4(raw[at : at + 20]) or len(found) > MAX_VARIABLES:
            raise FormatError(f"{where}: expected a variable of MATLAB 4 at byte {at}")
        kind = struct.unpack("<i", raw[at : at + 4])[0]
        order = "<" if 0 <= kind < 5000 else ">"
        kind, rows, columns, complex_, n_name = struct.unpack(order + "5i", raw[at : at + 20])
        dtype = np.dtype(order + _V4_DTYPES[kind // 10 % 10])
        at += 20
        name = raw[at : at + n_name].rstrip(b"\0").decode("latin-1")
        at += n_name
        n_bytes = rows * columns * dtype.itemsize
        if at + n_bytes * (1 + complex_) > len(raw):
            raise FormatError(
                f"{where}: expected {n_bytes * (1 + complex_)} bytes of variable {name!r}, got "
                f"{max(0, len(raw) - at)}; the file is cut"
            )
        array = np.frombuffer(raw, dtype, rows * columns, at).reshape((rows, columns), order="F")
        at += n_bytes * (1 + complex_)
        if kind % 10 == 1:
            found[name] = "".join(chr(int(c)) for c in array.ravel()[:10_000] if 0 < c < 0x10000)
        elif kind % 10 == 0 and not complex_:
            found[name] = array
    return found


class _Reader:
    """Elements and matrices of one byte order."""

    def __init__(self, order: str, where: str, whole: bool) -> None:
        self.order = order
        self.where = where
        self.whole = whole
        self.n_seen, self.most = 0, MAX_ELEMENTS if whole else MAX_VARIABLES

    def elements(self, data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
        """Type and content of the elements that lie end to end."""
        while at < len(data):
            if len(data) - at < 8:
                if any(data[at:]):
                    raise FormatError(f"{self.where}: ends in the middle of an element; it is cut")
                return
            self.n_seen += 1
            if self.n_seen > self.most:
                raise FormatError(f"{self.where}: has more than {self.most} elements")
            word, size = struct.unpack(self.order + "2I", data[at : at + 8])
            if word >> 16:  # size and content in the eight bytes
                kind, size = word & 0xFFFF, word >> 16
                start, step = at + 4, 8
                if size > 4:
                    raise FormatError(f"{self.where}: impossible small element of {size} bytes")
            else:
                kind, start = word, at + 8
                step = 8 + size + (0 if kind == _COMPRESSED else -size % 8)
            if start + size > len(data):
                raise FormatError(
                    f"{self.where}: expected an element of {size} bytes, got {len(data) - start}; "
                    "the file is cut"
                )
            yield kind, data[start : start + size]
            at += step

    def matrix(self, data: bytes, depth: int) -> tuple[str, Variable | None]:
        """Name and value of a matrix; None if it is of a kind that is not read."""
        if depth > MAX_DEPTH:
            raise FormatError(f"{self.where}: structs or cells are deeper than {MAX_DEPTH}")
        if not data:
            return "", np.empty((0, 0))
        parts = list(self.elements(data, 0))
        if len(parts) < 3 or len(parts[0][1]) != 8 or len(parts[1][1]) % 4:
            raise FormatError(f"{self.where}: a variable has no flags, dimensions or name")
        flags = struct.unpack(self.order + "I", parts[0][1][:4])[0]
        kind, is_complex = flags & 0xFF, bool(flags & 0x800)
        dims = struct.unpack(f"{self.order}{len(parts[1][1]) // 4}i", parts[1][1])
        if not 2 <= len(dims) <= MAX_DIMENSIONS or min(dims) < 0:
            raise FormatError(f"{self.where}: impossible dimensions {dims[:8]}")
        name = parts[2][1].decode("latin-1")
        rest = parts[3:]
        if kind in _NUMBERS and not is_complex:
            return name, self._numbers(rest, dims, name)
        if kind == _CHAR:
            return name, self._text(rest, dims, name)
        if kind == _CELL:
            self._expect(len(rest), math.prod(dims), name)
            cells = [self.matrix(content, depth + 1)[1] for _, content in rest]
            return name, [cell for cell in cells if cell is not None]
        if kind == _STRUCT and (math.prod(dims) == 1 or self.whole):
            structs = self._structs(rest, math.prod(dims), name, depth)
            return name, structs[0] if len(structs) == 1 else structs
        if self.whole and kind in _NUMBERS:  # complex: looked at, and left out
            for part in (rest[:1], rest[1:2]):
                self._numbers(part, dims, name)
        elif self.whole:
            raise FormatError(
                f"{self.where}: {name!r} is an object, a function or a sparse array, which is not "
                "read: save the file without it"
            )
        return name, None

    def _numbers(
        self, parts: list[tuple[int, bytes]], dims: tuple[int, ...], name: str
    ) -> np.ndarray:
        n = math.prod(dims)
        if n == 0:
            return np.empty(dims)
        if not parts or parts[0][0] not in _DTYPES:
            raise FormatError(f"{self.where}: variable {name!r} has no numbers")
        kind, data = parts[0]
        dtype = np.dtype(self.order + _DTYPES[kind])
        self._expect(len(data), n * dtype.itemsize, name)
        return np.frombuffer(data, dtype).reshape(dims, order="F")

    def _text(self, parts: list[tuple[int, bytes]], dims: tuple[int, ...], name: str) -> str:
        if not parts or math.prod(dims) == 0:
            return ""
        kind, data = parts[0]
        codec = {
            17: "utf-16" + ("-le" if self.order == "<" else "-be"),
            4: "utf-16" + ("-le" if self.order == "<" else "-be"),
            16: "utf-8",
        }.get(kind, "latin-1")
        try:
            return data.decode(codec)
        except UnicodeDecodeError:
            raise FormatError(f"{self.where}: the text of {name!r} cannot be read") from None

    def _structs(
        self, parts: list[tuple[int, bytes]], n: int, name: str, depth: int
    ) -> list[Variable]:
        if len(parts) < 2 or len(parts[0][1]) != 4:
            raise FormatError(f"{self.where}: struct {name!r} has no field names")
        width = struct.unpack(self.order + "i", parts[0][1])[0]
        names = parts[1][1]
        if not 1 <= width <= 64 or len(names) % width:
            raise FormatError(f"{self.where}: struct {name!r} has field names of {width} bytes")
        fields = [
            names[i : i + width].partition(b"\0")[0].decode("latin-1")
            for i in range(0, len(names), width)
        ]
        self._expect(len(parts) - 2, n * len(fields), name)
        values = [self.matrix(content, depth + 1)[1] for _, content in parts[2:]]
        rows = [values[i * len(fields) : (i + 1) * len(fields)] for i in range(n)]
        return [{f: v for f, v in zip(fields, row, strict=True) if v is not None} for row in rows]

    def _expect(self, got: int, wanted: int, name: str) -> None:
        if got != wanted:
            raise FormatError(
                f"{self.where}: expected {wanted} bytes or parts of variable {name!r}, got {got}"
            )


def _inflate(data: bytes, budget: int, order: str, where: str) -> bytes:
    """One compressed variable; it is unpacked as far as its own first bytes say, if at all."""
    limit = min(budget, max(RATIO_FREE_BYTES, MAX_RATIO * len(data)))
    stream = zlib.decompressobj()
    try:
        start = stream.decompress(data, 8)
        if len(start) < 8:
            raise FormatError(f"{where}: a compressed variable is cut")
        word, size = struct.unpack(order + "2I", start)
        said = 8 if word >> 16 else 8 + size + 8  # with what may pad it
        if said > limit:
            raise DataError(
                f"{where}: unpacks {len(data)} bytes to more than {limit}; if that is a recording, "
                "raise max_bytes or save it without compression"
            )
        found = start + stream.decompress(stream.unconsumed_tail, said - 8 + 1)
    except zlib.error as error:
        raise FormatError(f"{where}: a compressed variable is damaged ({error})") from None
    if len(found) > said:
        raise FormatError(f"{where}: a compressed variable unpacks to more than the {said} it says")
    if not stream.eof:
        raise FormatError(f"{where}: a compressed variable is cut")
    return found
