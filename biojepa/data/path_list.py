"""Very many paths in little memory: what each shares with the one before is kept once.

A list of a million `Path` objects takes half a gigabyte, this a few per cent of it, also where
every record lies in a folder of its own. Every 16th path is whole, so that any is found fast.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from os import PathLike
from typing import overload

import numpy as np

_BLOCK = 16
_HEAD = struct.Struct("<HI")  # bytes shared with the path before, bytes that follow


class PathList(Sequence[str]):
    """A sequence of paths as text, to be appended to and read.

    Parameters
    ----------
    paths : iterable of path-like
        Kept as `os.fspath` gives them.
    """

    def __init__(self, paths: Iterable[str | PathLike[str]] = ()) -> None:
        self._data = bytearray()
        self._blocks = array("q")  # where every 16th path begins
        self._n_paths = 0
        self._last = b""
        self.extend(paths)

    def append(self, path: str | PathLike[str]) -> None:
        """Add one path."""
        raw = os.fsencode(path)
        shared = 0
        if self._n_paths % _BLOCK:
            shared = _n_shared(self._last, raw)
        else:
            self._blocks.append(len(self._data))
        self._data += _HEAD.pack(shared, len(raw) - shared)
        self._data += raw[shared:]
        self._last = raw
        self._n_paths += 1

    def extend(self, paths: Iterable[str | PathLike[str]]) -> None:
        """Add several."""
        for path in paths:
            self.append(path)

    def __len__(self) -> int:
        return self._n_paths

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            wanted = range(len(self))[index]
            if wanted.step == 1:
                return list(islice(self._from(wanted.start), len(wanted)))
            return [self[i] for i in wanted]
        return next(self._from(range(len(self))[index]))

    def __iter__(self) -> Iterator[str]:
        return self._from(0)

    def _from(self, first: int) -> Iterator[str]:
        """The paths from one on."""
        if first >= len(self):
            return
        block, n_before = divmod(first, _BLOCK)
        at, path = self._blocks[block], b""
        for i in range(first - n_before, len(self)):
            shared, size = _HEAD.unpack_from(self._data, at)
            at += _HEAD.size
            path = path[:shared] + bytes(self._data[at : at + size])
            at += size
            if i >= first:
                yield os.fsdecode(path)

    def first_repeated(self) -> str | None:
        """The first path that stands here a second time, None if there is none."""
        hashes = np.fromiter((hash(path) for path in self), np.int64, len(self))
        hashes.sort()  # in place; np.unique builds a table
        if (hashes[1:] != hashes[:-1]).all():
            return None
        seen: set[str] = set()
        for path in self:
            if path in seen:
                return path
            seen.add(path)
        return None  # two different paths of one hash

    def without_repeats(self) -> PathList:
        """The same paths, each where it stands first."""
        return self if self.first_repeated() is None else PathList(dict.fromkeys(self))


def _n_shared(one: bytes, other: bytes) -> int:
    """How many bytes two texts begin with alike, by halving."""
    low, high = 0, min(len(one), len(other), 0xFFFF)
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
