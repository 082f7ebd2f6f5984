"""Strict parser of the header of NumPy's `.npy` files.

Reads dtype, order and shape as text, so that the size of the data is known (and compared with the
file) before anything is evaluated or allocated. Object and record arrays are refused.

References
----------
numpy.lib.format, versions 1.0 to 3.0
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from biojepa.errors import FormatError

MAX_HEADER_BYTES = 1 << 16
_MAGIC = b"\x93NUMPY"
_FIELDS = re.compile(
    r"\{\s*'descr':\s*'([<>|=]?)([a-zA-Z]\d{0,4})',\s*'fortran_order':\s*(True|False),"
    r"\s*'shape':\s*\(((?:\d{1,15}(?:,\s*|(?=\))))*)\),?\s*\}\s*"
)
_NUMERIC = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


@dataclass(frozen=True)
class NpyHeader:
    """Layout of the array in an `.npy` file.

    Parameters
    ----------
    dtype : dtype
        Integer, float or text (`U`).
    fortran_order : bool
    shape : tuple of int
    data_offset : int
        Bytes before the data.
    """

    dtype: np.dtype
    fortran_order: bool
    shape: tuple[int, ...]
    data_offset: int

    @property
    def n_bytes(self) -> int:
        """Bytes of data that the header declares."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_npy_header(start: bytes, *, where: str) -> NpyHeader:
    """Parse the first bytes of an `.npy` file.

    Parameters
    ----------
    start : bytes
        At least the header; `MAX_HEADER_BYTES` are always enough.
    where : str
        The file, for the messages.

    Raises
    ------
    FormatError
        If this is no `.npy` header, or the array is not one of numbers or text.
    """
    if len(start) < 10 or not start.startswith(_MAGIC) or start[6] not in (1, 2, 3):
        raise FormatError(f"{where}: expected a NumPy array file, its first bytes are others")
    width = 2 if start[6] == 1 else 4
    data_offset = 8 + width + int.from_bytes(start[8 : 8 + width], "little")
    if data_offset > len(start):
        raise FormatError(f"{where}: the NumPy header is cut, or declares {data_offset} bytes")
    text = start[8 + width : data_offset].decode("latin-1")
    fields = _FIELDS.fullmatch(text)
    if fields is None:
        raise FormatError(
            f"{where}: expected a plain array of numbers, got the header {text[:120]!r}; object "
            "and record arrays are not read: save the numbers with np.save"
        )
    order, kind, fortran, shape_text = fields.groups()
    if kind not in _NUMERIC and re.fullmatch(r"U\d{1,4}", kind) is None:
        raise FormatError(
            f"{where}: expected integers or floats, got dtype {order + kind!r}; object arrays are "
            "not read: save the numbers with np.save"
        )
    shape = tuple(int(n) for n in re.findall(r"\d+", shape_text))
    return NpyHeader(np.dtype(order + kind), fortran == "True", shape, data_offset)


def array_from_bytes(header: NpyHeader, data: bytes) -> np.ndarray:
    """View the data of an `.npy` file as its array; `data` starts at `header.data_offset`."""
    flat = np.frombuffer(data, dtype=header.dtype, count=math.prod(header.shape))
    return flat.reshape(header.shape, order="F" if header.fortran_order else "C")
