"""Very many paths in little memory: their bytes end to end, not one object each.

A list of a million `Path` objects takes half a gigabyte, this a twentieth of it.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import overload

import numpy as np


class PathList(Sequence[str]):
    """A sequence of paths as text, to be appended to and read.

    Parameters
    ----------
    paths : iterable of path-like
        Kept as `os.fspath` gives them.
    """

    def __init__(self, paths: Iterable[str | PathLike[str]] = ()) -> None:
        self._text = bytearray()
        self._ends = array("q")
        self.extend(paths)

    def append(self, path: str | PathLike[str]) -> None:
        """Add one path."""
        self._text += os.fsencode(path)
        self._ends.append(len(self._text))

    def extend(self, paths: Iterable[str | PathLike[str]]) -> None:
        """Add several."""
        for path in paths:
            self.append(path)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        i = range(len(self))[index]  # its own error for a place that is not there
        return os.fsdecode(bytes(self._text[self._ends[i - 1] if i else 0 : self._ends[i]]))

    def first_repeated(self) -> str | None:
        """The first path that stands here a second time, None if there is none."""
        hashes = np.fromiter((hash(path) for path in self), np.int64, len(self))
        if len(np.unique(hashes)) == len(hashes):
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
